//! Writing one word after another: the likeliest, or one drawn at random.

use crate::batch::{Batch, NextRow};
use crate::hypothesis::ROOT;
use crate::logits::log_sum_exp;
use crate::{Decoder, GenerationConfig, Hypothesis};
use candle_core::Result;
use candlewick_parameters::Rng;

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
    last: usize,
    status: Status,
    rng: Rng,
}

/// Greedy search (without `do_sample`) or sampling, for all sources in one batch; sentences that are done leave it.
///
/// Sentence k of source n draws from a generator derived from (seed, "sampling", n + 2³² k), so that it depends neither on
/// the other sources nor on the other sentences.
pub struct Sampling<'a, D: Decoder> {
    batch: Batch<'a, D>,
    config: GenerationConfig,
    count: usize,
    sentences: Vec<Sentence>,
}

impl<'a, D: Decoder> Sampling<'a, D> {
    /// A search before its first word, about the `count` rows of `memory`.
    ///
    /// # Errors
    /// When the configuration is not valid for this decoder, or the memory does not fit it.
    pub fn new(decoder: &'a D, memory: &'a D::Memory, count: usize, config: &GenerationConfig) -> Result<Self> {
        let batch = Batch::new(decoder, memory, count, config)?;
        let sentence = |source: usize, k: usize| Sentence {
            source,
            last: ROOT,
            status: Status::Running(source),
            rng: Rng::derive(config.seed, "sampling", source as u64 + ((k as u64) << 32)),
        };
        let numbers = 0..config.num_return_sequences;
        let sentences = (0..count).flat_map(|source| numbers.clone().map(move |k| sentence(source, k))).collect();
        Ok(Self { batch, config: config.clone(), count, sentences })
    }

    /// Writes one more word of each sentence that is not done; whether there is more to write.
    ///
    /// # Errors
    /// When a step fails, or logits are not numbers.
    pub fn advance(&mut self) -> Result<bool> {
        let written = self.batch.trace.steps();
        if self.batch.is_empty() || written >= self.config.max_new_tokens {
            return Ok(false);
        }
        let logits = self.batch.step()?;
        let (mut next, mut history) = (Vec::new(), Vec::new());
        for sentence in &mut self.sentences {
            let Status::Running(row) = sentence.status else { continue };
            let (logits, normaliser) = (logits.row(row), logits.normaliser(row));
            let mut scores = logits.to_vec();
            self.batch.trace.read(sentence.last, &mut history);
            self.config.constrain(&mut scores, &history, written);
            let choice = if self.config.do_sample {
                self.config.warp(&mut scores)?;
                draw(&scores, &mut sentence.rng)?
            } else {
                largest(&scores)
            };
            let Some(word) = choice else {
                sentence.status = Status::Stuck;
                continue;
            };
            let log_probability = logits.get(word as usize).map_or(f32::NEG_INFINITY, |logit| logit - normaliser);
            if word == self.config.eos_token_id {
                sentence.status = Status::Ended(log_probability);
                continue;
            }
            sentence.last = self.batch.trace.push(sentence.last, word, log_probability, row);
            sentence.status = Status::Running(next.len());
            next.push(NextRow { parent: row, source: sentence.source, word });
        }
        self.batch.select(&next)?;
        Ok(!self.batch.is_empty() && written + 1 < self.config.max_new_tokens)
    }

    /// For each source its `num_return_sequences` sentences as far as they are written, in the order of their numbers.
    ///
    /// # Errors
    /// When attention weights cannot be brought to the host.
    pub fn finish(&self) -> Result<Vec<Vec<Hypothesis>>> {
        let alphas = self.batch.trace.alphas()?;
        let mut found: Vec<Vec<Hypothesis>> = (0..self.count).map(|_| Vec::new()).collect();
        for sentence in &self.sentences {
            let end = if let Status::Ended(end) = sentence.status { Some(end) } else { None };
            if let Some(source) = found.get_mut(sentence.source) {
                source.push(self.batch.trace.hypothesis(sentence.last, end, &alphas, &self.config));
            }
        }
        Ok(found)
    }
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
