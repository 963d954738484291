//! The beam search as METEOR has it, every candidate pair and every path written out: what the search that keeps less must equal.

use super::super::pair::{Match, Matchers, Pair};
use super::super::stemmer;
use super::BEAM_SIZE;

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
pub(in super::super) fn align(caption: &[String], reference: &[String], matchers: Matchers) -> Vec<Option<Pair>> {
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
