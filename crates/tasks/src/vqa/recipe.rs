//! A recipe: everything about training a model that answers questions that a person chooses, as `train.toml` says it.

use super::config::{Join, VqaNetworkConfig};
use crate::{Error, Result};
use candlewick_data::skipped::DEFAULT_MAX_SHARE;
use candlewick_encoders::Preprocessing;
use candlewick_parameters::available_memory;
use candlewick_training::{FitConfig, check_shares, check_sizes};
use candlewick_vision::{EncoderRecipe, Views};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// How a model that answers questions about pictures is trained: the content of a `train.toml` whose task is `vqa`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VqaRecipe {
    /// Always `vqa`.
    pub task: String,
    /// The run's name, and its folder under `runs/`.
    pub name: String,
    /// The pictures and questions.
    pub data: DataConfig,
    /// The encoder; a model that sees no picture has none.
    #[serde(default)]
    pub encoder: EncoderRecipe,
    /// What is done to pictures; what the encoder's published weights want by default.
    #[serde(default, deserialize_with = "Preprocessing::deserialize_given", skip_serializing_if = "Option::is_none")]
    pub preprocessing: Option<Preprocessing>,
    /// Which views training pictures are seen through.
    #[serde(default)]
    pub views: Views,
    /// The network.
    #[serde(default)]
    pub model: VqaNetworkConfig,
    /// The share of a target's probability that is spread over all answers (Szegedy et al. 2016).
    #[serde(default)]
    pub label_smoothing: f64,
    /// λ, the weight of −log Σ α over the positions in the box of the thing that has the answer, α of the last hop, where that box is known, as it
    /// is of generated scenes; 0 leaves where to look to the answers alone.
    #[serde(default)]
    pub pointing: f64,
    /// How batches are made.
    #[serde(default)]
    pub batches: BatchConfig,
    /// Everything that is the same for every task.
    pub training: FitConfig,
}

impl VqaRecipe {
    /// What is done to pictures: what the recipe says, or else what the encoder's published weights want.
    ///
    /// # Errors
    /// When no network has the encoder's name.
    pub fn preprocessing(&self) -> Result<Preprocessing> {
        let given = self.preprocessing.as_ref();
        Ok(candlewick_vision::preprocessing(given, &self.encoder.network, &self.encoder.config)?)
    }

    pub(super) fn check_all(&self) -> Result<()> {
        let fault = |fault: String| Err(Error::Setting(fault));
        let VqaNetworkConfig { question, hops, attention_size, hidden_size, dropout, picture_dropout, .. } =
            &self.model;
        check_shares(&[
            ("model.dropout", *dropout, 1.0),
            ("model.picture_dropout", *picture_dropout, 1.0),
            ("model.question.dropout", question.dropout, 1.0),
            ("model.question.word_dropout", question.word_dropout, 1.0),
            ("label_smoothing", self.label_smoothing, 0.999),
        ])?;
        check_sizes(&[
            ("model.hops", *hops),
            ("model.attention_size", *attention_size),
            ("model.hidden_size", *hidden_size),
            ("model.question.hidden_size", question.hidden_size),
            ("model.question.embedding_size", question.embedding_size),
            ("batches.size", self.batches.size),
        ])?;
        if !(self.pointing.is_finite() && self.pointing >= 0.0) {
            return fault(format!("pointing is {}; wanted at least 0", self.pointing));
        }
        if self.pointing > 0.0 && self.model.join != Join::Attention {
            return fault("pointing: a network that does not attend looks nowhere; leave it out".into());
        }
        for (key, value, most) in [("model.hops", *hops, MOST_HOPS), ("batches.size", self.batches.size, 100_000)] {
            if value > most {
                return fault(format!("{key} is {value}; {most} is the most"));
            }
        }
        if self.batches.workers > 256 {
            return fault("batches.workers: 256 are the most".into());
        }
        self.check_seen()?;
        self.data.check()?;
        self.training.check().map_err(|error| error.under("training"))
    }

