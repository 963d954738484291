//! Constrained beam search: sentences in which wanted words come.

use crate::batch::{Batch, Logits, NextRow};
use crate::config::GenerationConfig;
use crate::decoder::Decoder;
use crate::hypothesis::{Beam, Candidate, Ended, Hypothesis, keep_ended, penalised, root};
use crate::phrases::{Progress, Reached, begun, finished, progress, rank};
use crate::processors::LogitsProcessor;
use crate::search::Search;
use candle_core::Result;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// What a source's search found.
#[derive(Default)]
struct Source {
    /// The beams of each state of progress, the best first.
    running: BTreeMap<Progress, Vec<Beam>>,
    /// Sentences that ended with a phrase of each set in them, the best first.
    ended: Vec<Ended>,
    done: bool,
}

/// Beam search for sentences that hold a phrase of each set of `force_words_ids`.
///
/// The sets are a finite-state machine whose state is how far the sentence has come with each of them; `num_beams` hypotheses are kept in
/// each state, so that one with more of the phrases never competes with one with fewer. Beside the likeliest words each hypothesis
/// is continued with the next word of each phrase of the sets that it lacks, and only those that lack none may end. With no set it is beam search
/// with one state. A source whose phrases do not fit into `max_new_tokens` gets its best unfinished hypotheses.
///
/// Anderson et al. 2017, "Guided open vocabulary image captioning with constrained beam search".
pub struct ConstrainedBeamSearch<D: Decoder> {
    batch: Batch<D>,
    config: GenerationConfig,
    sources: Vec<Source>,
}

impl<D: Decoder> ConstrainedBeamSearch<D> {
    /// A search before its first word, about the `count` rows of `memory`.
    ///
    /// # Errors
    /// When the configuration is not valid for this decoder, or the memory does not fit.
    pub fn new(decoder: D, memory: D::Memory, count: usize, config: &GenerationConfig) -> Result<Self> {
        Ok(Self::of(Batch::new(decoder, memory, count, config)?, config))
    }

    pub(crate) fn of(batch: Batch<D>, config: &GenerationConfig) -> Self {
        let source = |row: usize| {
            let start = progress(&[], &config.force_words_ids);
            Source { running: [(start, vec![Beam { last: root(row), sum: 0.0, row }])].into(), ..Source::default() }
        };
        let sources = (0..batch.sources()).map(source).collect();
        Self { batch, config: config.clone(), sources }
    }
}

impl<D: Decoder> Search for ConstrainedBeamSearch<D> {
    fn advance(&mut self) -> Result<bool> {
        let length = self.batch.trace.steps() + 1;
        if self.batch.is_empty() || length > self.config.max_new_tokens {
            return Ok(false);
        }
        let logits = self.batch.step(None)?;
        let mut next = Vec::new();
        let Self { batch, config, sources } = self;
        for (source, of) in sources.iter_mut().enumerate().filter(|(_, of)| !of.done) {
            let banks = banks(batch, config, of, &logits)?;
            if banks.is_empty() && of.ended.is_empty() {
                // Nothing can follow: what was written stands as it is.
                of.done = true;
                continue;
            }
            let before = next.len();
            of.running = go_on(batch, banks, source, &mut next);
            if of.is_done(config, length) {
                of.done = true;
                next.truncate(before);
                if !of.ended.is_empty() {
                    // At the last word those with all phrases are sentences too, if cut off.
                    let last = length == config.max_new_tokens;
                    of.running.retain(|state, _| last && finished(state));
                }
            }
        }
        batch.select(&next)?;
        Ok(!batch.is_empty())
    }

    /// Those that ended come first, the best first; of the others those that have come further with the phrases.
    fn hypotheses(&self) -> Result<Vec<Vec<Hypothesis>>> {
        let alphas = self.batch.trace.alphas()?;
        let best = |source: &Source| {
            let tell = |last, end| self.batch.trace.hypothesis(last, end, &alphas, self.config.length_penalty);
            let mut found: Vec<Hypothesis> =
                source.ended.iter().map(|ended| tell(ended.last, Some(ended.end))).collect();
            let mut states: Vec<&Progress> = source.running.keys().collect();
            states.sort_by_key(|state| Reverse(rank(state)));
            let unfinished = states.into_iter().filter_map(|state| source.running.get(state)).flatten();
            found.extend(unfinished.map(|beam| tell(beam.last, None)));
            found.truncate(self.config.num_return_sequences);
            found
        };
        Ok(self.sources.iter().map(best).collect())
    }

