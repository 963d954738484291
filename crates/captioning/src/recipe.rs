//! A recipe: everything about a training run that a person chooses, as `train.toml` says it.

use crate::Result;
use crate::decoder::DecoderConfig;
use crate::loss::LossConfig;
use crate::scheduled_sampling::ScheduledSampling;
use crate::self_critical::SelfCritical;
use crate::views::Views;
use candlewick_encoders::{NetworkConfig, Preprocessing};
use candlewick_recurrent::decoding::GenerationConfig;
use candlewick_training::FitConfig;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// How a captioner is trained: the content of a `train.toml` whose task is `captioning`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Always `captioning`.
    pub task: String,
    /// The run's name, and its folder under `runs/`.
    pub name: String,
    /// A model folder, or a run's, whose weights training starts from; `--start` on the command line.
    #[serde(default)]
    pub start: Option<PathBuf>,
    /// The pictures and captions.
    pub data: DataConfig,
    /// The encoder.
    #[serde(default)]
    pub encoder: EncoderRecipe,
    /// What is done to pictures; what the encoder's published weights want by default.
    #[serde(default, deserialize_with = "Preprocessing::deserialize_given", skip_serializing_if = "Option::is_none")]
    pub preprocessing: Option<Preprocessing>,
    /// Which views training pictures are seen through.
    #[serde(default)]
    pub views: Views,
    /// The decoder.
    #[serde(default)]
    pub decoder: DecoderConfig,
    /// The loss.
    #[serde(default)]
    pub loss: LossConfig,
    /// Scheduled sampling; without it the network reads people's words only.
    #[serde(default)]
    pub scheduled_sampling: Option<ScheduledSampling>,
    /// Self-critical training; without it the network learns people's captions.
    #[serde(default)]
    pub self_critical: Option<SelfCritical>,
    /// How captions are generated, in validation and by the finished model.
    #[serde(default)]
    pub generation: GenerationConfig,
    /// How batches are made and the best checkpoint is found.
    #[serde(default)]
    pub batches: BatchConfig,
    /// Everything that is the same for every task.
    pub training: FitConfig,
}

impl Recipe {
    /// What is done to pictures: what the recipe says, or else what the encoder's published weights want.
    ///
    /// # Errors
    /// When no network has the encoder's name.
    pub fn preprocessing(&self) -> Result<Preprocessing> {
        match &self.preprocessing {
            Some(preprocessing) => Ok(preprocessing.clone()),
            None => Ok(self.encoder.config.preprocessing(&self.encoder.network)?),
        }
    }
}

/// Where pictures and captions come from.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum DataConfig {
    /// Pictures that the program draws.
    Scenes {
        /// How many it trains on.
        train: usize,
        /// How many unseen ones it is validated on.
        dev: usize,
        /// What they are drawn from.
        #[serde(default)]
        seed: u64,
    },
    /// Photos with captions in one of the formats of `candlewick_data::captions`.
    Photos {
        /// The folder or file; `--data` on the command line.
        #[serde(default)]
        path: Option<PathBuf>,
        /// How often a word must occur to be known.
        #[serde(default = "min_count")]
        min_count: usize,
        /// The longest caption, in words, that is trained on.
        #[serde(default = "longest")]
        longest: usize,
        /// The share of photos or captions that may be broken.
        #[serde(default = "max_share")]
        max_share: f64,
        /// Where a frozen encoder's annotations are kept; `features` beside the run by default.
        #[serde(default)]
        features: Option<PathBuf>,
        /// Regions that an object detector saw in the photos; `--regions` on the command line. They take the encoder's place.
        #[serde(default)]
        regions: Option<PathBuf>,
    },
}

fn min_count() -> usize {
    5
}

fn longest() -> usize {
    40
}

fn max_share() -> f64 {
    candlewick_data::faults::DEFAULT_MAX_SHARE
}

/// The encoder of a recipe.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EncoderRecipe {
    /// The network's name, as `candlewick_encoders::networks` lists it.
    pub network: String,
    /// The layer whose map is read; the last one by default.
    pub layer: Option<String>,
    /// Whether each annotation ends with its position, x and y from −1 to 1.
    pub coordinates: bool,
    /// What can be chosen about the network.
    pub config: NetworkConfig,
    /// Pretrained weights; `--encoder-weights` on the command line. Without them the encoder is trained from scratch.
    pub pretrained: Option<PathBuf>,
    /// The stage from which pretrained weights are trained further; frozen altogether without it.
    pub fine_tune: Option<String>,
    /// The factor on the learning rate of the encoder's parameters.
    pub learning_rate_factor: Option<f64>,
}

impl Default for EncoderRecipe {
    fn default() -> Self {
        Self {
            network: "resnet50".into(),
            layer: None,
            coordinates: false,
            config: NetworkConfig::default(),
            pretrained: None,
            fine_tune: None,
            learning_rate_factor: None,
        }
    }
}

/// How batches are made and what validation decodes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BatchConfig {
    /// N, captions a batch.
    pub size: usize,
    /// Whether all captions of a picture come in one batch, so that the encoder looks at it once an epoch; batches then hold
    /// captions of any lengths, about `size` of them.
    pub by_picture: bool,
    /// Threads that prepare batches ahead.
    pub workers: usize,
    /// Pictures of the dev split that a validation decodes; all by default.
    pub validated: Option<usize>,
    /// Pictures that are captioned together in validation and evaluation.
    pub decoded: usize,
}

impl Default for BatchConfig {
    fn default() -> Self {
        Self { size: 32, by_picture: false, workers: 1, validated: None, decoded: 64 }
    }
}
