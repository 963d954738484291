//! Training a classifier of sequences.

use super::batch::{Batch, Sequences, View};
use super::classifier::SequenceClassifier;
use super::config::OutputKind;
use super::evaluate::scored;
use super::inputs::{Input, Labelled};
use super::recipe::BatchConfig;
use super::several;
use super::targets::{NONE, Targets};
use crate::{Error, Result};
use candle_core::{D, DType};
use candlewick_data::buckets;
use candlewick_data::features::PhotoHash;
use candlewick_kernels::loss::{CrossEntropy, cross_entropy};
use candlewick_parameters::{Mode, Parameters, Rng};
use candlewick_training::{Loss, Scores, Shard, Task};
use std::path::Path;

/// Trains a [`SequenceClassifier`] on labelled sequences and validates it on others, by its accuracy or by how well it tells numbers.
pub struct SequenceClassificationTask {
    classifier: SequenceClassifier,
    train: Part,
    /// The sequence that each part of an epoch is of.
    parts: Vec<usize>,
    dev: Part,
    settings: Settings,
}

/// What of a recipe the task needs beside network and data.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub batches: BatchConfig,
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
            Input::Frames(frames) => frames.iter().for_each(|frame| bytes.extend_from_slice(frame.as_raw())),
            Input::Drawn(clip) => bytes.extend_from_slice(format!("{clip:?}").as_bytes()),
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
        if train.is_empty() || dev.is_empty() || settings.batches.size == 0 {
            let (train, dev) = (train.len(), dev.len());
            let fault =
                format!("{train} sequences to train on and {dev} to validate on, {} a batch", settings.batches.size);
            return Err(Error::NoData(format!("{fault}; there must be some of each")));
        }
        let (train, dev) = (Part::new(&classifier, train)?, Part::new(&classifier, dev)?);
        let window = settings.batches.window.unwrap_or(usize::MAX).max(1);
        let count = |(place, length): (usize, &usize)| vec![place; length.div_ceil(window).max(1)];
        let parts = train.lengths.iter().enumerate().flat_map(count).collect();
        Ok(Self { classifier, train, parts, dev, settings })
    }

    /// The classifier as it is now.
    pub fn classifier(&self) -> &SequenceClassifier {
        &self.classifier
    }

    /// How many of the sequences to train on have no steps, such as sentences of which no word counts.
    pub(super) fn empty(&self) -> usize {
        self.train.lengths.iter().filter(|&&length| length == 0).count()
    }

    /// What of a sequence is read in an epoch.
    fn view(&self, epoch: usize, part: usize) -> Option<View> {
        let BatchConfig { window, mirror, .. } = self.settings.batches;
        let place = *self.parts.get(part)?;
        let length = *self.train.lengths.get(place)?;
        let steps = window.map_or(length, |window| window.min(length));
        let mut rng = Rng::derive(self.settings.seed, "windows", (epoch * self.parts.len() + part) as u64);
        let start = rng.below(length - steps + 1);
        Some(View { place, start, steps, mirrored: mirror && rng.chance(0.5) })
    }

    fn batch(&self, epoch: usize, parts: &[usize]) -> Result<Batch> {
        let device = self.classifier.device();
        let views: Vec<View> = parts.iter().filter_map(|&part| self.view(epoch, part)).collect();
        let inputs = self.train.sequences.padded(&views, device)?;
        let lengths: Vec<usize> = views.iter().map(|view| view.steps).collect();
        let steps = lengths.iter().copied().max().unwrap_or(0).max(1);
        let (targets, count) = (self.train.targets.tensor(&views, steps, device)?, self.train.targets.count(&views));
        Ok(Batch { inputs, lengths, targets, count })
    }
}

impl Task for SequenceClassificationTask {
    type Batch = Batch;

    fn parameters(&self) -> &Parameters {
        &self.classifier.parameters
    }

    fn batches_per_epoch(&self) -> usize {
        self.parts.len().div_ceil(self.settings.batches.size)
    }

    fn batches<'a>(
        &'a self,
        epoch: usize,
        skip: usize,
        shard: Shard,
    ) -> Result<Box<dyn Iterator<Item = Result<Batch>> + 'a>> {
        let Settings { batches: BatchConfig { size, window, .. }, seed, .. } = self.settings;
        let length = |&place: &usize| self.train.lengths.get(place).map_or(0, |&own| own.min(window.unwrap_or(own)));
        let lengths: Vec<usize> = self.parts.iter().map(length).collect();
        let batches = buckets::batches(&lengths, size, seed, epoch);
        Ok(Box::new(shard.select(batches, skip).map(move |(_, parts)| self.batch(epoch, &parts))))
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
            // What is named by numbers cannot be listed.
            _ if !self.classifier.config.early.is_empty() => Vec::new(),
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
            "batches": self.settings.batches,
            "label_smoothing": self.settings.label_smoothing,
            "seed": self.settings.seed,
        })
    }

    fn data(&self) -> serde_json::Value {
        let of = |part: &Part| serde_json::json!({ "sequences": part.lengths.len(), "sha256": part.hash });
        serde_json::json!({ "train": of(&self.train), "dev": of(&self.dev) })
    }
}
