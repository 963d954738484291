//! BLEU-1 to BLEU-4 (Papineni et al. 2002, "BLEU: a Method for Automatic Evaluation of Machine Translation").
//!
//! With p_k the share of a caption's k-grams found in some reference (each counted at most as often as in the reference that has
//! it most), c the caption's length and r the length of the closest reference:
//!
//! ```text
//! BLEU-n = min(1, exp(1 − r/c)) · (p_1 · … · p_n)^(1/n)
//! ```
//!
//! The corpus score sums matches, k-grams and lengths over all images before dividing. As in coco-caption's BleuScorer, every
//! match count carries + 1e-15 and every k-gram count + 1e-9, so that a score is tiny rather than undefined where nothing matches,
//! and of two references equally close in length the shorter counts.

use super::segment::{MetricScore, Segment};
use crate::ngram;

const MAX_N: usize = 4;
/// Added to match counts and to the caption length.
const TINY: f64 = 1e-15;
/// Added to k-gram counts and to the reference length.
const SMALL: f64 = 1e-9;

/// What BLEU needs to know of a caption, or summed, of a corpus.
#[derive(Clone, Copy, Default)]
struct Statistics {
    hypothesis_length: usize,
    reference_length: usize,
    matches: [u64; MAX_N],
    ngrams: [u64; MAX_N],
}

impl Statistics {
    fn of(segment: &Segment) -> Self {
        let length = segment.hypothesis.len();
        let closest = ngram::closest_length(length, segment.references.iter().map(Vec::len));
        let mut statistics = Self { hypothesis_length: length, reference_length: closest, ..Self::default() };
        for (n, (matches, ngrams)) in (1..).zip(statistics.matches.iter_mut().zip(&mut statistics.ngrams)) {
            *ngrams = (length + 1).saturating_sub(n) as u64;
            *matches = ngram::clipped(&segment.hypothesis, segment.references.iter().map(Vec::as_slice), n);
        }
        statistics
    }

    fn add(&mut self, other: &Self) {
        self.hypothesis_length += other.hypothesis_length;
        self.reference_length += other.reference_length;
        for n in 0..MAX_N {
            self.matches[n] += other.matches[n];
            self.ngrams[n] += other.ngrams[n];
        }
    }

    fn scores(&self) -> [f64; MAX_N] {
        let ratio = (self.hypothesis_length as f64 + TINY) / (self.reference_length as f64 + SMALL);
        let brevity = if ratio < 1.0 { (1.0 - 1.0 / ratio).exp() } else { 1.0 };
        let mut scores = [0.0; MAX_N];
        let mut product = 1.0;
        for (n, score) in scores.iter_mut().enumerate() {
            product *= (self.matches[n] as f64 + TINY) / (self.ngrams[n] as f64 + SMALL);
            *score = f64::powf(product, 1.0 / (n + 1) as f64) * brevity;
        }
        scores
    }
}

/// BLEU-1, BLEU-2, BLEU-3 and BLEU-4 of a corpus and of each of its captions, in [0, 1].
///
/// The corpus score is computed from summed counts; it is not the mean of the captions' scores. An empty corpus scores 0.
/// See the [module](self) for the formula.
pub fn score(segments: &[Segment]) -> [MetricScore; MAX_N] {
    let mut total = Statistics::default();
    let mut result: [MetricScore; MAX_N] = Default::default();
    for segment in segments {
        let statistics = Statistics::of(segment);
        total.add(&statistics);
        for (metric, score) in result.iter_mut().zip(statistics.scores()) {
            metric.per_image.push(score);
        }
    }
    if !segments.is_empty() {
        for (metric, score) in result.iter_mut().zip(total.scores()) {
            metric.corpus = score;
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use candlewick_testing::words;

    #[test]
    fn papineni_example_is_clipped() {
        // "the" seven times: only two of them are in a reference, so the modified unigram precision is 2/7.
        let segment = Segment {
            hypothesis: words("the the the the the the the"),
            references: vec![words("the cat is on the mat"), words("there is a cat on the mat")],
        };
        let [bleu_1, bleu_2, ..] = score(&[segment]);
        assert!((bleu_1.corpus - 2.0 / 7.0).abs() < 1e-8);
        assert!(bleu_2.corpus < 1e-7 && bleu_2.corpus > 0.0);
    }

    #[test]
    fn short_captions_are_penalised_by_the_closest_reference() {
        let segment = Segment {
            hypothesis: words("a dog runs"),
            references: vec![words("a dog runs fast"), words("a dog runs on the wide beach")],
        };
        let [bleu_1, ..] = score(&[segment]);
        assert!((bleu_1.corpus - (1.0_f64 - 4.0 / 3.0).exp()).abs() < 1e-8);
        // Lengths 2 and 4 are equally close to 3: the shorter counts, and there is no penalty.
        let tie = Segment { hypothesis: words("a b c"), references: vec![words("a b c d"), words("a b")] };
        assert!((score(&[tie])[0].corpus - 1.0).abs() < 1e-8);
    }

    #[test]
    fn corpus_score_sums_counts() {
        let segments = [("a b", "a b"), ("c d e f", "x y z w")]
            .map(|(h, r)| Segment { hypothesis: words(h), references: vec![words(r)] });
        let [bleu_1, ..] = score(&segments);
        assert!((bleu_1.corpus - 2.0 / 6.0).abs() < 1e-8);
        assert!((bleu_1.per_image[0] - 1.0).abs() < 1e-8 && bleu_1.per_image[1] < 1e-8);
    }
}
