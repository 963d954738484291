//! ROUGE-L (Lin 2004, "ROUGE: A Package for Automatic Evaluation of Summaries").
//!
//! With LCS(c, r) the length of the longest common subsequence of a caption c and a reference r, and β = 1.2:
//!
//! ```text
//! P = max over r of LCS(c, r) / |c|      R = max over r of LCS(c, r) / |r|
//! ROUGE-L = (1 + β²) P R / (R + β² P)
//! ```
//!
//! As in coco-caption, P and R may come from different references, and the corpus score is the mean of the images'.

use super::segment::{MetricScore, Segment};
use std::collections::HashMap;

const BETA: f64 = 1.2;

/// ROUGE-L of each caption and its mean over the corpus, in [0, 1].
///
/// See the [module](self) for the formula. As in coco-caption, a caption without tokens has one, the empty one: it scores 1 against such a
/// reference and 0 against others.
pub fn score(segments: &[Segment]) -> MetricScore {
    MetricScore::mean_of(
        segments
            .iter()
            .map(|segment| {
                let references =
                    segment.references.iter().map(|reference| tokens(reference.iter().map(String::as_str)));
                caption_score(&tokens(segment.hypothesis.iter().map(String::as_str)), references)
            })
            .collect(),
    )
}

/// The tokens of a line, an empty line being one of one empty token.
fn tokens<'a>(words: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let tokens: Vec<&str> = words.collect();
    if tokens.is_empty() { vec![""] } else { tokens }
}

/// ROUGE-L of a caption, both sides as lines of tokens joined by spaces, in which a token may hold other spaces.
pub(crate) fn line_score(caption: &str, references: &[String]) -> f64 {
    caption_score(&caption.split(' ').collect::<Vec<_>>(), references.iter().map(|line| line.split(' ').collect()))
}

fn caption_score<'a>(caption: &[&'a str], references: impl Iterator<Item = Vec<&'a str>>) -> f64 {
    let positions = Positions::new(caption);
    let (precision, recall) = references.fold((0.0_f64, 0.0_f64), |(precision, recall), reference| {
        let common = positions.longest_common_subsequence(&reference) as f64;
        (precision.max(common / caption.len() as f64), recall.max(common / reference.len() as f64))
    });
    if precision == 0.0 || recall == 0.0 {
        return 0.0;
    }
    (1.0 + BETA * BETA) * precision * recall / (recall + BETA * BETA * precision)
}

/// Where a word stands in a sentence.
enum Places {
    /// Fewer than the sentence has groups of 64 words: each place.
    Few(Vec<usize>),
    /// A bit for each word of the sentence.
    Many(Vec<u64>),
}

/// Where each word of a sentence stands.
struct Positions<'a> {
    /// The sentence's groups of 64 words.
    groups: usize,
    of: HashMap<&'a str, Places>,
}

