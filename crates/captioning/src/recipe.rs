//! A recipe: everything about a training run that a person chooses, as `train.toml` says it.

use crate::decoder::DecoderConfig;
use crate::loss::LossConfig;
use crate::scheduled_sampling::ScheduledSampling;
use crate::self_critical::SelfCritical;
use crate::views::Views;
use crate::{Error, Result};
use candle_core::Device;
use candlewick_encoders::{Architecture, NetworkConfig, Preprocessing};
use candlewick_generation::GenerationConfig;
use candlewick_parameters::{Parameters, available_memory};
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
    /// Finds out what can be known before any data is read; `start_has_encoder` where training starts from a model that has its
    /// encoder in itself.
    ///
    /// # Errors
    /// One line that names the setting and what to do.
    pub(crate) fn check(&self, start_has_encoder: bool) -> Result<()> {
        let regions = matches!(&self.data, DataConfig::Photos { regions: Some(_), .. });
        if !regions {
            self.encoder.check(self.encoder.pretrained.is_some() || start_has_encoder)?;
        }
        let encoder_size = self.preprocessing()?.input_size();
        if matches!(self.data, DataConfig::Photos { .. }) && encoder_size.is_none() && !regions {
            let fault = "preprocessing: photos would keep their own shapes and make no batch; set crop_size";
            return Err(Error::Config(fault.into()));
        }
        self.training.check()?;
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
            Error::Config(if line.starts_with("decoder") { line.to_owned() } else { format!("decoder: {line}") })
        })
    }

    /// What is done to pictures: what the recipe says, or else what the encoder's published weights want.
    ///
    /// # Errors
    /// When no network has the encoder's name.
    pub fn preprocessing(&self) -> Result<Preprocessing> {
        match &self.preprocessing {
            Some(preprocessing) => Ok(preprocessing.clone()),
            None => Ok(Architecture::find(&self.encoder.network)?.preprocessing_for(&self.encoder.config)),
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

impl DataConfig {
    fn check(&self) -> Result<()> {
        match *self {
            Self::Scenes { train, dev, .. } => {
                // A scene has its picture, its caption, and where its shapes are.
                let bytes = (train as u64).saturating_add(dev as u64).saturating_mul(SCENE_BYTES);
                let (wanted, there) = (bytes / 1_000_000_000, available_memory() / 1_000_000_000);
                if train == 0 || dev == 0 {
                    return Err(Error::Config("data.train and data.dev must be above 0".into()));
                }
                if bytes > available_memory() {
                    let fault = format!(
                        "data.train and data.dev: these scenes would take {wanted} GB of memory, and {there} GB are free"
                    );
                    return Err(Error::Config(fault + "; make them fewer"));
                }
            }
            Self::Photos { max_share, .. } if !(0.0..=1.0).contains(&max_share) => {
                return Err(Error::Config(format!("data.max_share is {max_share}; wanted 0 to 1")));
            }
            Self::Photos { .. } => {}
        }
        Ok(())
    }
}

/// Bytes of a scene in memory.
const SCENE_BYTES: u64 = 14_000;

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
    /// Pretrained weights; `--encoder-weights` on the command line.
    pub pretrained: Option<PathBuf>,
    /// Whether the encoder is trained from nothing. A network of which published weights exist wants this said, or weights.
    pub from_scratch: bool,
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
            from_scratch: false,
            fine_tune: None,
            learning_rate_factor: None,
        }
    }
}

impl EncoderRecipe {
    /// Checks what can be known without the weights; `known` says whether some are there, in a file or in the model that training
    /// starts from.
    ///
    /// # Errors
    /// One line that names the setting and what to do.
    fn check(&self, known: bool) -> Result<()> {
        let fault = |fault: String| Err(Error::Config(fault));
        let name = self.network.as_str();
        let unknown = |error| Error::Config(format!("encoder.network: {error}"));
        let stages = Architecture::find(name).map_err(unknown)?.stages();
        if let Some(from) = &self.fine_tune
            && !stages.iter().any(|stage| stage == from)
        {
            return fault(format!("encoder.fine_tune: {name} has no stage {from}; it has {}", stages.join(", ")));
        }
        if self.learning_rate_factor.is_some_and(|factor| !(factor >= 0.0 && factor.is_finite())) {
            return fault("encoder.learning_rate_factor must be 0 or more".into());
        }
        match (known, self.from_scratch, self.fine_tune.is_some()) {
            (true, true, _) => fault("encoder.from_scratch: there are weights for it; leave one of the two out".into()),
            (false, _, true) => fault(
                "encoder.fine_tune: there are no pretrained weights to go on from; name them with --encoder-weights"
                    .into(),
            ),
            (false, false, _) if is_published(name) => fault(format!(
                "this recipe wants the weights of its encoder {name}: --encoder-weights FILE|hub:REPO, or encoder.from_scratch = true to train it from nothing"
            )),
            _ => Ok(()),
        }
    }
}

/// Whether others have published weights of a network.
fn is_published(network: &str) -> bool {
    network != "convnet" && !network.starts_with("fractalnet")
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

impl BatchConfig {
    fn check(&self) -> Result<()> {
        let fault = if self.size == 0 {
            "batches.size is 0; one caption a batch is the least"
        } else if self.size > MOST_ROWS || self.decoded > MOST_ROWS {
            "batches.size and batches.decoded: a hundred thousand are the most"
        } else if self.workers > MOST_WORKERS {
            "batches.workers: 256 are the most"
        } else if self.validated == Some(0) {
            "batches.validated is 0; leave it out to validate on all pictures"
        } else {
            return Ok(());
        };
        Err(Error::Config(fault.into()))
    }
}

const MOST_ROWS: usize = 100_000;
const MOST_WORKERS: usize = 256;

impl Default for BatchConfig {
    fn default() -> Self {
        Self { size: 32, by_picture: false, workers: 1, validated: None, decoded: 64 }
    }
}
