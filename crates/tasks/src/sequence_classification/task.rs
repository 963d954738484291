//! Training a classifier of sequences.

use super::batch::{Batch, Sequences};
use super::classifier::SequenceClassifier;
use super::evaluate::scored;
use super::labelled::{Input, Labelled};
use crate::{Error, Result};
use candle_core::{D, Tensor};
use candlewick_data::buckets;
use candlewick_data::features::PhotoHash;
use candlewick_kernels::loss::{CrossEntropy, cross_entropy};
use candlewick_parameters::{Mode, Parameters};
use candlewick_training::{Loss, Scores, Shard, Task};
use std::path::Path;

/// Trains a [`SequenceClassifier`] on labelled sequences and validates it by its accuracy on others.
pub struct SequenceClassificationTask {
    classifier: SequenceClassifier,
    train: Part,
    dev: Part,
    settings: Settings,
}

/// What of a recipe the task needs beside network and data.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub size: usize,
    pub label_smoothing: f64,
    pub seed: u64,
}

/// Sequences, ready for the network, with their classes.
struct Part {
    sequences: Sequences,
    lengths: Vec<usize>,
    labels: Vec<u32>,
    /// By which a run is known again.
    hash: String,
}

impl Part {
    fn new(classifier: &SequenceClassifier, labelled: &[Labelled]) -> Result<Self> {
        let sequences = classifier.sequences(labelled.iter().map(|one| &one.input))?;
        let labels: Vec<u32> = labelled.iter().map(|one| one.label).collect();
        Ok(Self { lengths: sequences.lengths(), sequences, labels, hash: hash(labelled) })
    }
}

/// A hash of the sequences and their classes in their order.
fn hash(labelled: &[Labelled]) -> String {
    let mut bytes = Vec::new();
    for one in labelled {
        match &one.input {
            Input::Words(text) => bytes.extend_from_slice(text.as_bytes()),
            Input::Values(values) => values.iter().for_each(|value| bytes.extend_from_slice(&value.to_le_bytes())),
        }
        bytes.extend_from_slice(format!("\t{}\n", one.label).as_bytes());
    }
    PhotoHash::of(&bytes).to_string()
}

impl SequenceClassificationTask {
    pub(super) fn new(
        classifier: SequenceClassifier,
        train: &[Labelled],
        dev: &[Labelled],
        settings: Settings,
    ) -> Result<Self> {
        if train.is_empty() || dev.is_empty() || settings.size == 0 {
            let (train, dev) = (train.len(), dev.len());
            let fault = format!("{train} sequences to train on and {dev} to validate on, {} a batch", settings.size);
            return Err(Error::NoData(format!("{fault}; there must be some of each")));
        }
        let (train, dev) = (Part::new(&classifier, train)?, Part::new(&classifier, dev)?);
        Ok(Self { classifier, train, dev, settings })
    }

    /// The classifier as it is now.
    pub fn classifier(&self) -> &SequenceClassifier {
        &self.classifier
    }

    /// How many of the sequences to train on have no steps, such as sentences of which no word counts.
    pub(super) fn empty(&self) -> usize {
        self.train.lengths.iter().filter(|&&length| length == 0).count()
    }

    fn batch(&self, places: &[usize]) -> Result<Batch> {
        let device = self.classifier.device();
        let (inputs, lengths) = self.train.sequences.padded(places, device)?;
        let labels: Vec<u32> = places.iter().filter_map(|&place| self.train.labels.get(place).copied()).collect();
        Ok(Batch { inputs, lengths, labels: Tensor::new(labels, device)? })
    }
}

impl Task for SequenceClassificationTask {
    type Batch = Batch;

    fn parameters(&self) -> &Parameters {
        &self.classifier.parameters
    }

    fn batches_per_epoch(&self) -> usize {
        self.train.labels.len().div_ceil(self.settings.size)
    }

    fn batches<'a>(
        &'a self,
        epoch: usize,
        skip: usize,
        shard: Shard,
    ) -> Result<Box<dyn Iterator<Item = Result<Batch>> + 'a>> {
        let Settings { size, seed, .. } = self.settings;
        let batches = buckets::batches(&self.train.lengths, size, seed, epoch);
        Ok(Box::new(shard.select(batches, skip).map(|(_, places)| self.batch(&places))))
    }

    fn loss(&self, batch: &Batch, mode: &mut Mode) -> Result<Loss> {
        let Batch { inputs, lengths, labels } = batch;
        let (logits, _) = self.classifier.logits(inputs, lengths, mode)?;
        let options = CrossEntropy { label_smoothing: self.settings.label_smoothing, ..CrossEntropy::default() };
        let right = logits.argmax(D::Minus1)?.eq(labels)?.to_dtype(logits.dtype())?.mean_all()?;
        let value = cross_entropy(&logits, labels, &options, None)?;
        Ok(Loss { value, count: lengths.len(), parts: vec![("accuracy", right)] })
    }

    fn validate(&mut self, epoch: usize) -> Result<Scores> {
        self.validate_told(epoch, &mut |_, _| ())
    }

    fn validate_told(&mut self, _: usize, progress: &mut dyn FnMut(usize, usize)) -> Result<Scores> {
        scored(&self.classifier, &self.dev.sequences, &self.dev.labels, progress)
    }

    fn items(&self) -> &'static str {
        "sequences"
    }

    fn score_names(&self) -> Vec<&'static str> {
        vec!["accuracy"]
    }

    fn save(&self, folder: &Path) -> Result<()> {
        self.classifier.save(folder)
    }

    fn config(&self) -> serde_json::Value {
        serde_json::json!({
            "classifier": self.classifier.config,
            "sequences": self.train.labels.len(),
            "train": self.train.hash,
            "dev": self.dev.hash,
            "batch_size": self.settings.size,
            "label_smoothing": self.settings.label_smoothing,
            "seed": self.settings.seed,
        })
    }

    fn data(&self) -> serde_json::Value {
        let of = |part: &Part| serde_json::json!({ "sequences": part.labels.len(), "sha256": part.hash });
        serde_json::json!({ "train": of(&self.train), "dev": of(&self.dev) })
    }
}
