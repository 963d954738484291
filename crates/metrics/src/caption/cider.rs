//! CIDEr (Vedantam et al. 2015, "CIDEr: Consensus-based Image Description Evaluation"), in the form CIDEr-D that the
//! COCO scorer reports as `CIDEr`.
//!
//! Every n-gram w of a caption has the weight g(w) = count(w) · (log M − log max(1, df(w))), M the number of images and df(w) the number
//! of images with w in some reference. For a caption c, its references r_1 … r_m, l the length and n = 1 … 4:
//!
//! ```text
//! CIDEr-D_n = 10/m · Σ_j exp(−(l(c) − l(r_j))² / 2σ²) · min(g(c), g(r_j)) · g(r_j) / (‖g(c)‖ ‖g(r_j)‖)
//! CIDEr-D   = mean over n of CIDEr-D_n,   σ = 6
//! ```
//!
//! As in coco-caption, a length is the number of a caption's bigrams, and the corpus score is the mean of the images'.

use super::segment::{MetricScore, Segment};
use crate::ngram;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// In how many images of a corpus each n-gram occurs.
///
/// Built once from the training references it can be kept (it is serde) and reused, as self-critical training does
/// (Rennie et al. 2017, "Self-critical Sequence Training for Image Captioning").
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub struct DocumentFrequency {
    documents: usize,
    counts: HashMap<Vec<String>, u32>,
}

/// The file form of [`DocumentFrequency`]: n-grams as words joined by spaces, in order.
#[derive(Serialize, Deserialize)]
struct Stored {
    documents: usize,
    counts: BTreeMap<String, u32>,
}

impl From<Stored> for DocumentFrequency {
    fn from(stored: Stored) -> Self {
        let split = |gram: String| gram.split(' ').map(str::to_owned).collect();
        Self { documents: stored.documents, counts: stored.counts.into_iter().map(|(g, c)| (split(g), c)).collect() }
    }
}

impl From<DocumentFrequency> for Stored {
    fn from(frequency: DocumentFrequency) -> Self {
        let counts = frequency.counts.into_iter().map(|(gram, count)| (gram.join(" "), count)).collect();
        Self { documents: frequency.documents, counts }
    }
}

impl DocumentFrequency {
    /// Counts, for n-grams up to length 4, the images of which some reference has them; each item is one image's tokenised references.
    pub fn from_references<'a>(images: impl IntoIterator<Item = &'a [Vec<String>]>) -> Self {
        let mut frequency = Self::default();
        for references in images {
            let grams: BTreeSet<&[String]> =
                references.iter().flat_map(|r| (1..=MAX_N).flat_map(|n| r.windows(n))).collect();
            for gram in grams {
                match frequency.counts.get_mut(gram) {
                    Some(count) => *count += 1,
                    None => drop(frequency.counts.insert(gram.to_vec(), 1)),
                }
            }
            frequency.documents += 1;
        }
        frequency
    }

    /// The number of images counted.
    pub fn documents(&self) -> usize {
        self.documents
    }

    /// In how many images `ngram` (a list of tokens) occurs.
    pub fn count(&self, ngram: &[String]) -> u32 {
        self.counts.get(ngram).copied().unwrap_or(0)
    }

    /// log M − log max(1, df(w)): the weight of one occurrence of `ngram`.
    fn weight(&self, ngram: &[String]) -> f64 {
        (self.documents.max(1) as f64).ln() - f64::from(self.count(ngram).max(1)).ln()
    }
}

const MAX_N: usize = 4;

/// The CIDEr scorer; the default is the COCO scorer's CIDEr-D.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cider {
    /// The width σ of the Gaussian length penalty, in words (6); `None` for no penalty.
    pub sigma: Option<f64>,
    /// Whether an n-gram's weight in the caption is limited to its weight in the reference. With this off and no `sigma` the
    /// score is plain CIDEr, on the tokens as they are (the paper stems them first).
    pub clip: bool,
}

impl Default for Cider {
    fn default() -> Self {
        Self { sigma: Some(6.0), clip: true }
    }
}

/// A caption as tf-idf vectors, one for each n-gram length.
struct Vectors<'a> {
    weights: Vec<BTreeMap<&'a [String], f64>>,
    norms: Vec<f64>,
    bigrams: f64,
}

impl<'a> Vectors<'a> {
    fn new(tokens: &'a [String], frequency: &DocumentFrequency) -> Self {
        let weights: Vec<BTreeMap<_, _>> = (1..=MAX_N)
            .map(|n| {
                ngram::count(tokens, n).into_iter().map(|(g, c)| (g, f64::from(c) * frequency.weight(g))).collect()
            })
            .collect();
        let norms = weights.iter().map(|w| w.values().map(|x| x * x).sum::<f64>().sqrt()).collect();
        Self { weights, norms, bigrams: tokens.len().saturating_sub(1) as f64 }
    }
}

