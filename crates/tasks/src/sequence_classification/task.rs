//! Training a classifier of sequences.

use super::batch::{Batch, Sequences};
use super::classifier::SequenceClassifier;
use super::config::OutputKind;
use super::evaluate::scored;
use super::labelled::{Input, Labelled};
use super::several;
use super::targets::{NONE, Targets};
use crate::{Error, Result};
use candle_core::{D, DType};
use candlewick_data::buckets;
use candlewick_data::features::PhotoHash;
use candlewick_kernels::loss::{CrossEntropy, cross_entropy};
use candlewick_parameters::{Mode, Parameters};
use candlewick_training::{Loss, Scores, Shard, Task};
use std::path::Path;

/// Trains a [`SequenceClassifier`] on labelled sequences and validates it on others, by its accuracy or by how well it tells numbers.
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

/// Sequences, ready for the network, with what is to be told of them.
struct Part {
    sequences: Sequences,
    lengths: Vec<usize>,
    targets: Targets,
    /// By which a run is known again.
    hash: String,
}

impl Part {
    fn new(classifier: &SequenceClassifier, labelled: &[Labelled]) -> Result<Self> {
        let sequences = classifier.sequences(labelled.iter().map(|one| &one.input))?;
        let lengths = sequences.lengths();
        let targets = Targets::of(classifier.config.output, labelled, &lengths, |label| Ok(i64::from(label)))?;
        Ok(Self { sequences, lengths, targets, hash: hash(labelled) })
    }
}

/// A hash of the sequences and what is known of them, in their order.
fn hash(labelled: &[Labelled]) -> String {
    let mut bytes = Vec::new();
    let floats = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    for one in labelled {
        match &one.input {
            Input::Words(text) => bytes.extend_from_slice(text.as_bytes()),
            Input::Values(values) => bytes.extend(floats(values)),
        }
        bytes.extend(floats(&one.targets));
        bytes.extend_from_slice(format!("\t{:?}\n", one.labels).as_bytes());
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
        let (output, steps) = (self.classifier.config.output, inputs.dim(1)?);
        let targets = self.train.targets.tensor(output, places, steps, device)?;
        Ok(Batch { inputs, lengths, targets, count: self.train.targets.count(places) })
    }
}

impl Task for SequenceClassificationTask {
    type Batch = Batch;

    fn parameters(&self) -> &Parameters {
        &self.classifier.parameters
    }

    fn batches_per_epoch(&self) -> usize {
        self.train.lengths.len().div_ceil(self.settings.size)
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
        let Batch { inputs, lengths, targets, count } = batch;
        let (logits, _) = self.classifier.logits(inputs, lengths, mode)?;
        if self.classifier.config.output == OutputKind::Number {
            let value = (logits.squeeze(D::Minus1)? - targets)?.sqr()?.mean_all()?;
            return Ok(Loss::new(value, *count));
        }
        if self.classifier.config.output == OutputKind::Several {
            return Ok(Loss::new(several::loss(&logits, targets, *count)?, *count));
        }
        let Settings { label_smoothing, .. } = self.settings;
        let options = CrossEntropy { label_smoothing, ignore_index: Some(NONE), ..CrossEntropy::default() };
        let value = cross_entropy(&logits, targets, &options, None)?;
        let right = logits.argmax(D::Minus1)?.to_dtype(DType::I64)?.eq(targets)?.to_dtype(logits.dtype())?.sum_all()?;
        let right = (right / (*count).max(1) as f64)?;
        Ok(Loss { value, count: *count, parts: vec![("accuracy", right)] })
    }

    fn validate(&mut self, epoch: usize) -> Result<Scores> {
        self.validate_told(epoch, &mut |_, _| ())
    }

    fn validate_told(&mut self, _: usize, progress: &mut dyn FnMut(usize, usize)) -> Result<Scores> {
        scored(&self.classifier, &self.dev.sequences, &self.dev.targets, progress)
    }

    fn items(&self) -> &'static str {
        "sequences"
    }

    fn score_names(&self) -> Vec<&'static str> {
        match self.classifier.config.output {
            OutputKind::Number => vec!["r_squared", "mean_squared_error"],
            OutputKind::Several => vec!["accuracy", "nats_per_step"],
            _ => vec!["accuracy"],
        }
    }

    fn save(&self, folder: &Path) -> Result<()> {
        self.classifier.save(folder)
    }

    fn config(&self) -> serde_json::Value {
        serde_json::json!({
            "classifier": self.classifier.config,
            "sequences": self.train.lengths.len(),
            "train": self.train.hash,
            "dev": self.dev.hash,
            "batch_size": self.settings.size,
            "label_smoothing": self.settings.label_smoothing,
            "seed": self.settings.seed,
        })
    }

    fn data(&self) -> serde_json::Value {
        let of = |part: &Part| serde_json::json!({ "sequences": part.lengths.len(), "sha256": part.hash });
        serde_json::json!({ "train": of(&self.train), "dev": of(&self.dev) })
    }
}
