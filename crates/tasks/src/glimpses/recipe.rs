//! A recipe: everything about training a recurrent attention model that a person chooses, as `train.toml` says it.

use super::config::GlimpseNetworkConfig;
use candlewick_data::placed::Placing;
use candlewick_data::skipped::DEFAULT_MAX_SHARE;
use candlewick_training::FitConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// How a recurrent attention model is trained: the content of a `train.toml` whose task is `glimpses`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GlimpseRecipe {
    /// Always `glimpses`.
    pub task: String,
    /// The run's name, and its folder under `runs/`.
    pub name: String,
    /// The pictures.
    #[serde(default)]
    pub data: DataConfig,
    /// The network.
    #[serde(default)]
    pub model: GlimpseNetworkConfig,
    /// What is minimised.
    #[serde(default)]
    pub loss: LossConfig,
    /// How batches are made.
    #[serde(default)]
    pub batches: BatchConfig,
    /// Everything that is the same for every task.
    pub training: FitConfig,
}

/// Where pictures come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DataConfig {
    /// The folder, in one of the formats of [`candlewick_data::image_classes`]; `--data` on the command line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// The share of the training part that is validated on, where the set brings no dev part.
    pub dev_share: f64,
    /// How pictures are placed within larger ones.
    pub placing: Placing,
    /// The share of the pictures that may be broken and are skipped.
    pub max_share: f64,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self { path: None, dev_share: 0.1, placing: Placing::default(), max_share: DEFAULT_MAX_SHARE }
    }
}

/// What is minimised, a mean over pictures: the cross-entropy of the labels + λ_b · the mean squared error of the baseline + λ_r · REINFORCE, summed
/// over the locations that were drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LossConfig {
    /// λ_r.
    pub reinforce: f64,
    /// λ_b.
    pub baseline: f64,
    /// Whether the label is told after every look, and not after the last alone: each tells 1/T of loss and reward.
    pub every_look: bool,
    /// What telling a label is worth.
    pub reward: Reward,
}

impl Default for LossConfig {
    fn default() -> Self {
        Self { reinforce: 0.01, baseline: 1.0, every_look: false, reward: Reward::default() }
    }
}

/// What telling a label is worth to the location that was drawn before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reward {
    /// 1 where the likeliest class is the right one, else 0 (Mnih et al. 2014).
    #[default]
    Right,
    /// log p of the right class (Ba et al. 2015).
    LogProbability,
}

/// How batches are made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BatchConfig {
    /// N, pictures a batch.
    pub size: usize,
    /// Threads that prepare batches ahead.
    pub workers: usize,
}

impl Default for BatchConfig {
    fn default() -> Self {
        Self { size: 128, workers: 1 }
    }
}
