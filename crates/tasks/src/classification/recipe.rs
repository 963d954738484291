//! A recipe: everything about training a classifier that a person chooses, as `train.toml` says it.

use super::Augmentation;
use crate::Result;
use candlewick_data::skipped::DEFAULT_MAX_SHARE;
use candlewick_encoders::{NetworkConfig, Preprocessing};
use candlewick_training::FitConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// How a classifier is trained: the content of a `train.toml` whose task is `classification`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClassificationRecipe {
    /// Always `classification`.
    pub task: String,
    /// The run's name, and its folder under `runs/`.
    pub name: String,
    /// The pictures and their classes.
    #[serde(default)]
    pub data: DataConfig,
    /// The network.
    pub network: NetworkRecipe,
    /// What is done to pictures; what the network's published weights want by default.
    #[serde(default, deserialize_with = "Preprocessing::deserialize_given", skip_serializing_if = "Option::is_none")]
    pub preprocessing: Option<Preprocessing>,
    /// What is done to training pictures beside.
    #[serde(default)]
    pub augmentation: Augmentation,
    /// The share of a target's probability that is spread over all classes (Szegedy et al. 2016).
    #[serde(default)]
    pub label_smoothing: f64,
    /// How batches are made.
    #[serde(default)]
    pub batches: BatchConfig,
    /// Everything that is the same for every task.
    pub training: FitConfig,
}

impl ClassificationRecipe {
    /// What is done to pictures: what the recipe says, or else what the network's published weights want.
    ///
    /// # Errors
    /// When no network has this name.
    pub fn preprocessing(&self) -> Result<Preprocessing> {
        let given = self.preprocessing.as_ref();
        Ok(candlewick_vision::preprocessing(given, &self.network.name, &self.network.config)?)
    }
}

/// Where the pictures come from.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DataConfig {
    /// The folder, in one of the formats of `candlewick_data::image_classes`; `--data` on the command line.
    pub path: Option<PathBuf>,
    /// The share of the training pictures that is held out where the set brings no dev part.
    pub dev_share: f64,
    /// The share of the pictures that may be broken and are skipped.
    pub max_share: f64,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self { path: None, dev_share: 0.1, max_share: DEFAULT_MAX_SHARE }
    }
}

/// The network of a recipe.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NetworkRecipe {
    /// Its name, as `candlewick_encoders::networks` lists it.
    pub name: String,
    /// What can be chosen about it; the number of classes is the data's.
    #[serde(default)]
    pub config: NetworkConfig,
    /// Pretrained weights; `--encoder-weights` on the command line. A head for other classes is passed over.
    #[serde(default)]
    pub pretrained: Option<PathBuf>,
    /// The stage from which pretrained weights are trained further; the whole network without it.
    #[serde(default)]
    pub fine_tune: Option<String>,
}

/// How batches are made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BatchConfig {
    /// N, pictures a batch.
    pub size: usize,
    /// Threads that prepare batches ahead.
    pub workers: usize,
}

impl Default for BatchConfig {
    fn default() -> Self {
        Self { size: 64, workers: 1 }
    }
}
