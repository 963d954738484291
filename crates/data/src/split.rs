//! The parts of a set, and a share of names that is the same on every machine.

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

/// A number in [0, 1) that depends on the name alone.
pub(crate) fn share(name: &str) -> f64 {
    let hash = Sha256::digest(name.as_bytes());
    let first = hash.iter().take(4).fold(0u32, |sum, &byte| sum << 8 | u32::from(byte));
    f64::from(first) / (f64::from(u32::MAX) + 1.0)
}
