//! Which score a run looks at.

use crate::{Error, Result, Scores};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The name of a score, higher being better; with a minus in front lower is better (`-perplexity`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Metric(pub String);

impl Metric {
    /// The name without the minus.
    pub fn name(&self) -> &str {
        self.0.strip_prefix('-').unwrap_or(&self.0)
    }

    /// The score, its sign turned where lower is better.
    ///
    /// # Errors
    /// When there is no such score; the message lists those that there are.
    pub fn of(&self, scores: &Scores) -> Result<f64> {
        let sign = if self.0.starts_with('-') { -1.0 } else { 1.0 };
        scores.get(self.name()).map(|score| sign * score).ok_or_else(|| {
            let known: Vec<&str> = scores.iter().map(|(name, _)| name).collect();
            Error::Setting(format!("the task gives no score {}; it gives {}", self.name(), known.join(", ")))
        })
    }
}

impl From<&str> for Metric {
    fn from(name: &str) -> Self {
        Metric(name.to_owned())
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
