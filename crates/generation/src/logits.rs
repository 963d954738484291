//! What is done to the scores (V) of the next word before one is chosen: penalties, bans, temperature and cuts.
//!
//! Each function changes one row of scores (logits or log-probabilities) in place; a word that must not come gets −∞.
//! Meaning and order are transformers'.

use crate::GenerationConfig;
use candle_core::{Result, bail};
use candlewick_kernels::softmax::log_sum_exp_of_rows;
use std::cmp::Ordering;
use std::collections::BinaryHeap;

const BANNED: f32 = f32::NEG_INFINITY;

/// log Σ exp of the scores; −∞ where all of them are.
///
/// # Errors
/// When a score is NaN or +∞.
pub fn log_sum_exp(scores: &[f32]) -> Result<f32> {
    Ok(log_sum_exps(scores, scores.len())?.first().copied().unwrap_or(BANNED))
}

/// The same of each row of `width` scores.
pub(crate) fn log_sum_exps(scores: &[f32], width: usize) -> Result<Vec<f32>> {
    let found = log_sum_exp_of_rows(scores, width);
    if found.iter().any(|&sum| !sum.is_finite() && sum != BANNED) {
        bail!("decoding: the decoder's logits hold NaN or +inf; its weights or its input are broken")
    }
    Ok(found)
}

/// Divides by the penalty the scores above 0 of the words in `history` and multiplies those below 0.
///
/// Keskar et al. 2019, "CTRL: a conditional transformer language model for controllable generation".
pub fn repetition_penalty(scores: &mut [f32], history: &[u32], penalty: f64) {
    for (at, &word) in history.iter().enumerate() {
        // A word that came more than once is punished once.
        let again = history.iter().take(at).any(|&earlier| earlier == word);
        if let Some(score) = scores.get_mut(word as usize).filter(|_| !again) {
            *score = if *score < 0.0 { *score * penalty as f32 } else { *score / penalty as f32 };
        }
    }
}

/// Bans each word that would complete a run of n = `size` words that is already in `history`; 0 bans none.
pub fn no_repeat_ngram(scores: &mut [f32], history: &[u32], size: usize) {
    if size == 0 || history.len() < size {
        return;
    }
    let (_, last) = history.split_at(history.len() + 1 - size);
    for ngram in history.windows(size) {
        if let Some((&word, prefix)) = ngram.split_last()
            && prefix == last
        {
            ban(scores, word);
        }
    }
}

/// Bans the last word of each sequence whose other words are the last of `history`; the end alone is never banned.
pub fn bad_words(scores: &mut [f32], history: &[u32], sequences: &[Vec<u32>], eos_token_id: u32) {
    for sequence in sequences {
        if let Some((&word, prefix)) = sequence.split_last()
            && history.ends_with(prefix)
            && sequence.as_slice() != [eos_token_id]
        {
            ban(scores, word);
        }
    }
}

/// Bans every score below the k-th largest; words that tie with it stay, as does everything where k is 0.
pub fn top_k(scores: &mut [f32], k: usize) {
    if k == 0 || k >= scores.len() {
        return;
    }
    let mut values = scores.to_vec();
    let (_, &mut threshold, _) = values.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a));
    scores.iter_mut().filter(|score| **score < threshold).for_each(|score| *score = BANNED);
}

/// Keeps the fewest likeliest words whose probabilities softmax(scores) together reach p, and bans the others.
///
/// A word stays while those before it have a sum below p, so that one always stays; of equal ones the lower id is
/// first. Holtzman et al. 2020, "The curious case of neural text degeneration".
///
/// # Errors
/// When a score is NaN or +∞.
pub fn top_p(scores: &mut [f32], p: f64) -> Result<()> {
    if p >= 1.0 {
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
    while mass < p
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

impl GenerationConfig {
    /// Penalties and bans, for every search; `history` has the start and the `written` words after it.
    pub(crate) fn constrain(&self, scores: &mut [f32], history: &[u32], written: usize) {
        if self.repetition_penalty != 1.0 {
            repetition_penalty(scores, history, self.repetition_penalty);
        }
        no_repeat_ngram(scores, history, self.no_repeat_ngram_size);
        bad_words(scores, history, &self.bad_words_ids, self.eos_token_id);
        if written < self.min_new_tokens {
            ban(scores, self.eos_token_id);
        }
        self.suppress_tokens.iter().for_each(|&word| ban(scores, word));
    }

    /// Temperature and cuts, for sampling.
    pub(crate) fn warp(&self, scores: &mut [f32]) -> Result<()> {
        if self.temperature != 1.0 {
            scores.iter_mut().for_each(|score| *score /= self.temperature as f32);
        }
        top_k(scores, self.top_k);
        top_p(scores, self.top_p)
    }
}
