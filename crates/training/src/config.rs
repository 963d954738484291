//! How a task is trained.

use crate::optim::OptimizerConfig;
use crate::{Error, Metric, Result, Schedule};
use candlewick_kernels::precision::Precision;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How [`crate::fit`] trains; the part of a recipe that is the same for every task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FitConfig {
    /// How often the data is gone through.
    pub epochs: usize,
    /// What dropout and the task's own random numbers are derived from.
    pub seed: u64,
    /// The optimiser.
    pub optimizer: OptimizerConfig,
    /// How the learning rate changes.
    pub schedule: Schedule,
    /// Over how many first steps the learning rate grows linearly; 0 for none.
    pub warmup_steps: usize,
    /// The largest norm of all gradients together.
    pub clip_norm: Option<f64>,
    /// The largest size of each gradient's entry (before the norm is clipped).
    pub clip_value: Option<f64>,
    /// How many batches make one step.
    pub accumulate: usize,
    /// The decay of a moving average of the weights (0.999, say), which is what is validated and kept as the model; see
    /// [`crate::optim::Optimizer::averaged`]. Running statistics of batch norm are averaged with them.
    pub average: Option<f64>,
    /// How precisely matrices are multiplied while it trains; by default as the process does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub precision: Option<MatmulPrecision>,
    /// Whether the weights that the run begins with stay in that average, as [`crate::optim::Optimizer::averaged_from_start`] says: for
    /// runs that go on from a trained model.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub average_from_start: bool,
    /// What to do about parameters that the first step's gradient does not reach.
    pub unreached: Unreached,
    /// Epochs from one validation to the next; 0 for none. The last epoch always ends with one unless it is 0.
    pub validate_every: usize,
    /// The score that tells which checkpoint is the best; by default the first that the task gives.
    pub metric: Option<Metric>,
    /// When to stop for want of better scores.
    pub early_stopping: Option<EarlyStopping>,
    /// A score at which the run is done.
    pub target: Option<Target>,
    /// After how many seconds (all parts of a resumed run together) the run ends, at the next step.
    pub max_seconds: Option<f64>,
    /// Steps from one checkpoint to the next, beside the one after each epoch; 0 for none.
    pub checkpoint_every: usize,
    /// How many checkpoints are kept beside the last and the best.
    pub keep: usize,
    /// Steps from one line of the log to the next.
    pub log_every: usize,
    /// What to do where the folder holds a run.
    pub resume: Resume,
}

/// The words of [`Precision`] in a recipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MatmulPrecision {
    /// f32 throughout.
    Highest,
    /// Factors in bf16 on a CPU where that is faster, in TF32 on CUDA.
    Medium,
    /// The same, but bf16 on CUDA too.
    Bf16,
    /// The same, but f16 on CUDA, with a loss that is scaled by what keeps its gradients within f16's range.
    F16,
}

impl From<MatmulPrecision> for Precision {
    fn from(word: MatmulPrecision) -> Self {
        match word {
            MatmulPrecision::Highest => Self::Highest,
            MatmulPrecision::Medium => Self::Medium,
            MatmulPrecision::Bf16 => Self::Bf16,
            MatmulPrecision::F16 => Self::F16,
        }
    }
}

/// What to do where the folder holds a run already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Resume {
    /// Go on with it, if its configuration is the same; refuse otherwise.
    #[default]
    Auto,
    /// Refuse.
    Never,
}

/// What to do about parameters that no gradient reaches at the first step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Unreached {
    /// Name them once and go on.
    #[default]
    Report,
    /// Name them and stop.
    Error,
}

/// When to stop for want of better scores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EarlyStopping {
    /// How many validations in a row without a better score end the run.
    pub patience: usize,
    /// By how much a score must exceed the best one to count as better.
    #[serde(default)]
    pub min_delta: f64,
    /// Which score; by default the run's metric.
    #[serde(default)]
    pub metric: Option<Metric>,
}

/// A score at which the run is done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// The score to reach.
    pub value: f64,
    /// Which score; by default the run's metric.
    #[serde(default)]
    pub metric: Option<Metric>,
}

