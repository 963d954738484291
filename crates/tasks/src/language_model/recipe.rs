//! A recipe: everything about training a language model that a person chooses, as `train.toml` says it.

use super::config::NetworkConfig;
use candlewick_data::tokens::Units;
use candlewick_generation::GenerationConfig;
use candlewick_training::{FitConfig, Metric};
use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use std::path::PathBuf;

/// How a language model is trained: the content of a `train.toml` whose task is `language_model`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LanguageModelRecipe {
    /// Always `language_model`.
    pub task: String,
    /// The run's name, and its folder under `runs/`.
    pub name: String,
    /// The text.
    #[serde(default)]
    pub data: DataConfig,
    /// The network.
    #[serde(default)]
    pub model: NetworkConfig,
    /// How the text is read.
    #[serde(default)]
    pub batches: BatchConfig,
    /// How texts are written: what the model's folder says, and how the samples of a run are.
    #[serde(default = "generation", deserialize_with = "over_generation")]
    pub generation: GenerationConfig,
    /// Everything that is the same for every task; without `metric` the best checkpoint is that of the fewest nats a character.
    #[serde(deserialize_with = "with_metric")]
    pub training: FitConfig,
}

/// Drawn from the whole distribution, without a start and an end.
fn generation() -> GenerationConfig {
    GenerationConfig {
        bos_token_id: None,
        eos_token_id: None,
        max_new_tokens: 500,
        ..GenerationConfig::sample(0.8, 0, 1.0)
    }
}

/// The settings that are given over those of [`generation`]; a running text has no start and no end.
fn over_generation<'de, D: Deserializer<'de>>(deserializer: D) -> Result<GenerationConfig, D::Error> {
    let given = Map::<String, Value>::deserialize(deserializer)?;
    let config = generation().with_given(given).map_err(D::Error::custom)?;
    Ok(GenerationConfig { bos_token_id: None, eos_token_id: None, ..config })
}

fn with_metric<'de, D: Deserializer<'de>>(deserializer: D) -> Result<FitConfig, D::Error> {
    let mut training = FitConfig::deserialize(deserializer)?;
    training.metric.get_or_insert_with(|| Metric::from("-nats_per_character"));
    Ok(training)
}

/// Where the text comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DataConfig {
    /// A text file, or a folder with one that has `train` in its name and one that has `dev` or `valid`; gzip too. `--data` on the command
    /// line.
    pub path: Option<PathBuf>,
    /// The text itself, in place of a file: a short one, which is trained on and validated on as a whole, and over which the network is shown
    /// unrolled, before training and after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// What the tokens are.
    pub units: Units,
    /// The share at the end of a single file that is not trained on.
    pub dev_share: f64,
    /// How the letters are written: `utf-8`, `latin1`, or another label of the Encoding Standard.
    pub encoding: String,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self { path: None, text: None, units: Units::Characters, dev_share: 0.1, encoding: "utf-8".into() }
    }
}

/// How the text is read: N streams, T steps at a time, the state carried from one to the next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BatchConfig {
    /// N, streams side by side.
    pub size: usize,
    /// T, steps through which a gradient goes back.
    pub steps: usize,
    /// Whether the text is cut at other places in each epoch, up to T/8 to each side (after Merity et al. 2018).
    pub varied: bool,
    /// How often an epoch goes through the text: above 1 for texts so short that their epochs would be nothing but checkpoints.
    #[serde(skip_serializing_if = "is_one")]
    pub passes: usize,
}

fn is_one(count: &usize) -> bool {
    *count == 1
}

impl Default for BatchConfig {
    fn default() -> Self {
        Self { size: 32, steps: 128, varied: true, passes: 1 }
    }
}
