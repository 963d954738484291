//! The parts of a set, and a share of names that is the same on every machine.

use crate::error::{Error, Result};
use sha2::{Digest as _, Sha256};

/// Which part of a set a photo belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// What the weights are fitted to.
    Train,
    /// What settings are chosen on; others call it `val`.
    Dev,
    /// What the result is measured on, once.
    Test,
}

impl Split {
    /// The split of this name: `train`, `restval`, `dev`, `val`, `valid`, `validation` or `test`.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "train" | "restval" => Some(Self::Train),
            "dev" | "val" | "valid" | "validation" => Some(Self::Dev),
            "test" => Some(Self::Test),
            _ => None,
        }
    }

    /// The split that a folder of this name holds: those of [`Split::parse`], `training` and `testing`, in letters of any size.
    pub(crate) fn of_folder(name: &str) -> Option<Self> {
        match name.to_lowercase().as_str() {
            "training" => Some(Self::Train),
            "testing" => Some(Self::Test),
            name => Self::parse(name),
        }
    }
}

impl std::fmt::Display for Split {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Train => "train",
            Self::Dev => "dev",
            Self::Test => "test",
        })
    }
}

/// The items of a set by their splits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts<T> {
    /// What the weights are fitted to.
    pub train: Vec<T>,
    /// What settings are chosen on.
    pub dev: Vec<T>,
    /// What the result is measured on; empty where the set has none.
    pub test: Vec<T>,
}

impl<T> Default for Parts<T> {
    fn default() -> Self {
        Self { train: Vec::new(), dev: Vec::new(), test: Vec::new() }
    }
}

impl<T> Parts<T> {
    /// The items of one split.
    pub fn of(&self, split: Split) -> &[T] {
        match split {
            Split::Train => &self.train,
            Split::Dev => &self.dev,
            Split::Test => &self.test,
        }
    }

    /// How many items there are in all splits.
    pub fn count(&self) -> usize {
        self.train.len() + self.dev.len() + self.test.len()
    }

    pub(crate) fn of_mut(&mut self, split: Split) -> &mut Vec<T> {
        match split {
            Split::Train => &mut self.train,
            Split::Dev => &mut self.dev,
            Split::Test => &mut self.test,
        }
    }

    /// Where there is no dev part, moves the share `dev_share` of the training part there, by a hash of its items' names.
    pub(crate) fn hold_out(&mut self, dev_share: f64, name: impl Fn(&T) -> String) {
        if self.dev.is_empty() {
            let all = std::mem::take(&mut self.train);
            (self.dev, self.train) = all.into_iter().partition(|item| share(&name(item)) < dev_share);
        }
    }
}

/// Checks that a share of a set that is held out leaves some.
pub(crate) fn check_share(dev_share: f64) -> Result<()> {
    match (0.0..1.0).contains(&dev_share) {
        true => Ok(()),
        false => Err(Error::setting(format!("the share of the dev split is {dev_share}; it lies between 0 and 1"))),
    }
}

/// A number in [0, 1) that depends on the name alone.
pub(crate) fn share(name: &str) -> f64 {
    let hash = Sha256::digest(name.as_bytes());
    let first = hash.iter().take(4).fold(0u32, |sum, &byte| sum << 8 | u32::from(byte));
    f64::from(first) / (f64::from(u32::MAX) + 1.0)
}
