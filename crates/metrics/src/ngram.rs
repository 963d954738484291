//! Counting n-grams of words or characters, shared by the metrics that compare them.

use std::collections::BTreeMap;

/// Occurrences of each n-gram; ordered, so that sums over it are the same on every run.
pub(crate) type Counts<'a, T> = BTreeMap<&'a [T], u32>;

/// Counts the n-grams of length `n` in `tokens`.
pub(crate) fn count<T: Ord>(tokens: &[T], n: usize) -> Counts<'_, T> {
    let mut counts = Counts::new();
    for ngram in tokens.windows(n) {
        *counts.entry(ngram).or_insert(0) += 1;
    }
    counts
}

/// How many n-grams of the hypothesis are in some reference, each counted at most as often as in the reference that has it most.
pub(crate) fn clipped<'a, T: Ord + 'a>(
    hypothesis: &[T],
    references: impl IntoIterator<Item = &'a [T]>,
    n: usize,
) -> u64 {
    let mut allowed: Counts<'_, T> = Counts::new();
    for reference in references {
        for (gram, count) in self::count(reference, n) {
            let most = allowed.entry(gram).or_insert(0);
            *most = count.max(*most);
        }
    }
    let count = |(gram, count): (&[T], u32)| u64::from(count.min(allowed.get(gram).copied().unwrap_or(0)));
    self::count(hypothesis, n).into_iter().map(count).sum()
}

/// Of some references' lengths the closest to the hypothesis's, of two equally close the shorter; 0 where there is none.
pub(crate) fn closest_length(hypothesis: usize, references: impl Iterator<Item = usize>) -> usize {
    references.min_by_key(|&length| (length.abs_diff(hypothesis), length)).unwrap_or(0)
}
