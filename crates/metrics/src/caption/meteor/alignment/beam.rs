//! The beam search over the reference's words.

use super::super::pair::{Match, Pair};
use super::vocabulary::Vocabulary;
use std::cmp::Reverse;
use std::ops::Range;

/// More equal words, fewer chunks, less distance; less is better.
type Rank = (Reverse<usize>, usize, usize);

/// An alignment under way.
#[derive(Clone)]
struct Path {
    /// The slots that are taken, 64 to a word.
    used: Vec<u64>,
    exact: usize,
    chunks: usize,
    distance: usize,
    /// The caption position after the last pair, while a chunk is open.
    open: Option<usize>,
    /// The last of its choices in `Beam::choices`.
    last: Option<usize>,
}

impl Path {
    fn rank(&self) -> Rank {
        (Reverse(self.exact), self.chunks, self.distance)
    }

    fn is_used(&self, slot: usize) -> bool {
        self.used[slot / 64] >> (slot % 64) & 1 == 1
    }

    /// The words of `used` that hold `slots`: the first slot of each part, the part's bits, and how many bits it has.
    fn parts(&self, slots: Range<usize>) -> impl Iterator<Item = (usize, u64, usize)> {
        let words = slots.start / 64..slots.end.div_ceil(64);
        words.map(move |word| {
            let start = slots.start.max(word * 64);
            let length = slots.end.min(word * 64 + 64) - start;
            let bits = self.used[word] >> (start % 64) & (u64::MAX >> (64 - length));
            (start, bits, length)
        })
    }

    /// Up to `most` slots of a range that are not taken.
    fn free(&self, slots: Range<usize>, most: usize) -> impl Iterator<Item = usize> {
        let parts = self.parts(slots).filter(|&(_, bits, length)| bits.count_ones() < length as u32);
        parts
            .flat_map(|(start, bits, length)| (0..length).filter(move |i| bits >> i & 1 == 0).map(move |i| start + i))
            .take(most)
    }

    /// Σ |at − position| over the slots of one word that are not taken.
    fn free_distance(&self, vocabulary: &Vocabulary, slots: Range<usize>, at: usize) -> usize {
        let mut taken = 0;
        let mut whole = slots.start..slots.start;
        for (start, mut bits, length) in self.parts(slots.clone()) {
            if bits.count_ones() == length as u32 {
                whole = if whole.end == start { whole.start..start + length } else { start..start + length };
                continue;
            }
            if whole.start < whole.end {
                taken += vocabulary.distance(std::mem::take(&mut whole), at);
            }
            while bits != 0 {
                taken += vocabulary.positions[start + bits.trailing_zeros() as usize].abs_diff(at);
                bits &= bits - 1;
            }
        }
        taken += vocabulary.distance(whole, at);
        vocabulary.distance(slots, at) - taken
    }
}

/// A path that may be in the beam after this word.
#[derive(Clone, Copy)]
struct Candidate {
    rank: Rank,
    /// The path it goes on from.
    parent: usize,
    pair: Option<Pair>,
}

/// The best paths up to a word of the reference.
pub(super) struct Beam<'a> {
    vocabulary: &'a Vocabulary,
    size: usize,
    paths: Vec<Path>,
    /// What the paths chose: the choice before, and the pair.
    choices: Vec<(Option<usize>, Option<Pair>)>,
    candidates: Vec<Candidate>,
}

impl<'a> Beam<'a> {
    /// A beam of `size` paths.
    pub(super) fn new(vocabulary: &'a Vocabulary, size: usize) -> Self {
        let length = vocabulary.positions.len();
        let mut used = vec![0; length.div_ceil(64)];
        for at in 0..vocabulary.reference.len() {
            if let Some(position) = vocabulary.settled(at) {
                let slot = vocabulary.slots[position];
                used[slot / 64] |= 1 << (slot % 64);
            }
        }
        let path = Path { used, exact: 0, chunks: 0, distance: 0, open: None, last: None };
        Self { vocabulary, size, paths: vec![path], choices: Vec::new(), candidates: Vec::new() }
    }

