//! Beam search: the best few hypotheses of each source go on together.

use crate::batch::{Batch, Logits, NextRow};
use crate::config::GenerationConfig;
use crate::decoder::Decoder;
use crate::hypothesis::{Beam, Candidate, Ended, Hypothesis, keep_ended, penalised, root};
use crate::processors::LogitsProcessor;
use crate::search::Search;
use candle_core::Result;
use candlewick_kernels::softmax::largest;

/// What one group of a source's beams found; most searches have one group a source.
struct Group {
    /// The best first.
    running: Vec<Beam>,
    /// The best first, at most `width`.
    ended: Vec<Ended>,
    open: bool,
    /// How many beams the group has.
    width: usize,
}

/// Beam search for all sources in one batch, as transformers does it; sources that are done leave the batch.
///
/// A hypothesis scores Σ log p / length^length_penalty, where the length counts its words and the end. Each step ranks
/// all continuations of a source's beams by Σ log p (of equal ones the better beam's first, then the lower word id). Ends
/// among the first `num_beams` are kept, the best `num_beams` of them by score; of the rest, the first `num_beams`
/// without an end go on. [`EarlyStopping`](crate::EarlyStopping) says when a source is done. Hypotheses cut off at
/// `max_new_tokens` are compared with the ended ones by score.
///
/// With `num_beam_groups` G above 1 the beams of a source are searched in G groups, each for itself and one after the other at
/// each step; a word ranks lower by `diversity_penalty` for each beam of an earlier group that took it at this step (Vijayakumar et
/// al. 2018, "Diverse beam search for improved description of complex scenes"). Scores that are returned are without the penalty.
pub struct BeamSearch<D: Decoder> {
    batch: Batch<D>,
    config: GenerationConfig,
    /// The groups of the first source, then those of the second …
    groups: Vec<Group>,
}

impl<D: Decoder> BeamSearch<D> {
    /// A search before its first word, about the `count` rows of `memory`.
    ///
    /// # Errors
    /// When the configuration is not valid for this decoder, or the memory does not fit it.
    pub fn new(decoder: D, memory: D::Memory, count: usize, config: &GenerationConfig) -> Result<Self> {
        Ok(Self::of(Batch::new(decoder, memory, count, config)?, config))
    }

    pub(crate) fn of(batch: Batch<D>, config: &GenerationConfig) -> Self {
        let width = config.num_beams / config.num_beam_groups;
        let start = |index: usize| {
            let row = index / config.num_beam_groups;
            Group { running: vec![Beam { last: root(row), sum: 0.0, row }], ended: Vec::new(), open: true, width }
        };
        let groups = (0..batch.sources() * config.num_beam_groups).map(start).collect();
        Self { batch, config: config.clone(), groups }
    }
}

impl<D: Decoder> Search for BeamSearch<D> {
    fn advance(&mut self) -> Result<bool> {
        let length = self.batch.trace.steps() + 1;
        if self.batch.is_empty() || length > self.config.max_new_tokens {
            return Ok(false);
        }
        // A group's candidates, and what words that other groups took may lose.
        let GenerationConfig { num_beams, num_beam_groups, .. } = self.config;
        let taken = if num_beam_groups > 1 { num_beams } else { 0 };
        let logits = self.batch.step(Some(2 * (num_beams / num_beam_groups) + taken))?;
        let (mut next, mut taken) = (Vec::new(), Vec::new());
        for (index, group) in self.groups.iter_mut().enumerate() {
            if index % self.config.num_beam_groups == 0 {
                taken.clear();
            }
            if !group.open {
                continue;
            }
            let candidates = candidates(group, &logits, &self.batch, &self.config, &taken)?;
            group.take(&candidates, &mut self.batch, &self.config, length);
            if group.open {
                taken.extend(group.running.iter().map(|beam| self.batch.trace.word(beam.last)));
            }
            group.close(&self.config, length);
            if group.open {
                let source = index / self.config.num_beam_groups;
                for beam in &mut group.running {
                    let parent = std::mem::replace(&mut beam.row, next.len());
                    next.push(NextRow { parent, source, word: self.batch.trace.word(beam.last) });
                }
            }
        }
        self.batch.select(&next)?;
        Ok(!self.batch.is_empty())
    }

