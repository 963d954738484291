//! How METEOR pairs the words of a caption with those of a reference.
//!
//! Each word is paired at most once. Candidate pairs are equal words and, for the stem matcher, different words of one stem. A
//! beam search of width 40 goes through the reference and keeps, in this order, the alignments with more equal words,
//! fewer chunks (runs of pairs adjacent in both sentences), and less distance.
//!
//! Two habits of METEOR 1.5 decide ties and are kept, since scores to four decimals depend on them: a stem pair counts as
//! no equal word when alignments are ranked (its half point is cut to an integer), and the distance of a chosen pair is charged to the
//! alternatives tried after it instead of to itself.

use super::{Matchers, stemmer};

const BEAM_SIZE: usize = 40;

/// How two words came to be paired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Match {
    Exact,
    Stem,
}

/// A pair of words: a reference position has at most one, with this position of the caption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) caption: usize,
    pub(super) kind: Match,
}

/// An alignment under way: what is chosen for the reference words read so far.
#[derive(Clone)]
struct Path {
    pairs: Vec<Option<Pair>>,
    used: Vec<bool>,
    exact: usize,
    chunks: usize,
    distance: usize,
    /// The caption position after the last pair, while a chunk is open.
    open: Option<usize>,
}

impl Path {
    /// Pairs reference position `at`; all but the distance, which the search charges.
    fn take(&mut self, at: usize, pair: Pair) {
        self.pairs[at] = Some(pair);
        self.used[pair.caption] = true;
        self.exact += usize::from(pair.kind == Match::Exact);
        self.chunks += usize::from(self.open.is_some_and(|next| next != pair.caption));
        self.open = Some(pair.caption + 1);
    }

    fn close_chunk(&mut self) {
        self.chunks += usize::from(self.open.take().is_some());
    }

    fn rank(&self) -> (std::cmp::Reverse<usize>, usize, usize) {
        (std::cmp::Reverse(self.exact), self.chunks, self.distance)
    }
}

/// For each word of `reference` the word of `caption` it is paired with.
pub(super) fn align(caption: &[String], reference: &[String], matchers: Matchers) -> Vec<Option<Pair>> {
    let candidates = candidates(caption, reference, matchers);
    let mut wanted = vec![0; caption.len()];
    for pair in candidates.iter().flatten() {
        wanted[pair.caption] += 1;
    }
    // A pair without a rival is settled before the search.
    let settled: Vec<Option<Pair>> = candidates
        .iter()
        .map(|options| match options[..] {
            [pair] if wanted[pair.caption] == 1 => Some(pair),
            _ => None,
        })
        .collect();
    let mut used = vec![false; caption.len()];
    for pair in settled.iter().flatten() {
        used[pair.caption] = true;
    }
    let start = Path { pairs: settled.clone(), used, exact: 0, chunks: 0, distance: 0, open: None };
    search(start, &candidates, &settled)
}

fn search(start: Path, candidates: &[Vec<Pair>], settled: &[Option<Pair>]) -> Vec<Option<Pair>> {
    let mut paths = vec![start];
    for (at, (options, settled)) in candidates.iter().zip(settled).enumerate() {
        paths.sort_by_key(Path::rank);
        paths.truncate(BEAM_SIZE);
        let mut next = Vec::with_capacity(paths.len() * (options.len() + 1));
        for mut path in paths {
            if let Some(pair) = *settled {
                path.take(at, pair);
                path.distance += at.abs_diff(pair.caption);
                next.push(path);
                continue;
            }
            for &pair in options {
                if !path.used[pair.caption] {
                    let mut chosen = path.clone();
                    chosen.take(at, pair);
                    path.distance += at.abs_diff(pair.caption);
                    next.push(chosen);
                }
            }
            path.close_chunk();
            next.push(path);
        }
        paths = next;
    }
    for path in &mut paths {
        path.close_chunk();
    }
    // The beam is cut once more before the last ranking; the best is in it either way.
    paths.into_iter().min_by_key(Path::rank).map(|path| path.pairs).unwrap_or_default()
}

/// For each reference word its possible pairs: equal words first, then words of the same stem, from left to right.
fn candidates(caption: &[String], reference: &[String], matchers: Matchers) -> Vec<Vec<Pair>> {
    let mut candidates: Vec<Vec<Pair>> =
        reference.iter().map(|word| positions(caption, |other| other == word, Match::Exact).collect()).collect();
    // Between identical sentences only equal words are paired.
    if matchers == Matchers::Exact || caption == reference {
        return candidates;
    }
    let stems: Vec<String> = caption.iter().map(|word| stemmer::stem(word)).collect();
    for (options, word) in candidates.iter_mut().zip(reference) {
        let stem = stemmer::stem(word);
        let same_stem = positions(&stems, |other| *other == stem, Match::Stem);
        options.extend(same_stem.filter(|pair| caption[pair.caption] != *word));
    }
    candidates
}

fn positions(words: &[String], fits: impl Fn(&String) -> bool, kind: Match) -> impl Iterator<Item = Pair> {
    words.iter().enumerate().filter(move |(_, word)| fits(word)).map(move |(caption, _)| Pair { caption, kind })
}

/// The number of chunks: runs of pairs that are adjacent, and in the same order, in both sentences.
pub(super) fn chunks(pairs: &[Option<Pair>]) -> usize {
    let mut chunks = 0;
    let mut open: Option<usize> = None;
    for pair in pairs {
        if let Some(pair) = pair {
            chunks += usize::from(open != Some(pair.caption));
        }
        open = pair.map(|pair| pair.caption + 1);
    }
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn aligned(caption: &str, reference: &str) -> Vec<Option<usize>> {
        let pairs = align(&words(caption), &words(reference), Matchers::ExactStem);
        pairs.iter().map(|pair| pair.map(|p| p.caption)).collect()
    }

    #[test]
    fn fewest_chunks_win() {
        // "the" of the reference could be either; the second keeps "the cat" together.
        assert_eq!(aligned("the dog saw the cat", "the cat"), [Some(3), Some(4)]);
        let pairs = align(&words("the dog saw the cat"), &words("the cat"), Matchers::Exact);
        assert_eq!(chunks(&pairs), 1);
    }

    #[test]
    fn stems_pair_different_words() {
        assert_eq!(aligned("dogs running", "a dog runs"), [None, Some(0), Some(1)]);
        let pairs = align(&words("dogs running"), &words("a dog runs"), Matchers::Exact);
        assert_eq!(pairs, [None, None, None]);
    }

    #[test]
    fn no_word_is_used_twice() {
        assert_eq!(aligned("a dog", "a dog and a dog").iter().flatten().count(), 2);
        assert_eq!(aligned("", "a dog"), [None, None]);
        assert!(aligned("a dog", "").is_empty());
    }

    #[test]
    fn chunks_need_order_and_adjacency() {
        let count = |caption, reference| chunks(&align(&words(caption), &words(reference), Matchers::Exact));
        assert_eq!(count("a b c d", "a b c d"), 1);
        assert_eq!(count("c d a b", "a b c d"), 2);
        assert_eq!(count("a x b", "a b"), 2);
        assert_eq!(count("a b", "a x b"), 2);
    }
}
