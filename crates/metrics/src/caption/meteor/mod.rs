//! METEOR's score with its exact and stem matchers (Denkowski & Lavie 2014, "Meteor Universal: Language Specific Translation
//! Evaluation for Any Target Language"; parameters of METEOR 1.5 for English).
//!
//! **This is not full METEOR 1.5**, which also pairs synonyms (WordNet) and paraphrases (a table of 60 MB). Scores here are those of METEOR
//! 1.5 run with `-m exact` or `-m "exact stem"` and are lower than full METEOR's by a few points; never compare one with the
//! other.
//!
//! Words of a caption and a reference are paired (see `alignment.rs`). With w = 1 for a pair of equal words and 0.6 for a pair of
//! one stem, and δ = 0.75 weighing content words against function words:
//!
//! ```text
//! P  = Σ w (δ · paired content words + (1−δ) · paired function words of the caption)
//!      / (δ · content words + (1−δ) · function words of the caption)
//! R  = the same for the reference
//! F  = P R / (α P + (1−α) R)                 α = 0.85
//! METEOR = F · (1 − γ (chunks / pairs)^β)    β = 0.2, γ = 0.6
//! ```
//!
//! A segment's score is that of its best reference; the corpus score comes from the statistics summed over the
//! segments' best references.

mod alignment;
mod normalize;
mod pair;
mod stemmer;

pub use pair::Matchers;
pub use stemmer::stem;

use super::segment::{MetricScore, Segment};
use pair::Match;

const ALPHA: f64 = 0.85;
const BETA: f64 = 0.2;
const GAMMA: f64 = 0.6;
const DELTA: f64 = 0.75;
/// What a pair of one stem is worth, a pair of equal words being worth 1.
const STEM_WEIGHT: f64 = 0.6;

/// English words of a relative frequency above 1e-3 as METEOR 1.5 counts them, in order.
const FUNCTION_WORDS: [&str; 93] = [
    "\"", "$", "'", "'s", "'t", "(", ")", ",", "-", "--", "-lrb-", "-rrb-", ".", ":", "?", "a", "about", "after",
    "all", "also", "an", "and", "are", "as", "at", "be", "been", "but", "by", "can", "could", "first", "for", "from",
    "had", "has", "have", "he", "her", "his", "i", "if", "in", "into", "is", "it", "its", "last", "more", "new", "no",
    "not", "of", "on", "one", "or", "other", "out", "over", "people", "s", "said", "she", "so", "some", "than", "that",
    "the", "their", "there", "they", "this", "time", "to", "two", "up", "was", "we", "were", "what", "when", "which",
    "who", "will", "with", "would", "year", "years", "you", "—", "’", "“", "”",
];

/// METEOR 1.5 limited to the exact and stem matchers; see the [module](self) for what that leaves out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meteor {
    /// Which words may be paired.
    pub matchers: Matchers,
}

/// Counts of words, of the caption and of the reference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Side {
    content: usize,
    function: usize,
    /// Paired content words: by equality, by stem.
    content_pairs: [usize; 2],
    /// Paired function words: by equality, by stem.
    function_pairs: [usize; 2],
}

impl Side {
    fn count_word(&mut self, function: bool, paired: Option<Match>) {
        let (words, pairs) = if function {
            (&mut self.function, &mut self.function_pairs)
        } else {
            (&mut self.content, &mut self.content_pairs)
        };
        *words += 1;
        match paired {
            Some(Match::Exact) => pairs[0] += 1,
            Some(Match::Stem) => pairs[1] += 1,
            None => {}
        }
    }

    fn add(&mut self, other: &Self) {
        self.content += other.content;
        self.function += other.function;
        for kind in 0..2 {
            self.content_pairs[kind] += other.content_pairs[kind];
            self.function_pairs[kind] += other.function_pairs[kind];
        }
    }

    fn pairs(&self) -> usize {
        self.content_pairs.iter().chain(&self.function_pairs).sum()
    }

    /// The weighted share of words that are paired.
    fn share(&self) -> f64 {
        let worth = |[exact, stem]: [usize; 2]| exact as f64 + STEM_WEIGHT * stem as f64;
        let paired = DELTA * worth(self.content_pairs) + (1.0 - DELTA) * worth(self.function_pairs);
        paired / (DELTA * self.content as f64 + (1.0 - DELTA) * self.function as f64)
    }
}

/// The statistics of a caption against one reference, or summed over a corpus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Statistics {
    caption: Side,
    reference: Side,
    chunks: usize,
}

