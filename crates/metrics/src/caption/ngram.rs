//! Counting n-grams, shared by BLEU and CIDEr.

use std::collections::BTreeMap;

/// Occurrences of each n-gram; ordered, so that sums over it are the same on every run.
pub(crate) type Counts<'a> = BTreeMap<&'a [String], u32>;

/// Counts the n-grams of length `n` in `tokens`.
pub(crate) fn count(tokens: &[String], n: usize) -> Counts<'_> {
    let mut counts = Counts::new();
    for ngram in tokens.windows(n) {
        *counts.entry(ngram).or_insert(0) += 1;
    }
    counts
}
