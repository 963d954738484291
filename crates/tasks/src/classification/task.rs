//! Training a classifier.

use super::Augmentation;
use super::classifier::Classifier;
use super::evaluate::scored;
use super::source::{Batch, Source};
use crate::{Error, Result};
use candle_core::D;
use candlewick_data::buckets;
use candlewick_data::features::PhotoHash;
use candlewick_data::image_classes::{Examples, LabelledImages};
use candlewick_data::loader::{Loader, LoaderConfig};
use candlewick_data::skipped::Skipped;
use candlewick_encoders::ClassifierOutput;
use candlewick_kernels::device::upload;
use candlewick_kernels::loss::{CrossEntropy, cross_entropy};
use candlewick_parameters::{Mode, Parameters};
use candlewick_training::{Loss, Scores, Shard, Task, data_hash};
use std::path::Path;
use std::sync::Arc;

/// The weight of an auxiliary head's loss (Szegedy et al. 2014).
const AUXILIARY: f64 = 0.3;

/// Trains a [`Classifier`] on labelled pictures and validates it by its accuracy on others.
pub struct ClassificationTask {
    classifier: Classifier,
    train: Arc<Source>,
    dev: Arc<Source>,
    /// All the pictures, also those that are tested on.
    set: LabelledImages,
    faults: Skipped,
    /// Hashes of the pictures and classes that are trained on, and of those that are validated on.
    digests: [PhotoHash; 2],
    settings: Settings,
}

/// What of a recipe the task needs beside network and data.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub size: usize,
    pub workers: usize,
    pub label_smoothing: f64,
    pub seed: u64,
    /// Whether batch norm takes the batch's statistics: not where only a part of a pretrained network is trained.
    pub statistics: bool,
}

impl ClassificationTask {
    pub(crate) fn new(
        classifier: Classifier,
        set: LabelledImages,
        train: Source,
        dev: Source,
        faults: Skipped,
        settings: Settings,
    ) -> Result<Self> {
        if train.rows.is_empty() || dev.rows.is_empty() || settings.size == 0 {
            let (train, dev) = (train.rows.len(), dev.rows.len());
            let fault = format!("{train} pictures to train on and {dev} to validate on, {} a batch", settings.size);
            return Err(Error::NoData(format!("{fault}; there must be some of each")));
        }
        let digests = [train.digest()?, dev.digest()?];
        Ok(Self { classifier, set, train: train.into(), dev: dev.into(), faults, digests, settings })
    }

    /// The classifier as it is now.
    pub fn classifier(&self) -> &Classifier {
        &self.classifier
    }

    /// The labelled pictures in their parts.
    pub fn set(&self) -> &LabelledImages {
        &self.set
    }

    /// One line that names the pictures which were found broken before training and are skipped; told once.
    pub fn skipped(&self) -> Option<String> {
        self.faults.report()
    }

    /// The scores of the classifier as it is now on other pictures: accuracy, and with more than ten classes whether the right
    /// one is among the likeliest five. Pictures that were found broken before training are left out; `progress` is told how many of how many
    /// are done.
    ///
    /// # Errors
    /// When a picture cannot be read.
    pub fn scores(&self, examples: &Examples, progress: &mut dyn FnMut(usize, usize)) -> Result<Scores> {
        let preprocessing = self.classifier.preprocessing.clone();
        let source = Source::new(examples, &self.faults, preprocessing, Augmentation::default());
        scored(&self.classifier, &Arc::new(source), (self.settings.size, self.settings.workers), progress)
    }
}

impl Task for ClassificationTask {
    type Batch = Batch;

    fn parameters(&self) -> &Parameters {
        &self.classifier.parameters
    }

    fn batches_per_epoch(&self) -> usize {
        self.train.rows.len().div_ceil(self.settings.size)
    }

    fn batches<'a>(
        &'a self,
        epoch: usize,
        skip: usize,
        shard: Shard,
    ) -> Result<Box<dyn Iterator<Item = Result<Batch>> + 'a>> {
        let Settings { size, workers, seed, .. } = self.settings;
        let order = buckets::batches(&vec![0; self.train.rows.len()], size, seed, epoch);
        let rows =
            |places: Vec<usize>| places.iter().filter_map(|&place| self.train.rows.get(place).copied()).collect();
        let config = LoaderConfig { workers, ..LoaderConfig::default() };
        let source = Arc::clone(&self.train);
        let jobs: Vec<Vec<usize>> = shard.select(order, skip).map(|(_, places)| rows(places)).collect();
        let loader = Loader::new(jobs, config, move |rows: Vec<usize>| source.batch(&rows, (seed, epoch)));
        Ok(Box::new(loader))
    }

    fn loss(&self, batch: &Batch, mode: &mut Mode) -> Result<Loss> {
        let device = self.classifier.device();
        let (images, labels) = (upload(&batch.images, device)?, batch.labels.to_device(device)?);
        let ClassifierOutput { logits, auxiliary } = match self.settings.statistics {
            true => self.classifier.network.logits_with_auxiliary(&images, mode)?,
            false => self.classifier.network.logits_with_auxiliary(&images, &mut Mode::Eval)?,
        };
        let options = CrossEntropy { label_smoothing: self.settings.label_smoothing, ..CrossEntropy::default() };
        let right = logits.argmax(D::Minus1)?.eq(&labels)?.to_dtype(logits.dtype())?.mean_all()?;
        let mut value = cross_entropy(&logits, &labels, &options, None)?;
        for logits in &auxiliary {
            value = (value + (cross_entropy(logits, &labels, &options, None)? * AUXILIARY)?)?;
        }
        Ok(Loss { value, count: images.dim(0)?, parts: vec![("accuracy", right)] })
    }

    fn validate(&mut self, epoch: usize) -> Result<Scores> {
        self.validate_told(epoch, &mut |_, _| ())
    }

    fn validate_told(&mut self, _: usize, progress: &mut dyn FnMut(usize, usize)) -> Result<Scores> {
        scored(&self.classifier, &self.dev, (self.settings.size, self.settings.workers), progress)
    }

    fn items(&self) -> &'static str {
        "pictures"
    }

    fn score_names(&self) -> Vec<&'static str> {
        if self.classifier.config.id2label.len() > 10 { vec!["accuracy", "top_5"] } else { vec!["accuracy"] }
    }

    fn save(&self, folder: &Path) -> Result<()> {
        self.classifier.save(folder)
    }

    fn config(&self) -> serde_json::Value {
        serde_json::json!({
            "classifier": self.classifier.config,
            "pictures": self.train.rows.len(),
            "photos": self.digests[0].to_string(),
            "dev_split": self.digests[1].to_string(),
            "batch_size": self.settings.size,
            "label_smoothing": self.settings.label_smoothing,
            "augmentation": self.train.augmentation,
            "preprocessing": self.train.preprocessing,
            "seed": self.settings.seed,
        })
    }

    fn data(&self) -> serde_json::Value {
        let of = |source: &Source| {
            let label = |row: usize| source.examples.labels.get(row).copied().unwrap_or_default().to_string();
            let items = source.rows.iter().map(|&row| (source.examples.path(row), label(row)));
            serde_json::json!({ "pictures": source.rows.len(), "sha256": data_hash(items) })
        };
        serde_json::json!({ "train": of(&self.train), "dev": of(&self.dev), "classes": self.set.classes.len() })
    }
}
