//! Logits processors: what is done to the scores (V) of the next word before one is chosen.
//!
//! Each changes one row of scores (logits or log-probabilities) in place; a word that must not come gets −∞. Meaning and order are
//! transformers'.

use crate::GenerationConfig;
use crate::normaliser::log_sum_exp;
use candle_core::Result;
use std::cmp::Ordering;
use std::collections::BinaryHeap;

const BANNED: f32 = f32::NEG_INFINITY;

/// Changes the scores of the next word; a search applies its list of them to each row at each step.
pub trait LogitsProcessor: Send + Sync {
    /// Changes `scores` (V) in place; `history` is the start word and the words written after it.
    ///
    /// # Errors
    /// When a score is NaN or +∞.
    fn process(&self, scores: &mut [f32], history: &[u32]) -> Result<()>;

    /// Whether it looks at `history`; where none of a search's processors does, the search does not gather it.
    fn reads_history(&self) -> bool {
        true
    }

    /// How many scores it lowers at most where the history has this many words, and raises none: a search then needs the best of a row
    /// and so many more. `None` is for any other change.
    fn lowers(&self, history: usize) -> Option<usize> {
        let _ = history;
        None
    }
}

/// A list of processors, applied in order.
pub type LogitsProcessors = Vec<Box<dyn LogitsProcessor>>;

/// Whether any of a list looks at the history.
pub(crate) fn reads_history(processors: &LogitsProcessors) -> bool {
    processors.iter().any(|processor| processor.reads_history())
}

/// How many scores a list lowers at most; none where it may do anything else.
pub(crate) fn lowers(processors: &LogitsProcessors, history: usize) -> Option<usize> {
    processors.iter().map(|processor| processor.lowers(history)).sum()
}

/// Applies all of a list in order.
pub(crate) fn apply(processors: &LogitsProcessors, scores: &mut [f32], history: &[u32]) -> Result<()> {
    processors.iter().try_for_each(|processor| processor.process(scores, history))
}

impl GenerationConfig {
    /// Penalties and bans, for every search: those that the configuration asks for, in transformers' order.
    pub fn processors(&self) -> LogitsProcessors {
        let mut list: LogitsProcessors = Vec::new();
        if self.repetition_penalty != 1.0 {
            list.push(Box::new(RepetitionPenalty(self.repetition_penalty)));
        }
        if self.no_repeat_ngram_size > 0 {
            list.push(Box::new(NoRepeatNgram(self.no_repeat_ngram_size)));
        }
        if !self.bad_words_ids.is_empty() {
            list.push(Box::new(BadWords { sequences: self.bad_words_ids.clone(), eos_token_id: self.eos_token_id }));
        }
        if self.min_new_tokens > 0 {
            list.push(Box::new(MinNewTokens { count: self.min_new_tokens, eos_token_id: self.eos_token_id }));
        }
        if !self.suppress_tokens.is_empty() {
            list.push(Box::new(SuppressTokens(self.suppress_tokens.clone())));
        }
        list
    }

    /// Temperature and cuts, for sampling, after [`Self::processors`].
    pub fn warpers(&self) -> LogitsProcessors {
        let mut list: LogitsProcessors = Vec::new();
        if self.temperature != 1.0 {
            list.push(Box::new(Temperature(self.temperature)));
        }
        list.push(Box::new(TopK(self.top_k)));
        list.push(Box::new(TopP(self.top_p)));
        if self.typical_p < 1.0 {
            list.push(Box::new(TypicalP(self.typical_p)));
        }
        list
    }
}

/// Divides by the penalty the scores above 0 of the words in `history` and multiplies those below 0.
///
/// Keskar et al. 2019, "CTRL: a conditional transformer language model for controllable generation".
#[derive(Clone, Copy, Debug)]
pub struct RepetitionPenalty(pub f64);

