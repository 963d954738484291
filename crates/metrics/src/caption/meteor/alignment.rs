//! How METEOR pairs the words of a caption with those of a reference.
//!
//! Each word is paired at most once. Candidate pairs are equal words and, for the stem matcher, different words of one stem. A
//! beam search of width 40 goes through the reference and keeps, in this order, the alignments with more equal words,
//! fewer chunks (runs of pairs adjacent in both sentences), and less distance.
//!
//! Two habits of METEOR 1.5 decide ties and are kept, since scores to four decimals depend on them: a stem pair counts as
//! no equal word when alignments are ranked (its half point is cut to an integer), and the distance of a chosen pair is charged to the
//! alternatives tried after it instead of to itself.
//!
//! That charge never falls from one alternative of a path to the next, so that of all its pairs of one kind only the first 40, and the one that
//! goes on with the open chunk, can be among the best 40 paths: memory is linear in the lengths, however often a word is repeated.

mod beam;
#[cfg(test)]
mod plain;
mod vocabulary;

use super::pair::{Match, Matchers, Pair};
use beam::Beam;
use vocabulary::Vocabulary;

const BEAM_SIZE: usize = 40;
/// How much a search may read, some seconds' worth. Captions of 12,000 equal words reach it: the beam becomes narrower, and at six times as
/// many equal words are paired in their order, without a search.
const READS: usize = 100_000_000;

/// For each word of `reference` the word of `caption` it is paired with.
pub(super) fn align(caption: &[String], reference: &[String], matchers: Matchers) -> Vec<Option<Pair>> {
    // The path that pairs each word with itself has the best rank from the first word to the last.
    if caption == reference {
        return (0..caption.len()).map(|caption| Some(Pair { caption, kind: Match::Exact })).collect();
    }
    let vocabulary = Vocabulary::new(caption, reference, matchers);
    // What a path reads: the candidates of each word, 64 at a time.
    let reads: usize = (0..reference.len()).map(|at| vocabulary.equal(at).len().div_ceil(64)).sum();
    let size = BEAM_SIZE.min(READS / reads.max(1));
    if size == 0 {
        return in_order(&vocabulary);
    }
    let mut beam = Beam::new(&vocabulary, size);
    for at in 0..reference.len() {
        beam.advance(at);
    }
    beam.best(reference.len())
}

/// Pairs each word of the reference with the first equal word of the caption that is left.
fn in_order(vocabulary: &Vocabulary) -> Vec<Option<Pair>> {
    let mut taken = vec![0; vocabulary.caption.len()];
    (0..vocabulary.reference.len())
        .map(|at| {
            let slots = vocabulary.equal(at);
            let first = taken.get_mut(slots.start).filter(|first| slots.start + **first < slots.end)?;
            *first += 1;
            Some(Pair { caption: vocabulary.positions[slots.start + *first - 1], kind: Match::Exact })
        })
        .collect()
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
    use candlewick_testing::words;

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

    #[test]
    fn the_search_equals_the_plain_one() {
        // A linear congruential generator: few different words, so that there are many rivals.
        let mut state = 1_u64;
        let mut below = |n: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % n
        };
        let vocabulary = ["a", "dog", "dogs", "run", "runs", "running", "the", "cat", "cats", "x"];
        for round in 0..1_500 {
            let variety = 1 + below(vocabulary.len() as u64);
            let longest = if round % 10 == 0 { 70 } else { 14 };
            let mut sentence = || -> Vec<String> {
                (0..below(longest)).map(|_| vocabulary[below(variety) as usize].to_owned()).collect()
            };
            let (caption, reference) = (sentence(), sentence());
            for matchers in [Matchers::Exact, Matchers::ExactStem] {
                let wanted = plain::align(&caption, &reference, matchers);
                assert_eq!(align(&caption, &reference, matchers), wanted, "{caption:?} {reference:?} {matchers:?}");
            }
        }
    }
}