    /// Goes on with the reference's word at `at`.
    pub(super) fn advance(&mut self, at: usize) {
        let mut candidates = std::mem::take(&mut self.candidates);
        candidates.clear();
        for (parent, path) in self.paths.iter().enumerate() {
            self.children(parent, path, at, &mut candidates);
        }
        let last = at + 1 == self.vocabulary.reference.len();
        if last {
            // The last chunk ends with the reference.
            for candidate in &mut candidates {
                candidate.rank.1 += usize::from(candidate.pair.is_some());
            }
        }
        let size = if last { 1 } else { self.size };
        let mut order: Vec<usize> = (0..candidates.len()).collect();
        if order.len() > size {
            order.select_nth_unstable_by_key(size, |&i| (candidates[i].rank, i));
            order.truncate(size);
        }
        order.sort_unstable_by_key(|&i| (candidates[i].rank, i));
        self.paths = order.into_iter().map(|i| self.child(candidates[i])).collect();
        self.candidates = candidates;
    }

    /// The candidates that go on from a path.
    fn children(&self, parent: usize, path: &Path, at: usize, candidates: &mut Vec<Candidate>) {
        let mut child = |distance, pair: Option<Pair>| {
            let exact = path.exact + usize::from(pair.is_some_and(|pair| pair.kind == Match::Exact));
            let ends = path.open.is_some_and(|next| pair.is_none_or(|pair| pair.caption != next));
            let rank = (Reverse(exact), path.chunks + usize::from(ends), distance);
            candidates.push(Candidate { rank, parent, pair });
        };
        if let Some(caption) = self.vocabulary.settled(at) {
            let kind = self.kind(caption, at);
            child(path.distance + at.abs_diff(caption), Some(Pair { caption, kind }));
            return;
        }
        let vocabulary = self.vocabulary;
        let equal = vocabulary.equal(at);
        let next = path.open.filter(|&next| next < vocabulary.slots.len() && vocabulary.fits(next, at));
        let next = next.filter(|&next| !path.is_used(vocabulary.slots[next]));
        let mut distance = path.distance;
        for kind in [Match::Exact, Match::Stem] {
            let ranges =
                || (kind == Match::Exact).then_some(equal.clone()).into_iter().chain(similar(vocabulary, at, kind));
            let mut free: Vec<usize> =
                ranges().flat_map(|range| path.free(range, self.size)).map(|slot| vocabulary.positions[slot]).collect();
            if kind == Match::Stem {
                free.sort_unstable();
                free.truncate(self.size);
            }
            let mut charged = distance;
            for &caption in &free {
                child(charged, Some(Pair { caption, kind }));
                charged += at.abs_diff(caption);
            }
            let goes_on =
                next.filter(|&next| self.kind(next, at) == kind && free.last().is_some_and(|&last| last < next));
            if let Some(caption) = goes_on {
                let before = |range: Range<usize>| {
                    let positions = &vocabulary.positions[range.clone()];
                    range.start..range.start + positions.partition_point(|&position| position < caption)
                };
                let charged: usize = ranges().map(|range| path.free_distance(vocabulary, before(range), at)).sum();
                child(distance + charged, Some(Pair { caption, kind }));
            }
            distance += ranges().map(|range| path.free_distance(vocabulary, range, at)).sum::<usize>();
        }
        child(distance, None);
    }

    fn kind(&self, caption: usize, at: usize) -> Match {
        if self.vocabulary.caption[caption] == self.vocabulary.reference[at] { Match::Exact } else { Match::Stem }
    }

    /// The path of a candidate.
    fn child(&mut self, candidate: Candidate) -> Path {
        let Candidate { rank: (Reverse(exact), chunks, distance), parent, pair } = candidate;
        let parent = &self.paths[parent];
        self.choices.push((parent.last, pair));
        let mut used = parent.used.clone();
        if let Some(pair) = pair {
            let slot = self.vocabulary.slots[pair.caption];
            used[slot / 64] |= 1 << (slot % 64);
        }
        let open = pair.map(|pair| pair.caption + 1);
        Path { used, exact, chunks, distance, open, last: Some(self.choices.len() - 1) }
    }

    /// The pair of each of the reference's words in the best path.
    pub(super) fn best(&self, length: usize) -> Vec<Option<Pair>> {
        let mut pairs = Vec::with_capacity(length);
        let mut last = self.paths.iter().min_by_key(|path| path.rank()).and_then(|path| path.last);
        while let Some(choice) = last {
            let (before, pair) = self.choices[choice];
            pairs.push(pair);
            last = before;
        }
        pairs.reverse();
        pairs
    }
}

/// The slots of words of one stem, for that kind.
fn similar(vocabulary: &Vocabulary, at: usize, kind: Match) -> impl Iterator<Item = Range<usize>> {
    (kind == Match::Stem).then(|| vocabulary.similar(at)).into_iter().flatten()
}
