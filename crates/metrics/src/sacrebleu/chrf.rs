//! chrF (Popović 2015, "chrF: character n-gram F-score for automatic MT evaluation") and chrF++, which counts words too (Popović 2017,
//! "chrF++: words helping character n-grams"), as sacreBLEU computes them.
//!
//! With P and R the means of precision and recall over the n-grams of n = 1 … 6 characters, for chrF++ of 1 and 2 words as well:
//!
//! ```text
//! chrFβ = 100 · (1 + β²) · P · R / (β² · P + R),   β = 2
//! ```
//!
//! Counts are summed over the corpus, with each translation's from the reference that scores best; an n of which either side has no
//! n-gram does not count.

use super::tokenizer::{is_space, words};
use super::{Error, Segment, VERSION, cased, head};
use crate::ngram;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How chrF is computed; by default chrF2 as sacreBLEU does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Chrf {
    /// The longest n-grams of characters.
    pub character_order: usize,
    /// The longest n-grams of words; 0 for chrF, 2 for chrF++.
    pub word_order: usize,
    /// β: recall counts β times as much as precision.
    pub beta: u32,
    /// Whether all letters are made small first.
    pub lowercase: bool,
    /// Whether spaces are characters.
    pub whitespace: bool,
}

impl Default for Chrf {
    fn default() -> Self {
        Self { character_order: 6, word_order: 0, beta: 2, lowercase: false, whitespace: false }
    }
}

/// chrF and how it was computed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ChrfScore {
    /// chrF, 0 to 100.
    pub score: f64,
    /// Its name: `chrF2`, `chrF2++`.
    pub name: String,
    /// How it was computed, as sacreBLEU writes it.
    pub signature: String,
}

impl fmt::Display for ChrfScore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {:.2}", self.name, self.score)
    }
}

impl Chrf {
    /// chrF++: chrF with n-grams of one and two words.
    pub fn plus_plus() -> Self {
        Self { word_order: 2, ..Self::default() }
    }

    /// chrF of a corpus, from summed counts.
    ///
    /// # Errors
    /// When there is no segment, or one without a reference.
    pub fn corpus(&self, segments: &[Segment]) -> Result<ChrfScore, Error> {
        let signature = format!(
            "{}|eff:yes|nc:{}|nw:{}|space:{}|version:{VERSION}",
            head(segments, self.lowercase)?,
            self.character_order,
            self.word_order,
            if self.whitespace { "yes" } else { "no" },
        );
        let mut total = vec![Counts::default(); self.character_order + self.word_order];
        for segment in segments {
            total.iter_mut().zip(self.best(segment)).for_each(|(total, counts)| total.add(counts));
        }
        let name = format!("chrF{}{}", self.beta, "+".repeat(self.word_order));
        Ok(ChrfScore { score: self.score(&total), name, signature })
    }

    /// chrF of one sentence.
    ///
    /// # Errors
    /// When it has no reference.
    pub fn sentence(&self, segment: &Segment) -> Result<ChrfScore, Error> {
        self.corpus(std::slice::from_ref(segment))
    }

    /// The counts for the reference that scores best, of equal ones the first.
    fn best(&self, segment: &Segment) -> Vec<Counts> {
        let texts = segment.texts(|text| self.units(text));
        let mut best = (f64::NEG_INFINITY, Vec::new());
        for reference in &texts.references {
            let counts = self.counts(&texts.hypothesis, reference);
            let score = self.score(&counts);
            if score > best.0 {
                best = (score, counts);
            }
        }
        best.1
    }

    fn units(&self, text: &str) -> Units {
        let text = cased(text, self.lowercase);
        let words = if self.word_order > 0 { words(&text).flat_map(without_mark).collect() } else { Vec::new() };
        Units { characters: text.chars().filter(|&letter| self.whitespace || !is_space(letter)).collect(), words }
    }

    fn counts(&self, hypothesis: &Units, reference: &Units) -> Vec<Counts> {
        let characters =
            (1..=self.character_order).map(|n| Counts::of(&hypothesis.characters, &reference.characters, n));
        characters.chain((1..=self.word_order).map(|n| Counts::of(&hypothesis.words, &reference.words, n))).collect()
    }

    fn score(&self, counts: &[Counts]) -> f64 {
        let counted: Vec<&Counts> = counts.iter().filter(|one| one.hypothesis > 0 && one.reference > 0).collect();
        let mean = |all: fn(&Counts) -> u64| {
            let shares = counted.iter().map(|counts| counts.matches as f64 / all(counts) as f64);
            shares.sum::<f64>() / counted.len().max(1) as f64
        };
        let (precision, recall) = (mean(|counts| counts.hypothesis), mean(|counts| counts.reference));
        let beta = f64::from(self.beta).powi(2);
        match precision + recall > 0.0 {
            true => 100.0 * (1.0 + beta) * precision * recall / (beta * precision + recall),
            false => 0.0,
        }
    }
}

/// What n-grams are made of.
struct Units {
    characters: Vec<char>,
    words: Vec<String>,
}

/// A word and the ASCII mark at its end or, where there is none, at its beginning.
fn without_mark(word: &str) -> Vec<String> {
    let mark = |letter: Option<char>| letter.is_some_and(|letter| letter.is_ascii_punctuation());
    let (mut from_start, mut from_end) = (word.chars(), word.chars());
    let parts = match () {
        () if word.chars().nth(1).is_none() => [word, ""],
        () if mark(from_end.next_back()) => [from_end.as_str(), &word[from_end.as_str().len()..]],
        () if mark(from_start.next()) => [&word[..word.len() - from_start.as_str().len()], from_start.as_str()],
        () => [word, ""],
    };
    parts.into_iter().filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// The n-grams of one n.
#[derive(Clone, Copy, Default)]
struct Counts {
    hypothesis: u64,
    reference: u64,
    matches: u64,
}

impl Counts {
    fn of<T: Ord>(hypothesis: &[T], reference: &[T], n: usize) -> Self {
        let ngrams = |tokens: &[T]| (tokens.len() + 1).saturating_sub(n) as u64;
        let reference_ngrams = ngrams(reference);
        Self {
            // Without any in the reference they do not count, neither here nor in a sum.
            hypothesis: if reference_ngrams > 0 { ngrams(hypothesis) } else { 0 },
            reference: reference_ngrams,
            matches: ngram::clipped(hypothesis, [reference], n),
        }
    }

    fn add(&mut self, other: Self) {
        self.hypothesis += other.hypothesis;
        self.reference += other.reference;
        self.matches += other.matches;
    }
}