    /// Checks how pictures are seen, where they are.
    fn check_seen(&self) -> Result<()> {
        let scenes = matches!(self.data, DataConfig::Scenes { .. });
        self.views.all()?;
        if !self.model.sees() {
            return Ok(());
        }
        self.encoder.check(self.encoder.pretrained.is_some())?;
        if scenes && self.views != Views::default() {
            let fault =
                "views: of scenes it is asked where things are, which is true of the whole scene only; leave views out";
            return Err(Error::Setting(fault.into()));
        }
        if !scenes && self.preprocessing()?.input_size().is_none() {
            let fault = "preprocessing: photos would keep their own shapes and make no batch; set crop_size";
            return Err(Error::Setting(fault.into()));
        }
        Ok(())
    }
}

/// More hops than ever helped anybody.
const MOST_HOPS: usize = 16;

/// Where pictures and questions come from.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
#[non_exhaustive]
pub enum DataConfig {
    /// Pictures that the program draws, with questions about each.
    Scenes {
        /// How many pictures it trains on.
        train: usize,
        /// How many unseen ones it is validated on, and tested on.
        dev: usize,
        /// How many questions are asked about each.
        #[serde(default = "one")]
        questions: usize,
        /// What they are drawn from.
        #[serde(default)]
        seed: u64,
    },
    /// Photos with questions in one of the formats of `candlewick_data::questions`.
    Photos {
        /// The folder or file; `--data` on the command line.
        #[serde(default)]
        path: Option<PathBuf>,
        /// The folder of the photos, where they are not beside the questions.
        #[serde(default)]
        images: Option<PathBuf>,
        /// The share of the photos that is validated on with all their questions, where the set brings no dev part.
        #[serde(default = "dev_share")]
        dev_share: f64,
        /// The share of questions or photos that may be broken and are skipped.
        #[serde(default = "max_share")]
        max_share: f64,
        /// How often a word comes in the training questions at least; others count as the unknown one.
        #[serde(default = "one")]
        least_count: usize,
        /// How often an answer comes in training at least to be known; questions with rarer ones are not learned from.
        #[serde(default = "one")]
        least_answers: usize,
        /// Where a frozen encoder's annotations are kept; `features` beside the run by default.
        #[serde(default)]
        features: Option<PathBuf>,
        /// The folder of WordNet's database files, for the scores WUPS.
        #[serde(default)]
        wordnet: Option<PathBuf>,
    },
}

impl DataConfig {
    fn check(&self) -> Result<()> {
        let fault = |fault: String| Err(Error::Setting(fault));
        match *self {
            Self::Scenes { train, dev, questions, .. } => {
                let each = SCENE_BYTES.saturating_add((questions as u64).saturating_mul(QUESTION_BYTES));
                let bytes = (train as u64).saturating_add(dev as u64).saturating_mul(each);
                if train == 0 || dev == 0 || questions == 0 {
                    return fault("data.train, data.dev and data.questions must be above 0".into());
                }
                if bytes > available_memory() {
                    let (wanted, there) = (bytes / 1_000_000_000, available_memory() / 1_000_000_000);
                    return fault(format!(
                        "data.train and data.dev: these scenes would take {wanted} GB of memory, and {there} GB are free; make them fewer"
                    ));
                }
            }
            Self::Photos { max_share, dev_share, least_count, least_answers, .. } => {
                check_shares(&[("data.max_share", max_share, 1.0), ("data.dev_share", dev_share, 0.9)])?;
                check_sizes(&[("data.least_count", least_count), ("data.least_answers", least_answers)])?;
            }
        }
        Ok(())
    }
}

/// Bytes of a scene, and of a question, in memory.
const SCENE_BYTES: u64 = 14_000;
const QUESTION_BYTES: u64 = 500;

fn dev_share() -> f64 {
    0.1
}

fn max_share() -> f64 {
    DEFAULT_MAX_SHARE
}

fn one() -> usize {
    1
}

/// How batches are made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BatchConfig {
    /// N, questions a batch.
    pub size: usize,
    /// Whether all questions about a picture come in one batch, so that the encoder looks at it once an epoch; batches then have about
    /// `size` questions.
    pub by_picture: bool,
    /// Threads that prepare batches ahead.
    pub workers: usize,
}

impl Default for BatchConfig {
    fn default() -> Self {
        Self { size: 64, by_picture: false, workers: 1 }
    }
}
