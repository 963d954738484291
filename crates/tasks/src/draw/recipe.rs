//! A recipe: everything about training a DRAW network that a person chooses, as `train.toml` says it.

use super::config::DrawNetworkConfig;
use candlewick_data::skipped::DEFAULT_MAX_SHARE;
use candlewick_training::{FitConfig, Metric};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use std::path::PathBuf;

/// How a DRAW network is trained: the content of a `train.toml` whose task is `draw`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DrawRecipe {
    /// Always `draw`.
    pub task: String,
    /// The run's name, and its folder under `runs/`.
    pub name: String,
    /// The pictures.
    #[serde(default)]
    pub data: DataConfig,
    /// The network.
    #[serde(default)]
    pub model: DrawNetworkConfig,
    /// How batches are made.
    #[serde(default)]
    pub batches: BatchConfig,
    /// Everything that is the same for every task; without `metric` the best checkpoint is that of the lowest bound.
    #[serde(deserialize_with = "with_metric")]
    pub training: FitConfig,
}

fn with_metric<'de, D: Deserializer<'de>>(deserializer: D) -> Result<FitConfig, D::Error> {
    let mut training = FitConfig::deserialize(deserializer)?;
    training.metric.get_or_insert_with(|| Metric::from("-bound"));
    Ok(training)
}

/// Where pictures come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DataConfig {
    /// The folder, in one of the formats of [`candlewick_data::image_classes`], whose classes are not looked at; `--data` on the command line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// The share of the training part that is validated on, where the set brings no dev part.
    pub dev_share: f64,
    /// The share of the pictures that may be broken and are skipped.
    pub max_share: f64,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self { path: None, dev_share: 0.1, max_share: DEFAULT_MAX_SHARE }
    }
}

/// How batches are made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BatchConfig {
    /// N, pictures a batch.
    pub size: usize,
}

impl Default for BatchConfig {
    fn default() -> Self {
        Self { size: 100 }
    }
}