impl Cider {
    /// CIDEr of each caption and its mean over the corpus, with document frequencies counted over the corpus's own references; 0 … 10.
    ///
    /// A corpus of one image scores 0: every n-gram is then in every image.
    pub fn score(&self, segments: &[Segment]) -> MetricScore {
        let frequency = DocumentFrequency::from_references(segments.iter().map(|s| s.references.as_slice()));
        self.score_with(segments, &frequency)
    }

    /// CIDEr of each caption and its mean, with the given document frequencies.
    pub fn score_with(&self, segments: &[Segment], frequency: &DocumentFrequency) -> MetricScore {
        MetricScore::mean_of(
            segments.iter().map(|s| self.caption_score(&s.hypothesis, &s.references, frequency)).collect(),
        )
    }

    /// CIDEr of one caption against its references (lists of tokens): the reward of self-critical training; 0 without references.
    pub fn caption_score(
        &self,
        hypothesis: &[String],
        references: &[Vec<String>],
        frequency: &DocumentFrequency,
    ) -> f64 {
        if references.is_empty() {
            return 0.0;
        }
        let caption = Vectors::new(hypothesis, frequency);
        let sum: f64 = references.iter().map(|r| self.similarity(&caption, &Vectors::new(r, frequency))).sum();
        10.0 * sum / MAX_N as f64 / references.len() as f64
    }

    /// The cosines summed over n, clipped and penalised as configured.
    fn similarity(&self, caption: &Vectors, reference: &Vectors) -> f64 {
        let difference = caption.bigrams - reference.bigrams;
        let penalty = self.sigma.map_or(1.0, |sigma| (-difference * difference / (2.0 * sigma * sigma)).exp());
        let mut sum = 0.0;
        for n in 0..MAX_N {
            let norm = caption.norms[n] * reference.norms[n];
            if norm == 0.0 {
                continue;
            }
            let product: f64 = caption.weights[n]
                .iter()
                .filter_map(|(gram, &own)| reference.weights[n].get(gram).map(|&other| (own, other)))
                .map(|(own, other)| if self.clip { own.min(other) * other } else { own * other })
                .sum();
            sum += product / norm * penalty;
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use candlewick_testing::words;

    fn corpus() -> Vec<Segment> {
        [("a b c d", "a b c d"), ("x", "y z")]
            .map(|(h, r)| Segment { hypothesis: words(h), references: vec![words(r)] })
            .to_vec()
    }

    #[test]
    fn identical_captions_score_ten() {
        let score = Cider::default().score(&corpus());
        assert!((score.per_image[0] - 10.0).abs() < 1e-12);
        assert_eq!(score.per_image[1], 0.0);
        assert!((score.corpus - 5.0).abs() < 1e-12);
    }

    #[test]
    fn clipping_and_length_penalty_by_hand() {
        // Two images; every n-gram of the first is in one of them: all weights are log 2 per occurrence.
        let segments =
            [("a a", "a b"), ("x", "y")].map(|(h, r)| Segment { hypothesis: words(h), references: vec![words(r)] });
        // Unigrams: caption (a: 2), reference (a: 1, b: 1): clipped product 1, norms 2 and √2; nothing longer matches.
        let expected = 10.0 / 4.0 / (2.0 * 2.0_f64.sqrt());
        assert!((Cider::default().score(&segments).per_image[0] - expected).abs() < 1e-12);
        let plain = Cider { sigma: None, clip: false }.score(&segments);
        assert!((plain.per_image[0] - 2.0 * expected).abs() < 1e-12);
        // One word more than the reference: exp(−1/72).
        let segments =
            [("a c", "a"), ("x", "y")].map(|(h, r)| Segment { hypothesis: words(h), references: vec![words(r)] });
        let expected = 10.0 / 4.0 / 2.0_f64.sqrt() * (-1.0_f64 / 72.0).exp();
        assert!((Cider::default().score(&segments).per_image[0] - expected).abs() < 1e-12);
    }

    #[test]
    fn document_frequency_survives_json() {
        let segments = corpus();
        let frequency = DocumentFrequency::from_references(segments.iter().map(|s| s.references.as_slice()));
        assert_eq!((frequency.documents(), frequency.count(&words("b c")), frequency.count(&words("b d"))), (2, 1, 0));
        let json = serde_json::to_string(&frequency).unwrap();
        let back: DocumentFrequency = serde_json::from_str(&json).unwrap();
        assert_eq!(back, frequency);
        assert_eq!(Cider::default().score_with(&segments, &back), Cider::default().score(&segments));
    }
}
