//! Which optimiser, with PyTorch's names and defaults.

use crate::{Error, Result};
use candlewick_kernels::optimizer::Rule;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An optimiser and its numbers; in a recipe `optimizer = { name = "adamw", learning_rate = 3e-4 }`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "name", rename_all = "lowercase")]
#[non_exhaustive]
pub enum OptimizerConfig {
    /// Adam, its weight decay added to the gradient: g += λp; m = β₁m + (1−β₁)g; v = β₂v + (1−β₂)g²;
    /// p −= η/(1−β₁ᵗ) · m / (√v/√(1−β₂ᵗ) + ε). Kingma and Ba 2015, "Adam: a method for stochastic optimization".
    Adam(AdamConfig),
    /// Adam with decoupled weight decay: p −= ηλp in the place of g += λp. Loshchilov and Hutter 2019, "Decoupled weight decay
    /// regularization".
    AdamW(AdamWConfig),
    /// Stochastic gradient descent: g += λp; b = μb + g; p −= ηb, or with Nesterov's momentum p −= η(g + μb). Sutskever et al. 2013, "On
    /// the importance of initialization and momentum in deep learning".
    Sgd(SgdConfig),
    /// RMSprop: g += λp; s = αs + (1−α)g²; b = μb + g/(√s + ε); p −= ηb. Tieleman and Hinton 2012, lecture 6.5.
    RmsProp(RmsPropConfig),
}

/// Adam's numbers, as `torch.optim.Adam` has them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AdamConfig {
    /// The step size.
    pub learning_rate: f64,
    /// How fast the means of the gradient and of its square forget.
    pub betas: (f64, f64),
    /// What keeps the denominator from 0.
    pub eps: f64,
    /// Added to the gradient, times the parameter.
    pub weight_decay: f64,
}

/// AdamW's numbers, as `torch.optim.AdamW` has them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AdamWConfig {
    /// The step size.
    pub learning_rate: f64,
    /// How fast the means of the gradient and of its square forget.
    pub betas: (f64, f64),
    /// What keeps the denominator from 0.
    pub eps: f64,
    /// By what share, times the step size, each parameter shrinks at each step.
    pub weight_decay: f64,
}

/// SGD's numbers, as `torch.optim.SGD` has them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SgdConfig {
    /// The step size.
    pub learning_rate: f64,
    /// How much of the last step's direction stays.
    pub momentum: f64,
    /// Nesterov's form of the momentum.
    pub nesterov: bool,
    /// Added to the gradient, times the parameter.
    pub weight_decay: f64,
}

/// RMSprop's numbers, as `torch.optim.RMSprop` has them (never centered).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RmsPropConfig {
    /// The step size.
    pub learning_rate: f64,
    /// How fast the mean of the gradient's square forgets.
    pub alpha: f64,
    /// What keeps the denominator from 0.
    pub eps: f64,
    /// How much of the last step's direction stays.
    pub momentum: f64,
    /// Added to the gradient, times the parameter.
    pub weight_decay: f64,
}

impl Default for AdamConfig {
    fn default() -> Self {
        Self { learning_rate: 1e-3, betas: (0.9, 0.999), eps: 1e-8, weight_decay: 0.0 }
    }
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self { learning_rate: 1e-3, betas: (0.9, 0.999), eps: 1e-8, weight_decay: 1e-2 }
    }
}

impl Default for SgdConfig {
    fn default() -> Self {
        Self { learning_rate: 1e-3, momentum: 0.0, nesterov: false, weight_decay: 0.0 }
    }
}

impl Default for RmsPropConfig {
    fn default() -> Self {
        Self { learning_rate: 1e-2, alpha: 0.99, eps: 1e-8, momentum: 0.0, weight_decay: 0.0 }
    }
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        OptimizerConfig::Adam(AdamConfig::default())
    }
}