impl Statistics {
    fn of(caption: &[String], reference: &[String], matchers: Matchers) -> Self {
        let pairs = alignment::align(caption, reference, matchers);
        let mut paired = vec![None; caption.len()];
        let mut statistics = Self { chunks: alignment::chunks(&pairs), ..Self::default() };
        for (word, pair) in reference.iter().zip(&pairs) {
            statistics.reference.count_word(is_function_word(word), pair.map(|p| p.kind));
            if let Some(pair) = pair {
                paired[pair.caption] = Some(pair.kind);
            }
        }
        for (word, kind) in caption.iter().zip(paired) {
            statistics.caption.count_word(is_function_word(word), kind);
        }
        statistics
    }

    /// Whether every word is paired, in one chunk: there is no fragmentation then, and the chunk is not counted in a corpus either.
    fn is_whole(&self) -> bool {
        let all = |side: &Side| side.pairs() == side.content + side.function;
        self.chunks == 1 && all(&self.caption) && all(&self.reference)
    }

    fn add(&mut self, other: &Self) {
        self.caption.add(&other.caption);
        self.reference.add(&other.reference);
        if !other.is_whole() {
            self.chunks += other.chunks;
        }
    }

    fn score(&self) -> f64 {
        if self.caption.pairs() == 0 {
            return 0.0;
        }
        let (precision, recall) = (self.caption.share(), self.reference.share());
        let mean = 1.0 / ((1.0 - ALPHA) / precision + ALPHA / recall);
        let pairs = (self.caption.pairs() + self.reference.pairs()) as f64 / 2.0;
        let fragmentation = if self.is_whole() { 0.0 } else { self.chunks as f64 / pairs };
        (mean * (1.0 - GAMMA * fragmentation.powf(BETA))).max(0.0)
    }
}

fn is_function_word(word: &str) -> bool {
    FUNCTION_WORDS.binary_search(&word).is_ok()
}

impl Meteor {
    /// The score of each segment (its best reference's) and of the corpus, in [0, 1]; tokens must be lower case.
    ///
    /// Tokens are first split by METEOR's own rules (hyphenated words come apart), as the COCO scorer asks for. An empty caption, or
    /// one without references, scores 0.
    pub fn score(&self, segments: &[Segment]) -> MetricScore {
        let mut total = Statistics::default();
        let mut per_image = Vec::with_capacity(segments.len());
        for segment in segments {
            let caption = normalize::normalize(&segment.hypothesis);
            let mut best: Option<(f64, Statistics)> = None;
            for reference in &segment.references {
                let statistics = Statistics::of(&caption, &normalize::normalize(reference), self.matchers);
                let score = statistics.score();
                if best.is_none_or(|(top, _)| score > top) {
                    best = Some((score, statistics));
                }
            }
            let (score, statistics) = best.unwrap_or_default();
            total.add(&statistics);
            per_image.push(score);
        }
        MetricScore { corpus: total.score(), per_image }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candlewick_testing::words;

    fn score(caption: &str, reference: &str, matchers: Matchers) -> f64 {
        let segment = Segment { hypothesis: words(caption), references: vec![words(reference)] };
        Meteor { matchers }.score(&[segment]).corpus
    }

    #[test]
    fn function_words_are_in_order() {
        assert!(FUNCTION_WORDS.is_sorted());
    }

    #[test]
    fn identical_captions_score_one() {
        assert!((score("a dog runs", "a dog runs", Matchers::Exact) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn by_hand() {
        // "a" is a function word. Caption a dog runs, reference a dog sits: pairs a, dog in one chunk.
        // P = R = (0.25 + 0.75) / (0.25 + 1.5) = 4/7, so F = 4/7; the penalty is 0.6 · (1/2)^0.2.
        let expected = 4.0 / 7.0 * (1.0 - 0.6 * 0.5_f64.powf(0.2));
        assert!((score("a dog runs", "a dog sits", Matchers::Exact) - expected).abs() < 1e-12);
        // With stems, dogs pairs with dog for 0.6: P = R = (0.25 + 0.6 · 0.75) / 1 and one chunk of two, which is whole.
        assert!((score("a dogs", "a dog", Matchers::ExactStem) - 0.7).abs() < 1e-12);
        assert_eq!(score("cats", "dog", Matchers::ExactStem), 0.0);
        assert_eq!(score("", "dog", Matchers::ExactStem), 0.0);
    }

    #[test]
    fn the_best_reference_counts() {
        let segment = Segment { hypothesis: words("a dog"), references: vec![words("cats sit"), words("a dog")] };
        assert!((Meteor::default().score(&[segment]).corpus - 1.0).abs() < 1e-12);
    }
}
