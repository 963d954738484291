//! A recipe: everything about training a classifier that a person chooses, as `train.toml` says it.

use super::Augmentation;
use super::prepare::prepare;
use super::task::ClassificationTask;
use crate::{Error, Result};
use candle_core::Device;
use candlewick_data::Note;
use candlewick_data::skipped::DEFAULT_MAX_SHARE;
use candlewick_encoders::{NetworkConfig, Preprocessing};
use candlewick_training::{FitConfig, Inputs, Outcome, Recipe, Report, Task as _};
use candlewick_vision::check_stage;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// How a classifier is trained: the content of a `train.toml` whose task is `classification`.
#[derive(Clone, Debug, Serialize, Deserialize)]
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

impl Recipe for ClassificationRecipe {
    const TASK: &'static str = "classification";
    type Task = ClassificationTask;

    fn name(&self) -> &str {
        &self.name
    }

    fn training(&self) -> &FitConfig {
        &self.training
    }

    fn apply_inputs(&mut self, inputs: &Inputs) -> Result<()> {
        inputs.refuse(&[
            ("--start", "a classifier starts from --encoder-weights"),
            ("--regions", "a classifier looks at pictures; leave the file of regions out"),
        ])?;
        self.data.path = inputs.data.clone().or(self.data.path.take());
        self.network.pretrained = inputs.encoder_weights.clone().or(self.network.pretrained.take());
        Ok(())
    }

    fn check(&self) -> Result<()> {
        let fault = |fault: String| Err(Error::Setting(fault));
        let NetworkRecipe { name, fine_tune, pretrained, .. } = &self.network;
        if fine_tune.is_some() && pretrained.is_none() {
            return fault(
                "network.fine_tune: there are no pretrained weights to go on from; name them with --encoder-weights"
                    .into(),
            );
        }
        check_stage(name, fine_tune.as_deref(), "network.name", "network.fine_tune")?;
        for (key, share, most) in [
            ("data.max_share", self.data.max_share, 1.0),
            ("data.dev_share", self.data.dev_share, 0.9),
            ("label_smoothing", self.label_smoothing, 0.999),
        ] {
            if !(0.0..=most).contains(&share) {
                return fault(format!("{key} is {share}; wanted 0 to {most}"));
            }
        }
        if self.augmentation.shift > 100_000
            || self.augmentation.resized_crop.is_some_and(|least| !(least > 0.0 && least <= 1.0))
        {
            return fault(
                "augmentation: wanted a resized_crop above 0 and at most 1, and a shift of at most 100000".into(),
            );
        }
        if self.batches.size == 0 || self.batches.size > 100_000 || self.batches.workers > 256 {
            return fault("batches: wanted a size from 1 to 100000 and at most 256 workers".into());
        }
        self.preprocessing()?;
        self.training.check()
    }

    fn prepare(&self, _: &Path, device: &Device, note: &mut dyn FnMut(Note)) -> Result<ClassificationTask> {
        let task = prepare(self, device)?;
        let set = task.set();
        set.notes.iter().cloned().chain(task.skipped()).for_each(|line| note(Note::Line(line)));
        let (train, dev, test, classes) = (set.train.len(), set.dev.len(), set.test.len(), set.classes.len());
        note(Note::Line(format!(
            "{train} pictures to train on, {dev} to validate on, {test} to test on, {classes} classes"
        )));
        Ok(task)
    }

    fn outcome(&self, mut task: ClassificationTask, report: &Report, _: &Path, _: &Device) -> Result<Outcome> {
        task.load(&report.best)?;
        let set = task.set();
        let (split, examples) = if set.test.is_empty() { ("dev", &set.dev) } else { ("test", &set.test) };
        let scores = task.scores(examples)?;
        let lines = vec![format!("on {} pictures of the {split} split:", examples.len())];
        Ok(Outcome { lines, scores, split: Some(split), files: Vec::new() })
    }
}

/// Where the pictures come from.
#[derive(Clone, Debug, Serialize, Deserialize)]
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
#[derive(Clone, Debug, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