impl OptimizerConfig {
    /// Adam with this step size.
    pub fn adam(learning_rate: f64) -> Self {
        OptimizerConfig::Adam(AdamConfig { learning_rate, ..AdamConfig::default() })
    }

    /// AdamW with this step size.
    pub fn adamw(learning_rate: f64) -> Self {
        OptimizerConfig::AdamW(AdamWConfig { learning_rate, ..AdamWConfig::default() })
    }

    /// SGD with this step size and momentum.
    pub fn sgd(learning_rate: f64, momentum: f64) -> Self {
        OptimizerConfig::Sgd(SgdConfig { learning_rate, momentum, ..SgdConfig::default() })
    }

    /// RMSprop with this step size.
    pub fn rmsprop(learning_rate: f64) -> Self {
        OptimizerConfig::RmsProp(RmsPropConfig { learning_rate, ..RmsPropConfig::default() })
    }

    /// The step size, before schedule and factors.
    pub fn learning_rate(&self) -> f64 {
        match self {
            OptimizerConfig::Adam(config) => config.learning_rate,
            OptimizerConfig::AdamW(config) => config.learning_rate,
            OptimizerConfig::Sgd(config) => config.learning_rate,
            OptimizerConfig::RmsProp(config) => config.learning_rate,
        }
    }

    /// Checks the numbers.
    ///
    /// # Errors
    /// When one lies where no optimiser can work.
    pub fn check(&self) -> Result<()> {
        let share = |name: &'static str, value: f64| ((0.0..1.0).contains(&value), name, "must lie in [0, 1)");
        let positive = |name: &'static str, value: f64| (value >= 0.0 && value.is_finite(), name, "must be 0 or more");
        // A parameter without a gradient would be divided by 0, and what f32 takes for 0 is 0.
        let above = |name: &'static str, value: f64| (value as f32 > 0.0 && value.is_finite(), name, "must be above 0");
        let (mut checks, decay) = match self {
            OptimizerConfig::Adam(AdamConfig { betas, eps, weight_decay, .. })
            | OptimizerConfig::AdamW(AdamWConfig { betas, eps, weight_decay, .. }) => {
                (vec![share("betas", betas.0), share("betas", betas.1), above("eps", *eps)], *weight_decay)
            }
            OptimizerConfig::Sgd(SgdConfig { momentum, nesterov, weight_decay, .. }) => (
                vec![
                    positive("momentum", *momentum),
                    (!nesterov || *momentum > 0.0, "nesterov", "needs a momentum above 0"),
                ],
                *weight_decay,
            ),
            OptimizerConfig::RmsProp(RmsPropConfig { alpha, eps, momentum, weight_decay, .. }) => {
                (vec![share("alpha", *alpha), above("eps", *eps), positive("momentum", *momentum)], *weight_decay)
            }
        };
        checks.extend([positive("learning_rate", self.learning_rate()), positive("weight_decay", decay)]);
        match checks.into_iter().find(|(good, ..)| !good) {
            Some((_, name, fault)) => Err(Error::Setting(format!("optimizer.{name} {fault}"))),
            None => Ok(()),
        }
    }
}

impl From<&OptimizerConfig> for Rule {
    fn from(config: &OptimizerConfig) -> Self {
        match *config {
            OptimizerConfig::Adam(AdamConfig { betas, eps, weight_decay, .. }) => {
                Rule::Adam { betas, eps, weight_decay, decoupled: false }
            }
            OptimizerConfig::AdamW(AdamWConfig { betas, eps, weight_decay, .. }) => {
                Rule::Adam { betas, eps, weight_decay, decoupled: true }
            }
            OptimizerConfig::Sgd(SgdConfig { momentum, nesterov, weight_decay, .. }) => {
                Rule::Sgd { momentum, nesterov, weight_decay }
            }
            OptimizerConfig::RmsProp(RmsPropConfig { alpha, eps, momentum, weight_decay, .. }) => {
                Rule::RmsProp { alpha, eps, momentum, weight_decay }
            }
        }
    }
}
