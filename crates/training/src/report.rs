//! What came out of a run, and why it ended.

use crate::Scores;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StopReason {
    /// All epochs are done.
    Epochs,
    /// The target was reached.
    Target,
    /// No better score for too many validations.
    EarlyStopping,
    /// The time was up.
    MaxSeconds,
    /// The observer asked for it.
    Interrupted,
}

/// What came out of a run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// Steps taken, earlier parts of a resumed run included.
    pub steps: usize,
    /// Epochs finished.
    pub epochs: usize,
    /// Seconds, earlier parts included.
    pub seconds: f64,
    /// Why the run ended.
    pub reason: StopReason,
    /// The scores of the last validation.
    pub last_scores: Option<Scores>,
    /// The scores of the best validation.
    pub best_scores: Option<Scores>,
    /// The folder of the last checkpoint.
    pub last: PathBuf,
    /// The folder of the best checkpoint: the last one where nothing was validated.
    pub best: PathBuf,
}
