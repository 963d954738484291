//! Which words METEOR may pair, and the pairs it makes.

use serde::{Deserialize, Serialize};

/// Which words may be paired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Matchers {
    /// Equal words only.
    #[serde(rename = "exact")]
    Exact,
    /// Equal words and words of one stem.
    #[default]
    #[serde(rename = "exact+stem")]
    ExactStem,
}

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
