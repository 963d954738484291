//! Beam search: the best few hypotheses of each photo go on together.

use super::batch::{Batch, Logits, Next};
use super::hypothesis::{ROOT, penalised};
use super::logits::log_sum_exp;
use super::{Decoder, EarlyStopping, GenerationConfig, Hypothesis};
use candle_core::Result;

/// A hypothesis that goes on.
struct Beam {
    /// Its last word in the trace.
    last: usize,
    /// Σ log p of its words.
    sum: f64,
    /// Its row of the batch.
    row: usize,
}

/// A hypothesis that ended: its last word before the end, the end's log-probability and its score.
struct Ended {
    last: usize,
    end: f32,
    score: f64,
}

/// A beam with one more word.
#[derive(Clone, Copy)]
struct Candidate {
    sum: f64,
    log_probability: f32,
    /// Index of the beam among the photo's.
    beam: usize,
    word: u32,
}

/// What was found for one photo.
struct Photo {
    /// The best first.
    running: Vec<Beam>,
    /// The best first, at most `num_beams`.
    ended: Vec<Ended>,
    open: bool,
}

/// Beam search for all photos in one batch, as transformers does it; photos that are done leave the batch.
///
/// A hypothesis scores Σ log p / length^length_penalty, where the length counts its words and the end. Each step ranks
/// all continuations of a photo's beams by Σ log p (of equal ones the better beam's first, then the lower word id). Ends
/// among the first `num_beams` are kept, the best `num_beams` of them by score; of the rest, the first `num_beams`
/// without an end go on. [`EarlyStopping`](super::EarlyStopping) says when a photo is done. Hypotheses cut off at
/// `max_new_tokens` are compared with the ended ones by score.
pub struct BeamSearch<'a, D: Decoder> {
    batch: Batch<'a, D>,
    config: GenerationConfig,
    photos: Vec<Photo>,
}

impl<'a, D: Decoder> BeamSearch<'a, D> {
    /// A search before its first word, about the `count` rows of `memory`.
    ///
    /// # Errors
    /// When the configuration is not valid for this decoder, or the memory does not fit it.
    pub fn new(decoder: &'a D, memory: &'a D::Memory, count: usize, config: &GenerationConfig) -> Result<Self> {
        let batch = Batch::new(decoder, memory, count, config)?;
        let start = |row| Photo { running: vec![Beam { last: ROOT, sum: 0.0, row }], ended: Vec::new(), open: true };
        Ok(Self { batch, config: config.clone(), photos: (0..count).map(start).collect() })
    }

    /// Writes one more word of every beam of every photo that is not done; whether there is more to write.
    ///
    /// # Errors
    /// When a step fails, or logits are not numbers.
    pub fn advance(&mut self) -> Result<bool> {
        let length = self.batch.trace.steps() + 1;
        if self.batch.is_empty() || length > self.config.max_new_tokens {
            return Ok(false);
        }
        let logits = self.batch.step()?;
        let mut next = Vec::new();
        for (index, photo) in self.photos.iter_mut().enumerate().filter(|(_, photo)| photo.open) {
            let candidates = candidates(photo, &logits, &self.batch, &self.config, length)?;
            photo.take(&candidates, &mut self.batch, &self.config, length);
            photo.close(&self.config, length);
            if photo.open {
                for beam in &mut photo.running {
                    let parent = std::mem::replace(&mut beam.row, next.len());
                    next.push(Next { parent, photo: index, word: self.batch.trace.word(beam.last) });
                }
            }
        }
        self.batch.select(&next)?;
        Ok(!self.batch.is_empty())
    }

