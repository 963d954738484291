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

use crate::{MetricScore, Segment};

const BETA: f64 = 1.2;

/// ROUGE-L of each caption and its mean over the corpus, in [0, 1].
///
/// See the [module](self) for the formula; a caption or a reference without tokens contributes 0.
pub fn score(segments: &[Segment]) -> MetricScore {
    MetricScore::mean_of(segments.iter().map(caption_score).collect())
}

fn caption_score(segment: &Segment) -> f64 {
    let mut precision: f64 = 0.0;
    let mut recall: f64 = 0.0;
    for reference in &segment.references {
        let common = longest_common_subsequence(&segment.hypothesis, reference) as f64;
        // An empty sequence has nothing in common with another: 0 of (at least) 1.
        precision = precision.max(common / segment.hypothesis.len().max(1) as f64);
        recall = recall.max(common / reference.len().max(1) as f64);
    }
    if precision == 0.0 || recall == 0.0 {
        return 0.0;
    }
    (1.0 + BETA * BETA) * precision * recall / (recall + BETA * BETA * precision)
}

fn longest_common_subsequence(a: &[String], b: &[String]) -> usize {
    // One row of the table: row[j] is the answer for the part of `a` read so far and b[..j].
    let mut row = vec![0; b.len() + 1];
    for word in a {
        let mut diagonal = 0;
        for (j, other) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = if word == other { diagonal + 1 } else { above.max(row[j]) };
            diagonal = above;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn lin_2004_example() {
        // Lin's own: the common subsequence of "police killed the gunman" and S1 is 3 of 4 words, of S2 2 of 4.
        let reference = words("police killed the gunman");
        assert_eq!(longest_common_subsequence(&words("police kill the gunman"), &reference), 3);
        assert_eq!(longest_common_subsequence(&words("the gunman kill police"), &reference), 2);
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
    }
}