    /// The best first; shorter lists where fewer exist.
    fn hypotheses(&self) -> Result<Vec<Vec<Hypothesis>>> {
        let alphas = self.batch.trace.alphas()?;
        let best = |groups: &[Group]| {
            let found = groups.iter().flat_map(|group| {
                let ended = group.ended.iter().map(|ended| (ended.last, Some(ended.end)));
                ended.chain(group.running.iter().map(|beam| (beam.last, None)))
            });
            let hypothesis = |(last, end)| self.batch.trace.hypothesis(last, end, &alphas, self.config.length_penalty);
            let mut found: Vec<Hypothesis> = found.map(hypothesis).collect();
            found.sort_by(|a, b| b.score.total_cmp(&a.score));
            // Two groups may come to the same sentence.
            found.dedup_by(|a, b| a.words == b.words && a.finished == b.finished);
            found.truncate(self.config.num_return_sequences);
            found
        };
        Ok(self.groups.chunks(self.config.num_beam_groups).map(best).collect())
    }

    fn add_processor(&mut self, processor: Box<dyn LogitsProcessor>) {
        self.batch.processors.push(processor);
    }
}

/// Words whose largest score is looked at first: most chunks have none that is likely enough.
const CHUNK: usize = 64;

/// The best continuations of a group's beams, twice as many as beams, the best first; impossible ones are left out.
///
/// Each beam can end in one way only, so that as many as there are beams are left to go on. `taken` are the words that earlier
/// groups of the source took at this step.
fn candidates<D: Decoder>(
    group: &Group,
    logits: &Logits,
    batch: &Batch<D>,
    config: &GenerationConfig,
    taken: &[u32],
) -> Result<Vec<Candidate>> {
    let all = group.running.iter().map(|beam| logits.row(beam.row).len()).sum();
    let wanted = group.width.saturating_mul(2).min(all);
    let mut best: Vec<Candidate> = Vec::with_capacity(wanted + 1);
    let mut threshold = f64::NEG_INFINITY;
    let (mut scores, mut history) = (Vec::new(), Vec::new());
    for &beam in &group.running {
        batch.scores(logits, &beam, &mut scores, &mut history)?;
        for (first, scores) in (0u32..).step_by(CHUNK).zip(scores.chunks(CHUNK)) {
            // Sums are rounded in the order of what is added: where the likeliest falls short, all do.
            if taken.is_empty() && beam.sum + f64::from(largest(scores)) <= threshold {
                continue;
            }
            for (word, &log_probability) in (first..).zip(scores) {
                let mut sum = beam.sum + f64::from(log_probability);
                if !taken.is_empty() {
                    sum -= config.diversity_penalty * taken.iter().filter(|&&other| other == word).count() as f64;
                }
                // An equal one came earlier and stays before this one.
                if sum > threshold {
                    let at = best.partition_point(|candidate| candidate.sum >= sum);
                    best.insert(at, Candidate { beam, sum, log_probability, word });
                    best.truncate(wanted);
                    threshold = best.get(wanted.saturating_sub(1)).map_or(f64::NEG_INFINITY, |worst| worst.sum);
                }
            }
        }
    }
    Ok(best)
}

impl Group {
    /// Parts the candidates into hypotheses that end and beams that go on.
    fn take<D: Decoder>(
        &mut self,
        candidates: &[Candidate],
        batch: &mut Batch<D>,
        config: &GenerationConfig,
        length: usize,
    ) {
        if candidates.is_empty() {
            self.open = false;
            // With nothing to go on with, unfinished hypotheses stand only where nothing ended.
            if !self.ended.is_empty() {
                self.running.clear();
            }
            return;
        }
        self.running.clear();
        for (rank, candidate) in candidates.iter().enumerate() {
            let parent = candidate.beam;
            if Some(candidate.word) == config.eos_token_id {
                if rank < self.width {
                    let score = penalised(candidate.sum, length, config.length_penalty);
                    let ended = Ended { last: parent.last, end: candidate.log_probability, score };
                    keep_ended(&mut self.ended, ended, self.width);
                }
            } else if self.running.len() < self.width {
                let last = batch.trace.push(parent.last, candidate.word, candidate.log_probability, parent.row);
                self.running.push(Beam { last, sum: candidate.sum, row: parent.row });
            }
        }
    }

    /// Closes the group when it is done after `length` words.
    fn close(&mut self, config: &GenerationConfig, length: usize) {
        if length == config.max_new_tokens || self.running.is_empty() {
            self.open = false;
            return;
        }
        let (Some(best), Some(worst)) = (self.running.first(), self.ended.get(self.width - 1)) else { return };
        if config.stops(best.sum, worst.score, length) {
            self.open = false;
            self.running.clear();
        }
    }
}
