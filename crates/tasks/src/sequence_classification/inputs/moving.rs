//! Clips of moving shapes, which are drawn.

use super::config::{MovingConfig, ValuesConfig};
use super::labelled::{Input, Labelled, LabelledSequences};
use candlewick_data::clips::moving::{Action, MovingClip};
use candlewick_data::{Parts, Split};

impl MovingConfig {
    /// The clips, of one action each or with an action for each frame.
    pub(super) fn clips(&self, one: bool) -> LabelledSequences {
        let part = |split: Split, count: usize| (0..count).map(|index| self.clip(one, split, index)).collect();
        let parts = Parts {
            train: part(Split::Train, self.train),
            dev: part(Split::Dev, self.dev),
            test: part(Split::Test, self.test),
        };
        let classes = Action::ALL.map(|action| action.word().to_owned()).to_vec();
        LabelledSequences { classes, width: None, values: ValuesConfig::default(), parts, notes: Vec::new() }
    }

    fn clip(&self, one: bool, split: Split, index: usize) -> Labelled {
        let clip = match one {
            true => MovingClip::of_one(self.steps, self.seed, split, index),
            false => MovingClip::generate(self.steps, self.seed, split, index),
        };
        let label = |action: &Action| (0..).zip(Action::ALL).find(|(_, other)| other == action).map_or(0, |(at, _)| at);
        let mut labels: Vec<u32> = clip.actions.iter().map(label).collect();
        labels.truncate(if one { 1 } else { labels.len() });
        Labelled { input: Input::Drawn(clip), labels, targets: Vec::new() }
    }
}
