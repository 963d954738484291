//! What a classifier of sequences is made of: the model folder's `config.json`.

use super::frame_encoder::FrameEncoderConfig;
use candlewick_recurrent::SequenceEncoderConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What the sequences are of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum InputKind {
    /// Tokens of a text.
    #[default]
    Words,
    /// D numbers a step.
    Values,
    /// Frames of a clip, each of which a network of `candlewick_encoders` reads first.
    Frames,
}

/// What is told of a sequence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OutputKind {
    /// The class of the whole.
    #[default]
    One,
    /// The class of each step.
    Each,
    /// At each step the class of the next one, which a layer that reads both ways would have seen.
    Next,
    /// At each step which of several things come next, each by itself, such as notes that sound together.
    Several,
    /// A number s for the whole, learned by ‖s − y‖².
    Number,
}

impl OutputKind {
    /// Whether something is told of each step.
    pub(super) fn of_steps(self) -> bool {
        matches!(self, Self::Each | Self::Next | Self::Several)
    }

    /// Whether what is told of a step is the step after it.
    pub(super) fn of_the_next(self) -> bool {
        matches!(self, Self::Next | Self::Several)
    }
}

/// The content of a sequence classifier's `config.json`; keys that it does not know are passed over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SequenceClassifierConfig {
    /// Always `sequence-classifier`, so that a folder of another model is told apart.
    pub model_type: String,
    /// What the sequences are of.
    pub input: InputKind,
    /// What is told of them.
    #[serde(default)]
    pub output: OutputKind,
    /// V, the number of tokens, or D, how many numbers a step has or a frame becomes.
    pub input_size: usize,
    /// After how many steps it is scored whether the class is told already, where it is told at each step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub early: Vec<usize>,
    /// What reads each frame, of clips.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoder: Option<FrameEncoderConfig>,
    /// What reads them.
    pub network: SequenceEncoderConfig,
    /// What labels are called in place of what data call them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub label_names: BTreeMap<String, String>,
    /// The classes' names by number; none where a number is told.
    pub id2label: BTreeMap<usize, String>,
}
