//! Writing one word after another: the likeliest, or one drawn at random.

use crate::batch::{Batch, NextRow};
use crate::config::GenerationConfig;
use crate::decoder::Decoder;
use crate::hypothesis::{Hypothesis, root};
use crate::normaliser::log_sum_exp;
use crate::processors::{LogitsProcessor, LogitsProcessors, apply, reads_history};
use crate::search::Search;
use candle_core::Result;
use candlewick_parameters::Rng;

/// A word as it is written: by which sentence of which source, and none where the sentence ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamedWord {
    /// The row of the memory.
    pub source: usize,
    /// Which of the `num_return_sequences` sentences of the source.
    pub sentence: usize,
    /// The word; none where the sentence ended or nothing could follow.
    pub word: Option<u32>,
}

/// Where a sentence stands.
enum Status {
    /// It goes on from this row of the batch.
    Running(usize),
    /// It ended with this log-probability.
    Ended(f32),
    /// Every next word is banned or impossible.
    Stuck,
}

/// One sentence of one source.
struct Sentence {
    source: usize,
    number: usize,
    last: usize,
    status: Status,
    rng: Rng,
}

/// Greedy search (without `do_sample`) or sampling, for all sources in one batch; sentences that are done leave it.
///
/// Sentence k of source n draws from a generator derived from (seed, "sampling", n + 2³² k), so that it depends neither on
/// the other sources nor on the other sentences.
pub struct Sampling<D: Decoder> {
    batch: Batch<D>,
    config: GenerationConfig,
    warpers: LogitsProcessors,
    count: usize,
    sentences: Vec<Sentence>,
    written: Vec<StreamedWord>,
}

impl<D: Decoder> Sampling<D> {
    /// A search before its first word, about the `count` rows of `memory`.
    ///
    /// # Errors
    /// When the configuration is not valid for this decoder, or the memory does not fit it.
    pub fn new(decoder: D, memory: D::Memory, count: usize, config: &GenerationConfig) -> Result<Self> {
        Ok(Self::of(Batch::new(decoder, memory, count, config)?, config))
    }

    /// A search that goes on from `prompts`, one for each row of `memory` and all of one length.
    ///
    /// # Errors
    /// As [`Sampling::new`] says, and when a prompt is empty or of another length.
    pub fn after(decoder: D, memory: D::Memory, prompts: &[Vec<u32>], config: &GenerationConfig) -> Result<Self> {
        Ok(Self::of(Batch::after(decoder, memory, prompts, config)?, config))
    }

    pub(crate) fn of(batch: Batch<D>, config: &GenerationConfig) -> Self {
        let count = batch.sources();
        let sentence = |source: usize, k: usize| Sentence {
            source,
            number: k,
            last: root(source),
            status: Status::Running(source),
            rng: Rng::derive(config.seed, "sampling", source as u64 + ((k as u64) << 32)),
        };
        let numbers = 0..config.num_return_sequences;
        let sentences = (0..count).flat_map(|source| numbers.clone().map(move |k| sentence(source, k))).collect();
        let warpers = if config.do_sample { config.warpers() } else { Vec::new() };
        Self { batch, config: config.clone(), warpers, count, sentences, written: Vec::new() }
    }

    /// The words of the last [`Search::advance`], in the order of the sentences.
    pub fn last_words(&self) -> &[StreamedWord] {
        &self.written
    }
}