impl Default for FitConfig {
    fn default() -> Self {
        Self {
            epochs: 10,
            seed: 0,
            optimizer: OptimizerConfig::default(),
            schedule: Schedule::default(),
            warmup_steps: 0,
            clip_norm: None,
            clip_value: None,
            accumulate: 1,
            average: None,
            precision: None,
            average_from_start: false,
            unreached: Unreached::default(),
            validate_every: 1,
            metric: None,
            early_stopping: None,
            target: None,
            max_seconds: None,
            checkpoint_every: 0,
            keep: 0,
            log_every: 1,
            resume: Resume::default(),
        }
    }
}

/// Settings that may change between the parts of a run: none of them moves a weight but the precision, which moves it by rounding.
const FREE: [&str; 10] = [
    "precision",
    "unreached",
    "early_stopping",
    "target",
    "max_seconds",
    "checkpoint_every",
    "keep",
    "log_every",
    "resume",
    "epochs",
];

impl FitConfig {
    /// Checks the numbers.
    ///
    /// # Errors
    /// One line that names the setting and what it must be.
    pub fn check(&self) -> Result<()> {
        self.optimizer.check()?;
        self.schedule.check()?;
        let positive = |value: Option<f64>| value.is_none_or(|value| value > 0.0 && value.is_finite());
        let delta = self.early_stopping.as_ref().map_or(0.0, |stopping| stopping.min_delta);
        let fault = if delta < 0.0 || !delta.is_finite() {
            "early_stopping.min_delta must be 0 or more"
        } else if self.target.as_ref().is_some_and(|target| !target.value.is_finite()) {
            "target.value must be a number; leave target out for none"
        } else if self.accumulate == 0 {
            "accumulate is 0; one batch a step is 1"
        } else if self.log_every == 0 {
            "log_every is 0; a line for each step is 1"
        } else if !positive(self.clip_norm) {
            "clip_norm must be above 0; leave it out for none"
        } else if !positive(self.clip_value) {
            "clip_value must be above 0; leave it out for none"
        } else if self.average.is_some_and(|decay| !(0.0..1.0).contains(&decay)) {
            "average must lie in [0, 1); leave it out for none"
        } else if self.validate_every == 0
            && (self.early_stopping.is_some()
                || self.target.is_some()
                || matches!(self.schedule, Schedule::Plateau { .. }))
        {
            "validate_every is 0, and early_stopping, target and a plateau schedule want validations; leave them out or set it above 0"
        } else if self.average_from_start && self.average.is_none() {
            "average_from_start wants the decay of an average; set average too"
        } else if !positive(self.max_seconds) {
            "max_seconds must be above 0; leave it out for none"
        } else {
            return Ok(());
        };
        Err(Error::Setting(fault.into()))
    }

    /// Checks that the scores that are asked for are among those of these names, where any are known.
    ///
    /// # Errors
    /// One line that names the setting and the scores that there are.
    pub(crate) fn check_metrics(&self, known: &[&str]) -> Result<()> {
        let plateau = if let Schedule::Plateau { metric, .. } = &self.schedule { metric.as_ref() } else { None };
        let asked = [
            ("metric", self.metric.as_ref()),
            ("early_stopping.metric", self.early_stopping.as_ref().and_then(|stopping| stopping.metric.as_ref())),
            ("target.metric", self.target.as_ref().and_then(|target| target.metric.as_ref())),
            ("schedule.metric", plateau),
        ];
        let unknown =
            asked.into_iter().find(|(_, metric)| metric.is_some_and(|metric| !known.contains(&metric.name())));
        match unknown {
            Some((key, Some(metric))) if !known.is_empty() => {
                Err(Error::Setting(format!("{key}: {}", metric.unknown(known))))
            }
            _ => Ok(()),
        }
    }

    /// What must be the same for a run to be resumed: all that moves a weight, and the task's own configuration.
    ///
    /// The number of epochs counts only where the schedule depends on it, so that a finished run can be taken further.
    pub(crate) fn identity(&self, task: Value, trained: usize) -> Result<Value> {
        let mut fit = serde_json::to_value(self).map_err(|error| Error::Setting(error.to_string()))?;
        if let Value::Object(settings) = &mut fit {
            let whole = matches!(self.schedule, Schedule::Cosine { .. });
            settings.retain(|name, _| !FREE.contains(&name.as_str()) || (name == "epochs" && whole));
        }
        Ok(serde_json::json!({ "fit": fit, "task": task, "trained_parameters": trained }))
    }
}
