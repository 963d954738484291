//! The words of two sentences as numbers, and where in the caption each stands.

use super::super::{pair::Matchers, stemmer};
use std::collections::HashMap;
use std::ops::Range;

/// Two sentences by word. A word's positions in the caption are a range of `positions`, in order; an index into it is a slot.
pub(super) struct Vocabulary {
    /// The word at each position of the caption.
    pub(super) caption: Vec<usize>,
    /// The word at each position of the reference.
    pub(super) reference: Vec<usize>,
    /// The caption's positions, word by word.
    pub(super) positions: Vec<usize>,
    /// The slot of each position.
    pub(super) slots: Vec<usize>,
    /// The slots of each word.
    ranges: Vec<Range<usize>>,
    /// The sums of `positions` before each slot.
    sums: Vec<usize>,
    /// The class of each word: words that may be paired.
    classes: Vec<usize>,
    /// The words of each class.
    members: Vec<Vec<usize>>,
    /// How many words of the reference are of each class.
    wanted: Vec<usize>,
}

impl Vocabulary {
    pub(super) fn new(caption: &[String], reference: &[String], matchers: Matchers) -> Self {
        let mut numbers: HashMap<&str, usize> = HashMap::new();
        let mut words: Vec<&str> = Vec::new();
        let mut number = |word| {
            *numbers.entry(word).or_insert_with(|| {
                words.push(word);
                words.len() - 1
            })
        };
        let caption: Vec<usize> = caption.iter().map(|word| number(word.as_str())).collect();
        let reference: Vec<usize> = reference.iter().map(|word| number(word.as_str())).collect();
        let (classes, members) = classes(&words, matchers);
        let mut wanted = vec![0; members.len()];
        for &word in &reference {
            wanted[classes[word]] += 1;
        }
        let mut positions: Vec<usize> = (0..caption.len()).collect();
        positions.sort_by_key(|&position| caption[position]);
        let mut slots = vec![0; caption.len()];
        let mut ranges = vec![0..0; words.len()];
        let mut sums = vec![0];
        for (slot, &position) in positions.iter().enumerate() {
            slots[position] = slot;
            let range = &mut ranges[caption[position]];
            *range = if range.start == range.end { slot..slot + 1 } else { range.start..slot + 1 };
            sums.push(sums[slot] + position);
        }
        Self { caption, reference, positions, slots, ranges, sums, classes, members, wanted }
    }

    /// The slots of the reference's word at `at`: its candidates of equal words.
    pub(super) fn equal(&self, at: usize) -> Range<usize> {
        self.ranges[self.reference[at]].clone()
    }

    /// The slots of the other words of its class: its candidates of one stem.
    pub(super) fn similar(&self, at: usize) -> impl Iterator<Item = Range<usize>> {
        let word = self.reference[at];
        let others = self.members[self.classes[word]].iter().filter(move |&&other| other != word);
        others.map(|&other| self.ranges[other].clone()).filter(|range| range.start < range.end)
    }

    /// Whether a position of the caption is of the class of the reference's word.
    pub(super) fn fits(&self, position: usize, at: usize) -> bool {
        self.classes[self.caption[position]] == self.classes[self.reference[at]]
    }

    /// The one candidate of a reference's word, where it has no rival.
    pub(super) fn settled(&self, at: usize) -> Option<usize> {
        let class = self.classes[self.reference[at]];
        let mut slots = self.members[class].iter().flat_map(|&word| self.ranges[word].clone());
        let slot = slots.next().filter(|_| self.wanted[class] == 1)?;
        slots.next().is_none().then(|| self.positions[slot])
    }

    /// Σ |at − position| over slots of one word.
    pub(super) fn distance(&self, slots: Range<usize>, at: usize) -> usize {
        let before = self.positions[slots.clone()].partition_point(|&position| position < at);
        let middle = slots.start + before;
        let left = before * at - (self.sums[middle] - self.sums[slots.start]);
        left + (self.sums[slots.end] - self.sums[middle]) - (slots.end - middle) * at
    }
}

/// The class of each word, and the words of each class: one word, or all of one stem.
fn classes(words: &[&str], matchers: Matchers) -> (Vec<usize>, Vec<Vec<usize>>) {
    if matchers == Matchers::Exact {
        return ((0..words.len()).collect(), (0..words.len()).map(|word| vec![word]).collect());
    }
    let mut stems: HashMap<String, usize> = HashMap::new();
    let mut members: Vec<Vec<usize>> = Vec::new();
    let mut classes = Vec::with_capacity(words.len());
    for (word, text) in words.iter().enumerate() {
        let class = *stems.entry(stemmer::stem(text)).or_insert(members.len());
        if class == members.len() {
            members.push(Vec::new());
        }
        members[class].push(word);
        classes.push(class);
    }
    (classes, members)
}