    fn add_processor(&mut self, processor: Box<dyn LogitsProcessor>) {
        self.batch.processors.push(processor);
    }
}

/// The best continuations of a source's hypotheses, in the bank of how far each has come with the phrases; those that end as
/// sentences are put aside.
fn banks<D: Decoder>(
    batch: &Batch<D>,
    config: &GenerationConfig,
    of: &mut Source,
    logits: &Logits,
) -> Result<BTreeMap<Progress, Vec<Candidate>>> {
    let mut banks: BTreeMap<Progress, Vec<Candidate>> = BTreeMap::new();
    let (mut scores, mut history) = (Vec::new(), Vec::new());
    let beams: Vec<Beam> = of.running.values().flatten().copied().collect();
    for beam in beams {
        batch.scores(logits, &beam, &mut scores, &mut history)?;
        for word in continuations(&scores, &history, config) {
            let log_probability = scores.get(word as usize).copied().unwrap_or(f32::NEG_INFINITY);
            if log_probability == f32::NEG_INFINITY {
                continue;
            }
            let sum = beam.sum + f64::from(log_probability);
            if Some(word) == config.eos_token_id {
                if finished(&progress(&history, &config.force_words_ids)) {
                    let score = penalised(sum, batch.trace.steps(), config.length_penalty);
                    keep_ended(&mut of.ended, Ended { last: beam.last, end: log_probability, score }, config.num_beams);
                }
                continue;
            }
            history.push(word);
            let state = progress(&history, &config.force_words_ids);
            history.pop();
            let candidate = Candidate { beam, sum, log_probability, word };
            insert(banks.entry(state).or_default(), candidate, config.num_beams);
        }
    }
    Ok(banks)
}

/// The hypotheses that a source goes on with.
fn go_on<D: Decoder>(
    batch: &mut Batch<D>,
    banks: BTreeMap<Progress, Vec<Candidate>>,
    source: usize,
    next: &mut Vec<NextRow>,
) -> BTreeMap<Progress, Vec<Beam>> {
    let mut beam = |found: Candidate| {
        let Candidate { beam: parent, sum, log_probability, word } = found;
        let last = batch.trace.push(parent.last, word, log_probability, parent.row);
        next.push(NextRow { parent: parent.row, source, word });
        Beam { last, sum, row: next.len() - 1 }
    };
    banks.into_iter().map(|(state, candidates)| (state, candidates.into_iter().map(&mut beam).collect())).collect()
}

impl Source {
    /// Whether nothing can come that is better, or nothing at all, after `length` words.
    fn is_done(&self, config: &GenerationConfig, length: usize) -> bool {
        let best = self.running.values().flatten().map(|beam| beam.sum).fold(f64::NEG_INFINITY, f64::max);
        if length == config.max_new_tokens || best == f64::NEG_INFINITY {
            return true;
        }
        self.ended.get(config.num_beams - 1).is_some_and(|worst| config.stops(best, worst.score, length))
    }
}

/// Keeps the best `width` candidates, of equal ones the earlier.
fn insert(bank: &mut Vec<Candidate>, candidate: Candidate, width: usize) {
    let at = bank.partition_point(|other| other.sum >= candidate.sum);
    bank.insert(at, candidate);
    bank.truncate(width);
}

/// The words that a hypothesis is continued with: the likeliest, and the next of each phrase of the sets that it lacks.
fn continuations(scores: &[f32], history: &[u32], config: &GenerationConfig) -> Vec<u32> {
    let wanted = config.num_beams.saturating_mul(2).min(scores.len());
    let mut words: Vec<u32> = (0..scores.len() as u32).collect();
    let score = |word: u32| scores.get(word as usize).copied().unwrap_or(f32::NEG_INFINITY);
    if wanted < words.len() {
        words.select_nth_unstable_by(wanted, |&a, &b| score(b).total_cmp(&score(a)).then(a.cmp(&b)));
        words.truncate(wanted);
    }
    let next = |phrase: &Vec<u32>| [begun(history, phrase), 0].map(|at| phrase.get(at).copied());
    let sets = config.force_words_ids.iter().zip(progress(history, &config.force_words_ids));
    for (set, _) in sets.filter(|(_, reached)| *reached != Reached::Whole) {
        words.extend(set.iter().flat_map(next).flatten());
    }
    words.sort_unstable();
    words.dedup();
    words
}