impl<'a> Positions<'a> {
    fn new(words: &[&'a str]) -> Self {
        let groups = words.len().div_ceil(64);
        let mut of: HashMap<&str, Vec<usize>> = HashMap::new();
        for (position, word) in words.iter().enumerate() {
            of.entry(word).or_default().push(position);
        }
        let places = |few: Vec<usize>| {
            if few.len() < groups {
                return Places::Few(few);
            }
            let mut bits = vec![0; groups];
            few.iter().for_each(|position| bits[position / 64] |= 1 << (position % 64));
            Places::Many(bits)
        };
        Self { groups, of: of.into_iter().map(|(word, few)| (word, places(few))).collect() }
    }

    /// Hyyrö 2004, "Bit-parallel LCS-length Computation Revisited": a row of the table as bits, of which bit i is 0 where the length grows at
    /// word i. Words that stand at few places change it there (Hunt & Szymanski 1977), others 64 places at a time.
    fn longest_common_subsequence(&self, words: &[&str]) -> usize {
        let mut row = vec![u64::MAX; self.groups];
        for word in words {
            match self.of.get(word) {
                None => {}
                Some(Places::Few(places)) => places.iter().rev().for_each(|&place| move_growth(&mut row, place)),
                Some(Places::Many(matches)) => {
                    let mut carry = false;
                    for (bits, matches) in row.iter_mut().zip(matches) {
                        let (sum, first) = bits.overflowing_add(*bits & matches);
                        let (sum, second) = sum.overflowing_add(u64::from(carry));
                        carry = first || second;
                        *bits = sum | (*bits & !matches);
                    }
                }
            }
        }
        row.iter().map(|bits| bits.count_zeros() as usize).sum()
    }
}

/// Makes the length grow at `position` instead of the next place where it does.
fn move_growth(row: &mut [u64], position: usize) {
    let (start, bit) = (position / 64, position % 64);
    let next = !row[start] >> bit << bit;
    let next = if next != 0 {
        Some((start, next))
    } else {
        (start + 1..row.len()).map(|i| (i, !row[i])).find(|&(_, zeros)| zeros != 0)
    };
    if let Some((i, zeros)) = next {
        row[i] |= 1 << zeros.trailing_zeros();
    }
    row[start] &= !(1 << bit);
}

#[cfg(test)]
mod tests {
    use super::*;
    use candlewick_testing::words;

    #[test]
    fn lin_2004_example() {
        // Lin's own: the common subsequence of "police killed the gunman" and S1 is 3 of 4 words, of S2 2 of 4.
        let reference = ["police", "killed", "the", "gunman"];
        let common = |caption: &'static str| {
            Positions::new(&caption.split(' ').collect::<Vec<_>>()).longest_common_subsequence(&reference)
        };
        assert_eq!(common("police kill the gunman"), 3);
        assert_eq!(common("the gunman kill police"), 2);
    }

    #[test]
    fn the_bits_equal_the_table() {
        // One row of the table at a time: row[j] is the answer for the part of `a` read so far and b[..j].
        let plain = |a: &[&str], b: &[&str]| {
            let mut row = vec![0; b.len() + 1];
            for word in a {
                let mut diagonal = 0;
                for (j, other) in b.iter().enumerate() {
                    let above = row[j + 1];
                    row[j + 1] = if word == other { diagonal + 1 } else { above.max(row[j]) };
                    diagonal = above;
                }
            }
            row[b.len()]
        };
        let mut state = 1_u64;
        let mut below = |n: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % n
        };
        let names: Vec<String> = (0..200).map(|i| format!("w{i}")).collect();
        for _ in 0..500 {
            let variety = 1 + below(200);
            let mut sentence = || (0..below(260)).map(|_| names[below(variety) as usize].as_str()).collect::<Vec<_>>();
            let (a, b) = (sentence(), sentence());
            assert_eq!(Positions::new(&a).longest_common_subsequence(&b), plain(&a, &b), "{a:?} {b:?}");
        }
    }

    #[test]
    fn precision_and_recall_may_come_from_different_references() {
        let segment = Segment { hypothesis: words("a b c d"), references: vec![words("a b c x y z"), words("a")] };
        // P = 3/4 from the first, R = 1/1 from the second.
        let expected = 2.44 * 0.75 * 1.0 / (1.0 + 1.44 * 0.75);
        assert!((score(&[segment]).corpus - expected).abs() < 1e-12);
    }

    #[test]
    fn nothing_in_common_scores_zero() {
        let segment = Segment { hypothesis: vec![], references: vec![words("a b")] };
        assert_eq!(score(&[segment]).corpus, 0.0);
        let segment = Segment { hypothesis: words("a b"), references: vec![vec![]] };
        assert_eq!(score(&[segment]).corpus, 0.0);
    }

    #[test]
    fn nothing_equals_nothing() {
        let segment = Segment { hypothesis: vec![], references: vec![words("a b"), vec![]] };
        assert_eq!(score(&[segment]).corpus, 1.0);
        let segment = Segment { hypothesis: vec![], references: vec![] };
        assert_eq!(score(&[segment]).corpus, 0.0);
    }
}