impl LogitsProcessor for RepetitionPenalty {
    fn process(&self, scores: &mut [f32], history: &[u32]) -> Result<()> {
        let penalty = self.0 as f32;
        for (at, &word) in history.iter().enumerate() {
            // A word that came more than once is punished once.
            let again = history.iter().take(at).any(|&earlier| earlier == word);
            if let Some(score) = scores.get_mut(word as usize).filter(|_| !again) {
                *score = if *score < 0.0 { *score * penalty } else { *score / penalty };
            }
        }
        Ok(())
    }

    fn lowers(&self, history: usize) -> Option<usize> {
        (self.0 >= 1.0).then_some(history)
    }
}

/// Bans each word that would complete a run of this many words that is already in `history`; 0 bans none.
#[derive(Clone, Copy, Debug)]
pub struct NoRepeatNgram(pub usize);

impl LogitsProcessor for NoRepeatNgram {
    fn process(&self, scores: &mut [f32], history: &[u32]) -> Result<()> {
        let size = self.0;
        if size == 0 || history.len() < size {
            return Ok(());
        }
        let (_, last) = history.split_at(history.len() + 1 - size);
        for ngram in history.windows(size) {
            if let Some((&word, prefix)) = ngram.split_last()
                && prefix == last
            {
                ban(scores, word);
            }
        }
        Ok(())
    }

    fn lowers(&self, history: usize) -> Option<usize> {
        Some(history)
    }
}

/// Bans the last word of each sequence whose other words are the last of `history`; the end alone is never banned.
#[derive(Clone, Debug)]
pub struct BadWords {
    /// The sequences that never come.
    pub sequences: Vec<Vec<u32>>,
    /// The word that ends a sentence.
    pub eos_token_id: Option<u32>,
}

impl LogitsProcessor for BadWords {
    fn process(&self, scores: &mut [f32], history: &[u32]) -> Result<()> {
        for sequence in &self.sequences {
            if let Some((&word, prefix)) = sequence.split_last()
                && history.ends_with(prefix)
                && self.eos_token_id.is_none_or(|end| sequence.as_slice() != [end])
            {
                ban(scores, word);
            }
        }
        Ok(())
    }

    fn lowers(&self, _: usize) -> Option<usize> {
        Some(self.sequences.len())
    }
}

/// Bans the end before this many words are written.
#[derive(Clone, Copy, Debug)]
pub struct MinNewTokens {
    /// How many words come at least.
    pub count: usize,
    /// The word that ends a sentence.
    pub eos_token_id: Option<u32>,
}

impl LogitsProcessor for MinNewTokens {
    fn process(&self, scores: &mut [f32], history: &[u32]) -> Result<()> {
        // The start is in the history too.
        if history.len() <= self.count {
            self.eos_token_id.into_iter().for_each(|end| ban(scores, end));
        }
        Ok(())
    }

    fn lowers(&self, _: usize) -> Option<usize> {
        Some(1)
    }
}

/// Bans these words.
#[derive(Clone, Debug)]
pub struct SuppressTokens(pub Vec<u32>);

impl LogitsProcessor for SuppressTokens {
    fn process(&self, scores: &mut [f32], _: &[u32]) -> Result<()> {
        self.0.iter().for_each(|&word| ban(scores, word));
        Ok(())
    }

    fn reads_history(&self) -> bool {
        false
    }

    fn lowers(&self, _: usize) -> Option<usize> {
        Some(self.0.len())
    }
}

/// Divides the scores by it: below 1 the likely words become likelier, above 1 all more even.
#[derive(Clone, Copy, Debug)]
pub struct Temperature(pub f64);

impl LogitsProcessor for Temperature {
    fn process(&self, scores: &mut [f32], _: &[u32]) -> Result<()> {
        scores.iter_mut().for_each(|score| *score /= self.0 as f32);
        Ok(())
    }

    fn reads_history(&self) -> bool {
        false
    }
}

/// Bans every score below the k-th largest; words that tie with it stay, as does everything where k is 0.
#[derive(Clone, Copy, Debug)]
pub struct TopK(pub usize);

