//! A recipe: everything about training a translator that a person chooses, as `train.toml` says it.

use super::config::NetworkConfig;
use candlewick_data::skipped::DEFAULT_MAX_SHARE;
use candlewick_data::tokens::Units;
use candlewick_generation::GenerationConfig;
use candlewick_training::FitConfig;
use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use std::path::PathBuf;

/// How a translator is trained: the content of a `train.toml` whose task is `translation`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TranslationRecipe {
    /// Always `translation`.
    pub task: String,
    /// The run's name, and its folder under `runs/`.
    pub name: String,
    /// The sentences and their translations.
    pub data: DataConfig,
    /// The network.
    #[serde(default)]
    pub model: NetworkConfig,
    /// The share of a target's probability that is spread over all tokens (Szegedy et al. 2016).
    #[serde(default)]
    pub label_smoothing: f64,
    /// How batches are made.
    #[serde(default)]
    pub batches: BatchConfig,
    /// How translations are searched for: what the model's folder says, and how a run is validated.
    #[serde(default = "generation", deserialize_with = "over_generation")]
    pub generation: GenerationConfig,
    /// Everything that is the same for every task.
    pub training: FitConfig,
}

/// Five beams, and sentences of up to 100 tokens.
pub(super) fn generation() -> GenerationConfig {
    GenerationConfig { max_new_tokens: 100, ..GenerationConfig::beam(5) }
}

fn over_generation<'de, D: Deserializer<'de>>(deserializer: D) -> Result<GenerationConfig, D::Error> {
    generation().with_given(Map::<String, Value>::deserialize(deserializer)?).map_err(D::Error::custom)
}

/// Where the sentences come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// The folder, with a file of each language for each part: `train.de` beside `train.en`, or with `.gz` after it. `--data` on the command
    /// line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// The language that is read, as the files end: `de`.
    pub source: String,
    /// The language that is written.
    pub target: String,
    /// What the tokens of both languages are.
    #[serde(default = "pieces")]
    pub units: Units,
    /// The most tokens of either side of a pair to train on; longer ones are left out.
    #[serde(default = "longest")]
    pub longest: usize,
    /// The share of the training part that is held out where the set brings no dev part.
    #[serde(default = "dev_share")]
    pub dev_share: f64,
    /// How the letters are written: `utf-8`, `latin1`, or another label of the Encoding Standard.
    #[serde(default = "encoding")]
    pub encoding: String,
    /// The share of the pairs that may be broken and are skipped.
    #[serde(default = "max_share")]
    pub max_share: f64,
}

fn pieces() -> Units {
    Units::Bpe { vocab_size: 8000 }
}

fn longest() -> usize {
    100
}

fn dev_share() -> f64 {
    0.1
}

fn encoding() -> String {
    "utf-8".into()
}

fn max_share() -> f64 {
    DEFAULT_MAX_SHARE
}

impl DataConfig {
    /// Pairs of these languages, all else as usual.
    pub fn new(source: impl Into<String>, target: impl Into<String>) -> Self {
        let (source, target) = (source.into(), target.into());
        let (units, longest, dev_share, encoding, max_share) =
            (pieces(), longest(), dev_share(), encoding(), max_share());
        Self { path: None, source, target, units, longest, dev_share, encoding, max_share }
    }
}

/// How batches are made: pairs of like length together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BatchConfig {
    /// N, pairs a batch.
    pub size: usize,
}

impl Default for BatchConfig {
    fn default() -> Self {
        Self { size: 64 }
    }
}
