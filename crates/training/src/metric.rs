//! Which score a run looks at.

use crate::{Error, Result, Scores};
use candlewick_parameters::nearest;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The name of a score, higher being better; with a minus in front lower is better (`-perplexity`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Metric(pub String);

/// The fewest letters that tell a score by its beginning.
const SHORTEST: usize = 3;

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
            Error::Setting(self.unknown(&known))
        })
    }

    /// What is said where the score is none of these: what there is, and the name that is nearest or begins so.
    pub(crate) fn unknown(&self, known: &[&str]) -> String {
        let name = self.name();
        let begins = |known: &&&str| {
            known.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)) && name.len() >= SHORTEST
        };
        let near = match known.iter().find(begins) {
            Some(known) => format!("; did you mean {known}?"),
            None => nearest(name, known),
        };
        format!("the task gives no score {name}; it gives {}{near}", known.join(", "))
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

#[cfg(test)]
mod tests {
    use super::Metric;

    #[test]
    fn a_score_that_is_not_there_is_told_with_the_nearest() {
        let known = ["CIDEr", "Bleu_4", "METEOR_exact_stem", "ROUGE_L"];
        let told = |name: &str| Metric::from(name).unknown(&known);
        let gives = "it gives CIDEr, Bleu_4, METEOR_exact_stem, ROUGE_L";
        assert_eq!(told("METEOR"), format!("the task gives no score METEOR; {gives}; did you mean METEOR_exact_stem?"));
        assert!(told("-rouge").ends_with("; did you mean ROUGE_L?"));
        assert!(told("CIDer").ends_with("; did you mean CIDEr?"));
        assert!(told("loss").ends_with(gives) && told("B").ends_with(gives), "{}", told("B"));
    }
}
