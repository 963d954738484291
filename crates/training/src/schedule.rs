//! The learning rate over a run: a factor on the optimiser's rate, a pure function of where the run stands.

use crate::{Error, Metric, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// How the learning rate changes; in a recipe `schedule = { name = "cosine", min_factor = 0.01 }`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "name", rename_all = "lowercase", deny_unknown_fields)]
#[non_exhaustive]
pub enum Schedule {
    /// The same rate all the time.
    #[default]
    Constant,
    /// gamma^⌊epoch / every⌋ (PyTorch's `StepLR`).
    Step {
        /// The factor at each change.
        gamma: f64,
        /// Epochs between changes.
        every: usize,
    },
    /// m + (1 − m)(1 + cos(π t / T)) / 2 with m = `min_factor`, t the step after the warm-up and T how many there are in the
    /// whole run (PyTorch's `CosineAnnealingLR`). Loshchilov and Hutter 2017, "SGDR: stochastic gradient descent with warm
    /// restarts".
    Cosine {
        /// The factor that the last step comes to.
        #[serde(default)]
        min_factor: f64,
    },
    /// Times `factor` after more than `patience` validations in a row without a better score (PyTorch's
    /// `ReduceLROnPlateau` with an absolute threshold).
    Plateau {
        /// The factor at each change.
        #[serde(default = "default_factor")]
        factor: f64,
        /// How many validations without a better score are borne.
        #[serde(default = "default_patience")]
        patience: usize,
        /// By how much a score must exceed the best one to count as better.
        #[serde(default)]
        min_delta: f64,
        /// Which score; by default the run's metric.
        #[serde(default)]
        metric: Option<Metric>,
    },
}

fn default_factor() -> f64 {
    0.1
}

fn default_patience() -> usize {
    10
}

/// Where a run stands when a step is taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Position {
    /// Steps taken before this one.
    pub step: usize,
    /// The epoch, counted from 0.
    pub epoch: usize,
    /// Steps in the whole run.
    pub total_steps: usize,
}

/// What a plateau schedule or early stopping remembers between validations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Patience {
    /// The best score so far.
    pub best: Option<f64>,
    /// Validations in a row without a better one.
    pub waited: usize,
    /// How often a plateau was met.
    pub plateaus: usize,
}

impl Patience {
    /// Takes note of a score and says whether it was the best by more than `min_delta`; NaN never is.
    pub fn observe(&mut self, score: f64, min_delta: f64) -> bool {
        let better = match self.best {
            None => !score.is_nan(),
            Some(best) => score > best + min_delta,
        };
        if better {
            self.best = Some(score);
            self.waited = 0;
        } else {
            self.waited += 1;
        }
        better
    }
}

impl Schedule {
    /// The factor on the learning rate, with a linear warm-up (step + 1) / `warmup_steps` in front.
    pub fn factor(&self, at: Position, warmup_steps: usize, patience: &Patience) -> f64 {
        if at.step < warmup_steps {
            return (at.step + 1) as f64 / warmup_steps as f64 * self.after_warmup(at, warmup_steps, patience);
        }
        self.after_warmup(at, warmup_steps, patience)
    }

    fn after_warmup(&self, at: Position, warmup_steps: usize, patience: &Patience) -> f64 {
        match *self {
            Schedule::Constant => 1.0,
            Schedule::Step { gamma, every } => gamma.powi((at.epoch / every.max(1)) as i32),
            Schedule::Cosine { min_factor } => {
                let total = at.total_steps.saturating_sub(warmup_steps).max(1) as f64;
                let part = (at.step.saturating_sub(warmup_steps) as f64 / total).min(1.0);
                min_factor + (1.0 - min_factor) * (1.0 + (PI * part).cos()) / 2.0
            }
            Schedule::Plateau { factor, .. } => factor.powi(patience.plateaus as i32),
        }
    }

    /// Takes note of a validation's score; only a plateau schedule minds.
    pub fn observe(&self, score: f64, state: &mut Patience) {
        if let Schedule::Plateau { patience, min_delta, .. } = self {
            state.observe(score, *min_delta);
            if state.waited > *patience {
                state.plateaus += 1;
                state.waited = 0;
            }
        }
    }

    /// Checks the numbers.
    ///
    /// # Errors
    /// When one lies where no schedule can be.
    pub fn check(&self) -> Result<()> {
        let fault = match *self {
            Schedule::Step { every: 0, .. } => "schedule.every is 0; give the epochs between two changes",
            Schedule::Step { gamma, .. } if !gamma.is_finite() || gamma <= 0.0 => "schedule.gamma must be above 0",
            Schedule::Cosine { min_factor } if !(0.0..=1.0).contains(&min_factor) => {
                "schedule.min_factor must lie between 0 and 1"
            }
            Schedule::Plateau { factor, .. } if !(factor > 0.0 && factor < 1.0) => {
                "schedule.factor must lie between 0 and 1"
            }
            Schedule::Plateau { min_delta, .. } if !(min_delta >= 0.0 && min_delta.is_finite()) => {
                "schedule.min_delta must be 0 or more"
            }
            _ => return Ok(()),
        };
        Err(Error::Setting(fault.into()))
    }
}
