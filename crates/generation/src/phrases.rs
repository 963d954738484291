//! How far a sentence has come with sets of phrases of which one each must come: the finite-state machine of a constrained search.

use std::cmp::Reverse;
use std::collections::BTreeSet;

/// How far a sentence has come with a set of phrases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reached {
    /// It ends with the first `count` words of this phrase, the first such one, and with no more words of any.
    Begun { count: usize, phrase: usize },
    /// One of them stands in it.
    Whole,
}

/// How far it has come with each set.
pub(crate) type Progress = Vec<Reached>;

/// The most states of progress that a search may have: beams are kept for each.
pub(crate) const MOST_STATES: usize = 64;

/// How far a sentence has come with each set of phrases.
pub(crate) fn progress(history: &[u32], sets: &[Vec<Vec<u32>>]) -> Progress {
    let of = |set: &Vec<Vec<u32>>| {
        let stands = |phrase: &Vec<u32>| history.windows(phrase.len()).any(|words| words == phrase);
        if set.iter().any(stands) {
            return Reached::Whole;
        }
        // Of phrases that begin alike the first stands for all.
        let parts = set.iter().enumerate().map(|(at, phrase)| (begun(history, phrase), Reverse(at)));
        let (count, Reverse(phrase)) = parts.max().unwrap_or_default();
        Reached::Begun { count, phrase }
    };
    sets.iter().map(of).collect()
}

/// How many of a phrase's first words, less than all, the sentence ends with.
pub(crate) fn begun(history: &[u32], phrase: &[u32]) -> usize {
    (0..phrase.len()).rev().find(|&count| history.ends_with(&phrase[..count])).unwrap_or(0)
}

pub(crate) fn finished(progress: &Progress) -> bool {
    progress.iter().all(|reached| *reached == Reached::Whole)
}

/// The sets that a sentence lacks nothing of, and the words of others.
pub(crate) fn rank(progress: &Progress) -> (usize, usize) {
    progress.iter().fold((0, 0), |(whole, words), reached| match reached {
        Reached::Whole => (whole + 1, words),
        Reached::Begun { count, .. } => (whole, words + count),
    })
}

/// How many states of progress there are: of each set the different beginnings of its phrases, and one for all that is whole.
pub(crate) fn states(sets: &[Vec<Vec<u32>>]) -> usize {
    let of = |set: &Vec<Vec<u32>>| {
        // More than that are too many already.
        let counts = |phrase: &[u32]| 0..phrase.len().min(MOST_STATES);
        let beginnings = set.iter().flat_map(|phrase| counts(phrase).filter_map(|count| phrase.get(..count)));
        beginnings.collect::<BTreeSet<&[u32]>>().len() + 1
    };
    sets.iter().map(of).fold(1, usize::saturating_mul)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn part(count: usize, phrase: usize) -> Reached {
        Reached::Begun { count, phrase }
    }

    #[test]
    fn a_phrase_comes_word_by_word_and_stays_once_it_is_there() {
        let sets = vec![vec![vec![5, 6]], vec![vec![7]]];
        for (history, wanted) in [
            (&[1u32, 5][..], [part(1, 0), part(0, 0)]),
            (&[1, 5, 6], [Reached::Whole, part(0, 0)]),
            (&[1, 5, 6, 7, 5], [Reached::Whole, Reached::Whole]),
            (&[1, 5, 5], [part(1, 0), part(0, 0)]),
            (&[1, 6], [part(0, 0), part(0, 0)]),
        ] {
            assert_eq!(progress(history, &sets), wanted, "{history:?}");
        }
    }

    #[test]
    fn of_several_phrases_the_one_that_came_furthest_counts() {
        let set = vec![vec![5, 6, 7], vec![5, 8], vec![6, 6], vec![9]];
        for (history, wanted) in [
            (&[1u32][..], part(0, 0)),
            (&[1, 5], part(1, 0)),
            (&[1, 5, 6], part(2, 0)),
            (&[1, 8, 6], part(1, 2)),
            (&[1, 5, 8], Reached::Whole),
            (&[1, 5, 6, 6], Reached::Whole),
            (&[9, 5], Reached::Whole),
        ] {
            assert_eq!(progress(history, std::slice::from_ref(&set)), [wanted], "{history:?}");
        }
        // Nothing, 5, 5 6, 6, and whole.
        assert_eq!(states(std::slice::from_ref(&set)), 5);
        assert_eq!(states(&[set, vec![vec![3]]]), 10);
        assert_eq!(states(&[]), 1);
        assert!(states(&[vec![vec![3; 1_000_000]]]) > MOST_STATES && states(&vec![vec![vec![3]]; 99]) > MOST_STATES);
    }
}