impl<D: Decoder> Search for Sampling<D> {
    fn advance(&mut self) -> Result<bool> {
        let written = self.batch.trace.steps();
        if self.batch.is_empty() || written >= self.config.max_new_tokens {
            return Ok(false);
        }
        self.written.clear();
        let logits = self.batch.step((!self.config.do_sample).then_some(1))?;
        let reads_history = self.batch.reads_history() || reads_history(&self.warpers);
        let (mut next, mut history) = (Vec::new(), Vec::new());
        for sentence in &mut self.sentences {
            let Status::Running(row) = sentence.status else { continue };
            let (logits, normaliser) = (logits.row(row), logits.normaliser(row));
            let mut scores = logits.to_vec();
            if reads_history {
                self.batch.trace.read(sentence.last, &mut history);
            }
            apply(&self.batch.processors, &mut scores, &history)?;
            let choice = if self.config.do_sample {
                apply(&self.warpers, &mut scores, &history)?;
                draw(&scores, &mut sentence.rng)?
            } else {
                largest(&scores)
            };
            let mut tell =
                |word| self.written.push(StreamedWord { source: sentence.source, sentence: sentence.number, word });
            let Some(word) = choice else {
                sentence.status = Status::Stuck;
                tell(None);
                continue;
            };
            let log_probability = logits.get(word as usize).map_or(f32::NEG_INFINITY, |logit| logit - normaliser);
            if Some(word) == self.config.eos_token_id {
                sentence.status = Status::Ended(log_probability);
                tell(None);
                continue;
            }
            tell(Some(word));
            sentence.last = self.batch.trace.push(sentence.last, word, log_probability, row);
            sentence.status = Status::Running(next.len());
            next.push(NextRow { parent: row, source: sentence.source, word });
        }
        self.batch.select(&next)?;
        Ok(!self.batch.is_empty() && written + 1 < self.config.max_new_tokens)
    }

    /// In the order of their numbers.
    fn hypotheses(&self) -> Result<Vec<Vec<Hypothesis>>> {
        let alphas = self.batch.trace.alphas()?;
        let mut found: Vec<Vec<Hypothesis>> = (0..self.count).map(|_| Vec::new()).collect();
        for sentence in &self.sentences {
            let end = if let Status::Ended(end) = sentence.status { Some(end) } else { None };
            if let Some(source) = found.get_mut(sentence.source) {
                source.push(self.batch.trace.hypothesis(sentence.last, end, &alphas, self.config.length_penalty));
            }
        }
        Ok(found)
    }

    fn add_processor(&mut self, processor: Box<dyn LogitsProcessor>) {
        self.batch.processors.push(processor);
    }
}

/// Words one by one as they are written: a search without beams as an iterator.
///
/// A search that was stopped by `max_new_tokens` ends without a `None` for the sentences that were cut off.
pub fn stream<D: Decoder>(mut search: Sampling<D>) -> impl Iterator<Item = Result<StreamedWord>> {
    let (mut more, mut waiting) = (true, Vec::new().into_iter());
    std::iter::from_fn(move || {
        loop {
            if let Some(word) = waiting.next() {
                return Some(Ok(word));
            }
            if !more {
                return None;
            }
            match search.advance() {
                Ok(goes_on) => {
                    more = goes_on;
                    waiting = search.last_words().to_vec().into_iter();
                }
                Err(error) => {
                    more = false;
                    return Some(Err(error));
                }
            }
        }
    })
}

/// The word of the largest score, the lowest id of equal ones; none where all are −∞.
fn largest(scores: &[f32]) -> Option<u32> {
    let mut best = (f32::NEG_INFINITY, None);
    for (word, &score) in (0u32..).zip(scores) {
        if score > best.0 {
            best = (score, Some(word));
        }
    }
    best.1
}

/// A word drawn with probabilities softmax(scores); none where all are −∞.
fn draw(scores: &[f32], rng: &mut Rng) -> Result<Option<u32>> {
    let normaliser = log_sum_exp(scores)?;
    let mut left = f64::from(rng.uniform());
    let mut drawn = None;
    for (word, &score) in (0u32..).zip(scores).filter(|(_, score)| **score > f32::NEG_INFINITY) {
        // Where rounding leaves a little over after the last word, the last one is taken.
        drawn = Some(word);
        left -= f64::from(score - normaliser).exp();
        if left < 0.0 {
            break;
        }
    }
    Ok(drawn)
}
