//! A recipe: everything about training a classifier of sequences that a person chooses, as `train.toml` says it.

use super::clip_source::FramesConfig;
use super::config::{InputKind, OutputKind};
use super::frame_encoder::FrameEncoderConfig;
use super::preprocessing::ValuesConfig;
use candlewick_data::skipped::DEFAULT_MAX_SHARE;
use candlewick_data::tokens::Units;
use candlewick_recurrent::SequenceEncoderConfig;
use candlewick_training::FitConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
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

/// Where the sequences come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DataConfig {
    /// The folder or file, in one of the formats of `candlewick_data`; `--data` on the command line.
    pub path: Option<PathBuf>,
    /// What the sequences are of.
    pub input: InputKind,
    /// What sequences of numbers are read from.
    pub values: ValuesConfig,
    /// What clips are read from.
    pub frames: FramesConfig,
    /// Whether each number of a step is brought to mean 0 and deviation 1 over the training part; it goes with the model. Of numbers.
    pub normalize: bool,
    /// What is told of them; of texts the class of the whole, of notes which sound next.
    pub output: OutputKind,
    /// After how many steps it is scored whether the class is told already, where each step is told of: `accuracy_after_10` and so on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub early: Vec<usize>,
    /// What labels are called in place of what the data call them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub label_names: BTreeMap<String, String>,
    /// What the tokens of a text are; those of the language model that training begins with, where there is one.
    pub units: Units,
    /// How often a word comes in the training part at least; others count as the unknown one. Of the units words and spaces.
    pub least_count: usize,
    /// How the letters of a text are written: `utf-8`, `latin1`, or another label of the Encoding Standard.
    pub encoding: String,
    /// The share of the training part that is held out where the set brings no dev part.
    pub dev_share: f64,
    /// The share of the sentences that may be broken and are skipped.
    pub max_share: f64,
    /// Which part of a set of texts without a test part is its test part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fold: Option<Fold>,
}

impl DataConfig {
    /// What sequences that are drawn are called, so that no data are wanted; nothing where they are read from files.
    pub fn drawn_as(&self) -> Option<&'static str> {
        match (self.input, &self.values, &self.frames) {
            (InputKind::Values, ValuesConfig::Adding(_), _) => Some("adding"),
            (InputKind::Frames, _, FramesConfig::Moving(_)) => Some("moving"),
            _ => None,
        }
    }
}

/// One of several equal parts, by a hash of the sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fold {
    /// From 0.
    pub number: usize,
    /// How many there are.
    pub of: usize,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            path: None,
            input: InputKind::Words,
            values: ValuesConfig::default(),
            frames: FramesConfig::default(),
            normalize: false,
            output: OutputKind::One,
            early: Vec::new(),
            label_names: BTreeMap::new(),
            units: Units::Words,
            least_count: 1,
            encoding: "utf-8".into(),
            dev_share: 0.1,
            max_share: DEFAULT_MAX_SHARE,
            fold: None,
        }
    }
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
