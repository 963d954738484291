//! A recipe: everything about training a classifier of sequences that a person chooses, as `train.toml` says it.

use super::frame_encoder::FrameEncoderConfig;
use super::inputs::DataConfig;
use candlewick_recurrent::SequenceEncoderConfig;
use candlewick_training::FitConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// How a classifier of sequences is trained: the content of a `train.toml` whose task is `sequence_classification`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SequenceClassificationRecipe {
    /// Always `sequence_classification`.
    pub task: String,
    /// The run's name, and its folder under `runs/`.
    pub name: String,
    /// A language model's folder or run, with whose vectors of words and weights training begins; its tokenizer is then the classifier's.
    /// `--start` on the command line. It must not have read the sentences that the classifier is judged on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<PathBuf>,
    /// The sequences and their classes.
    #[serde(default)]
    pub data: DataConfig,
    /// What reads each frame, of clips.
    #[serde(default)]
    pub encoder: FrameEncoderConfig,
    /// The network.
    #[serde(default)]
    pub model: SequenceEncoderConfig,
    /// The share of a target's probability that is spread over all classes (Szegedy et al. 2016).
    #[serde(default)]
    pub label_smoothing: f64,
    /// How batches are made.
    #[serde(default)]
    pub batches: BatchConfig,
    /// Everything that is the same for every task.
    pub training: FitConfig,
}

/// How batches are made: sequences of like length together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BatchConfig {
    /// N, sequences a batch.
    pub size: usize,
    /// How many steps are read of a sequence in training, from another place in each epoch; an epoch has as many such parts of a sequence as
    /// cover it. All where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<usize>,
    /// Whether half of the clips are mirrored in training.
    pub mirror: bool,
}

impl Default for BatchConfig {
    fn default() -> Self {
        Self { size: 64, window: None, mirror: false }
    }
}
