//! A recipe: everything about a training run that a person chooses, as `train.toml` says it.

use super::batches::BatchConfig;
use super::loss::LossConfig;
use super::scheduled_sampling::ScheduledSampling;
use super::self_critical::SelfCritical;
use crate::decoders::DecoderConfig;
use crate::folder::Start;
use crate::{Error, Result};
use candle_core::Device;
use candlewick_data::captions::LoadOptions;
use candlewick_data::text::words::Words;
use candlewick_encoders::Preprocessing;
use candlewick_generation::GenerationConfig;
use candlewick_parameters::{Parameters, available_memory};
use candlewick_training::FitConfig;
use candlewick_vision::{EncoderRecipe, Views};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// How a captioner is trained: the content of a `train.toml` whose task is `captioning`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CaptioningRecipe {
    /// Always `captioning`.
    pub task: String,
    /// The run's name, and its folder under `runs/`.
    pub name: String,
    /// A model folder, or a run's, whose weights training starts from; `--start` on the command line.
    #[serde(default)]
    pub start: Option<PathBuf>,
    /// How captions are cut into words: `ptb`, `whitespace`, `characters`, `bpe` or the name of a `tokenizer.json`.
    #[serde(default)]
    pub words: Words,
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

impl CaptioningRecipe {
    /// Finds out what can be known before any data is read, with the model that training starts from.
    ///
    /// # Errors
    /// One line that names the setting and what to do.
    pub(crate) fn check_before(&self, start: Option<&Start>) -> Result<()> {
        let start_has_encoder = start.is_some_and(Start::has_encoder);
        let regions = matches!(&self.data, DataConfig::Photos { regions: Some(_), .. });
        if !regions {
            self.encoder.check(self.encoder.pretrained.is_some() || start_has_encoder)?;
        }
        let encoder_size = self.preprocessing()?.input_size();
        if matches!(self.data, DataConfig::Photos { .. }) && encoder_size.is_none() && !regions {
            let fault = "preprocessing: photos would keep their own shapes and make no batch; set crop_size";
            return Err(Error::Setting(fault.into()));
        }
        self.words.check()?;
        // A recipe that says nothing of words, as most do, takes those of the model.
        let others = |start: &Start| self.words != Words::default() && !self.words.is_of(&start.tokenizer);
        if start.is_some_and(others) {
            let fault = "words: the model that training starts from, whose words are kept, has words of another kind";
            return Err(Error::Setting(format!("{fault}; leave words out")));
        }
        self.training.check().map_err(|error| error.under("training"))?;
        self.loss.validate()?;
        self.generation.validate()?;
        self.scheduled_sampling.as_ref().map_or(Ok(()), ScheduledSampling::validate)?;
        self.self_critical.as_ref().map_or(Ok(()), SelfCritical::validate)?;
        self.views.all()?;
        self.data.check()?;
        self.batches.check()?;
        // A decoder of a few words tells whether its settings can be.
        let parameters = Parameters::new(0);
        self.decoder.build(64, 8, parameters.builder(&Device::Cpu)).map(drop).map_err(|error| {
            let error = error.to_string();
            let line = error.lines().next().unwrap_or_default();
            // The registry of cells knows no recipe.
            let key = if line.starts_with("no sequence layer is called") { "decoder.cell" } else { "decoder" };
            Error::Setting(if line.starts_with("decoder") { line.to_owned() } else { format!("{key}: {line}") })
        })
    }

    /// What is done to pictures: what the recipe says, or else what the encoder's published weights want.
    ///
    /// # Errors
    /// When no network has the encoder's name.
    pub fn preprocessing(&self) -> Result<Preprocessing> {
        let given = self.preprocessing.as_ref();
        Ok(candlewick_vision::preprocessing(given, &self.encoder.network, &self.encoder.config)?)
    }
}

/// Where pictures and captions come from.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
#[non_exhaustive]
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
        /// The share of the photos that is validated on, where their files name no splits.
        #[serde(default = "dev_share")]
        dev_share: f64,
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

impl DataConfig {
    fn check(&self) -> Result<()> {
        match *self {
            Self::Scenes { train, dev, .. } => {
                // A scene has its picture, its caption, and where its shapes are.
                let bytes = (train as u64).saturating_add(dev as u64).saturating_mul(SCENE_BYTES);
                let (wanted, there) = (bytes / 1_000_000_000, available_memory() / 1_000_000_000);
                if train == 0 || dev == 0 {
                    return Err(Error::Setting("data.train and data.dev must be above 0".into()));
                }
                if bytes > available_memory() {
                    let fault = format!(
                        "data.train and data.dev: these scenes would take {wanted} GB of memory, and {there} GB are free"
                    );
                    return Err(Error::Setting(fault + "; make them fewer"));
                }
            }
            Self::Photos { max_share, .. } if !(0.0..=1.0).contains(&max_share) => {
                return Err(Error::Setting(format!("data.max_share is {max_share}; wanted 0 to 1")));
            }
            Self::Photos { dev_share, .. } if !(0.0..1.0).contains(&dev_share) => {
                return Err(Error::Setting(format!("data.dev_share is {dev_share}; wanted 0 to below 1")));
            }
            Self::Photos { .. } => {}
        }
        Ok(())
    }
}

/// Bytes of a scene in memory.
const SCENE_BYTES: u64 = 14_000;

fn dev_share() -> f64 {
    LoadOptions::default().dev_share
}

fn min_count() -> usize {
    5
}

fn longest() -> usize {
    40
}

fn max_share() -> f64 {
    candlewick_data::skipped::DEFAULT_MAX_SHARE
}