    /// For each photo its `num_return_sequences` best hypotheses as far as they are written, the best first.
    ///
    /// A list is shorter where fewer exist, and never empty.
    ///
    /// # Errors
    /// When attention weights cannot be brought to the host.
    pub fn finish(&self) -> Result<Vec<Vec<Hypothesis>>> {
        let alphas = self.batch.trace.alphas()?;
        let best = |photo: &Photo| {
            let ended = photo.ended.iter().map(|ended| (ended.last, Some(ended.end)));
            let found = ended.chain(photo.running.iter().map(|beam| (beam.last, None)));
            let hypothesis = |(last, end)| self.batch.trace.hypothesis(last, end, &alphas, &self.config);
            let mut found: Vec<Hypothesis> = found.map(hypothesis).collect();
            found.sort_by(|a, b| b.score.total_cmp(&a.score));
            found.truncate(self.config.num_return_sequences);
            found
        };
        Ok(self.photos.iter().map(best).collect())
    }
}

/// The 2 · `num_beams` best continuations of a photo's beams, the best first; impossible ones are left out.
///
/// Each beam can end in one way only, so that `num_beams` of them are left to go on.
fn candidates<D: Decoder>(
    photo: &Photo,
    logits: &Logits,
    batch: &Batch<D>,
    config: &GenerationConfig,
    length: usize,
) -> Result<Vec<Candidate>> {
    let wanted = 2 * config.num_beams;
    let mut best: Vec<Candidate> = Vec::with_capacity(wanted + 1);
    let mut threshold = f64::NEG_INFINITY;
    let (mut scores, mut history) = (Vec::new(), Vec::new());
    for (index, beam) in photo.running.iter().enumerate() {
        let logits = logits.row(beam.row);
        let normaliser = log_sum_exp(logits)?;
        scores.clear();
        // A row of −∞ only would otherwise become NaN.
        scores.extend(logits.iter().map(|&logit| if logit > f32::NEG_INFINITY { logit - normaliser } else { logit }));
        batch.trace.read(beam.last, &mut history);
        config.constrain(&mut scores, &history, length - 1);
        for (word, &log_probability) in (0u32..).zip(&scores) {
            let sum = beam.sum + f64::from(log_probability);
            // An equal one came earlier and stays before this one.
            if sum > threshold {
                let at = best.partition_point(|candidate| candidate.sum >= sum);
                best.insert(at, Candidate { sum, log_probability, beam: index, word });
                best.truncate(wanted);
                threshold = best.get(wanted - 1).map_or(f64::NEG_INFINITY, |worst| worst.sum);
            }
        }
    }
    Ok(best)
}

impl Photo {
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
        let parents = std::mem::take(&mut self.running);
        for (rank, candidate) in candidates.iter().enumerate() {
            let Some(parent) = parents.get(candidate.beam) else { continue };
            if candidate.word == config.eos_token_id {
                if rank < config.num_beams {
                    let score = penalised(candidate.sum, length, config.length_penalty);
                    self.end(Ended { last: parent.last, end: candidate.log_probability, score }, config.num_beams);
                }
            } else if self.running.len() < config.num_beams {
                let last = batch.trace.push(parent.last, candidate.word, candidate.log_probability, parent.row);
                self.running.push(Beam { last, sum: candidate.sum, row: parent.row });
            }
        }
    }

    /// Keeps the best `num_beams` ended hypotheses, of equal ones the earlier.
    fn end(&mut self, ended: Ended, num_beams: usize) {
        let at = self.ended.partition_point(|other| other.score >= ended.score);
        self.ended.insert(at, ended);
        self.ended.truncate(num_beams);
    }

    /// Closes the photo when it is done after `length` words.
    fn close(&mut self, config: &GenerationConfig, length: usize) {
        if length == config.max_new_tokens || self.running.is_empty() {
            self.open = false;
            return;
        }
        let (Some(best), Some(worst)) = (self.running.first(), self.ended.get(config.num_beams - 1)) else { return };
        let promise = match config.early_stopping {
            EarlyStopping::Never if config.length_penalty > 0.0 => config.max_new_tokens,
            _ => length,
        };
        let better = penalised(best.sum, promise, config.length_penalty) > worst.score;
        if config.early_stopping == EarlyStopping::True || !better {
            self.open = false;
            self.running.clear();
        }
    }
}