impl LogitsProcessor for TopK {
    fn process(&self, scores: &mut [f32], _: &[u32]) -> Result<()> {
        let k = self.0;
        if k == 0 || k >= scores.len() {
            return Ok(());
        }
        let mut values = scores.to_vec();
        let (_, &mut threshold, _) = values.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a));
        scores.iter_mut().filter(|score| **score < threshold).for_each(|score| *score = BANNED);
        Ok(())
    }

    fn reads_history(&self) -> bool {
        false
    }
}

/// Keeps the fewest likeliest words whose probabilities softmax(scores) together reach p, and bans the others.
///
/// A word stays while those before it have a sum below p, so that one always stays; of equal ones the lower id is
/// first. Holtzman et al. 2020, "The curious case of neural text degeneration".
#[derive(Clone, Copy, Debug)]
pub struct TopP(pub f64);

impl LogitsProcessor for TopP {
    fn process(&self, scores: &mut [f32], _: &[u32]) -> Result<()> {
        if self.0 >= 1.0 {
            return Ok(());
        }
        let normaliser = log_sum_exp(scores)?;
        if normaliser == BANNED {
            return Ok(());
        }
        let alive = |(_, score): &(usize, &f32)| **score > BANNED;
        // A heap gives the likeliest words in order without sorting the whole vocabulary.
        let mut heap: BinaryHeap<Ranked> =
            scores.iter().enumerate().filter(alive).map(|(word, &score)| Ranked { score, word }).collect();
        let mut kept = Vec::new();
        let mut mass = 0.0;
        while mass < self.0
            && let Some(next) = heap.pop()
        {
            mass += f64::from(next.score - normaliser).exp();
            kept.push(next);
        }
        scores.fill(BANNED);
        for Ranked { score, word } in kept {
            if let Some(slot) = scores.get_mut(word) {
                *slot = score;
            }
        }
        Ok(())
    }

    fn reads_history(&self) -> bool {
        false
    }
}

/// Keeps the fewest words whose surprise −log p is nearest to the entropy H of softmax(scores) and whose probabilities together reach p,
/// and bans the others.
///
/// One word always stays; words as near as the last one stay too. Meister et al. 2023, "Locally typical sampling".
#[derive(Clone, Copy, Debug)]
pub struct TypicalP(pub f64);

impl LogitsProcessor for TypicalP {
    fn process(&self, scores: &mut [f32], _: &[u32]) -> Result<()> {
        let normaliser = log_sum_exp(scores)?;
        if self.0 >= 1.0 || normaliser == BANNED {
            return Ok(());
        }
        let log_p = |score: f32| f64::from(score - normaliser);
        let alive = |score: &&f32| **score > BANNED;
        let entropy = -scores.iter().filter(alive).map(|&score| log_p(score).exp() * log_p(score)).sum::<f64>();
        let distance = |score: f32| (-log_p(score) - entropy).abs();
        let mut near: Vec<(f64, f64)> =
            scores.iter().filter(alive).map(|&score| (distance(score), log_p(score).exp())).collect();
        near.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut mass = 0.0;
        let last = near.iter().position(|(_, p)| {
            mass += p;
            mass >= self.0
        });
        let farthest = near.get(last.unwrap_or(near.len() - 1)).map_or(f64::INFINITY, |(distance, _)| *distance);
        for score in scores.iter_mut().filter(|score| **score > BANNED) {
            if distance(*score) > farthest {
                *score = BANNED;
            }
        }
        Ok(())
    }

    fn reads_history(&self) -> bool {
        false
    }
}

/// A word by its score; the greater has the higher score or, at the same score, the lower id.
struct Ranked {
    score: f32,
    word: usize,
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then(other.word.cmp(&self.word))
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Ranked {}

fn ban(scores: &mut [f32], word: u32) {
    if let Some(score) = scores.get_mut(word as usize) {
        *score = BANNED;
    }
}
