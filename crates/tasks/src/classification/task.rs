//! Training a classifier.

use super::classifier::Classifier;
use super::{Augmentation, Recipe};
use crate::{Error, Result};
use candle_core::{D, Device, Tensor};
use candlewick_data::buckets;
use candlewick_data::faults::Faults;
use candlewick_data::features::PhotoHash;
use candlewick_data::labelled::Examples;
use candlewick_data::loader::{Loader, LoaderConfig};
use candlewick_data::picture::{self, Limits};
use candlewick_encoders::{Classified, Preprocessing};
use candlewick_kernels::loss::{CrossEntropy, cross_entropy};
use candlewick_parameters::{Mode, Parameters, Rng};
use candlewick_training::{Loss, Scores, Task};
use rayon::prelude::*;
use std::path::Path;
use std::sync::Arc;

/// The weight of an auxiliary head's loss (Szegedy et al. 2014).
const AUXILIARY: f64 = 0.3;

/// Trains a [`Classifier`] on labelled pictures and validates it by its accuracy on others.
pub struct ClassificationTask {
    classifier: Classifier,
    train: Arc<Source>,
    dev: Arc<Source>,
    faults: Faults,
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

/// Pictures, and what is done to them.
pub(crate) struct Source {
    examples: Examples,
    /// Those of the pictures that can be read.
    rows: Vec<usize>,
    preprocessing: Preprocessing,
    augmentation: Augmentation,
}

/// Pictures and their classes, on the CPU.
pub struct Batch {
    /// (N, 3, height, width).
    images: Tensor,
    /// (N).
    labels: Tensor,
}

impl Source {
    /// The pictures but for those that are recorded as broken.
    pub fn new(examples: &Examples, faults: &Faults, preprocessing: Preprocessing, augmentation: Augmentation) -> Self {
        let broken = |row: usize| examples.path(row).is_some_and(|path| faults.contains(&path.display().to_string()));
        let rows = (0..examples.len()).filter(|&row| !broken(row)).collect();
        Self { examples: examples.clone(), rows, preprocessing, augmentation }
    }

    /// A hash of the pictures and their classes in their order: a run is gone on with on the same ones only.
    fn digest(&self) -> Result<PhotoHash> {
        let one = |&row: &usize| -> Result<String> {
            let hash = match self.examples.path(row) {
                Some(path) => PhotoHash::of(&picture::read(path, Limits::default().max_bytes)?),
                None => PhotoHash::of(self.examples.picture(row)?.as_raw()),
            };
            Ok(format!("{hash} {}", self.examples.labels.get(row).copied().unwrap_or_default()))
        };
        let all: Vec<String> = self.rows.par_iter().map(one).collect::<Result<_>>()?;
        Ok(PhotoHash::of(all.join("\n").as_bytes()))
    }

    /// The pictures in these rows; `seed` and `epoch` decide how each is changed.
    fn batch(&self, rows: &[usize], (seed, epoch): (u64, usize)) -> Result<Batch> {
        let image = |&row: &usize| -> Result<Tensor> {
            let picture = self.examples.picture(row)?;
            let index = (epoch * self.examples.len() + row) as u64;
            let mut rng = Rng::derive(seed, "augmentation", index);
            let (picture, preprocessing) = self.augmentation.apply(picture, &self.preprocessing, &mut rng);
            Ok(preprocessing.apply(&picture, &Device::Cpu)?)
        };
        let images: Vec<Tensor> = rows.iter().map(image).collect::<Result<_>>()?;
        let labels: Vec<u32> = rows.iter().filter_map(|&row| self.examples.labels.get(row).copied()).collect();
        Ok(Batch { images: Tensor::stack(&images, 0)?, labels: Tensor::new(labels, &Device::Cpu)? })
    }
}

impl ClassificationTask {
    pub(crate) fn new(
        classifier: Classifier,
        (train, dev): (Source, Source),
        faults: Faults,
        settings: Settings,
    ) -> Result<Self> {
        if train.rows.is_empty() || dev.rows.is_empty() || settings.size == 0 {
            let (train, dev) = (train.rows.len(), dev.rows.len());
            let fault = format!("{train} pictures to train on and {dev} to validate on, {} a batch", settings.size);
            return Err(Error::Config(format!("{fault}; there must be some of each")));
        }
        let digests = [train.digest()?, dev.digest()?];
        Ok(Self { classifier, train: train.into(), dev: dev.into(), faults, digests, settings })
    }

    /// The settings that a recipe has for the task.
    pub(crate) fn settings(recipe: &Recipe) -> Settings {
        Settings {
            size: recipe.batches.size,
            workers: recipe.batches.workers,
            label_smoothing: recipe.label_smoothing,
            seed: recipe.training.seed,
            statistics: recipe.network.fine_tune.is_none(),
        }
    }

    /// The classifier as it is now.
    pub fn classifier(&self) -> &Classifier {
        &self.classifier
    }

    /// One line that names the pictures which were found broken before training and are skipped; told once.
    pub fn skipped(&self) -> Option<String> {
        self.faults.report()
    }

    /// The scores of the classifier as it is now on other pictures: accuracy, and with more than ten classes whether the right
    /// one is among the likeliest five. Pictures that were found broken before training are left out.
    ///
    /// # Errors
    /// When a picture cannot be read.
    pub fn scores(&self, examples: &Examples) -> Result<Scores> {
        let preprocessing = self.classifier.preprocessing.clone();
        let source = Source::new(examples, &self.faults, preprocessing, Augmentation::default());
        self.scored(&Arc::new(source))
    }

    fn scored(&self, source: &Arc<Source>) -> Result<Scores> {
        let jobs: Vec<Vec<usize>> = source.rows.chunks(self.settings.size).map(<[usize]>::to_vec).collect();
        let config = LoaderConfig { workers: self.settings.workers, ..LoaderConfig::default() };
        let own = Arc::clone(source);
        let (mut first, mut five) = (0, 0);
        for batch in Loader::new(jobs, config, move |rows: Vec<usize>| own.batch(&rows, (0, 0))) {
            let batch: Batch = batch?;
            let images = batch.images.to_device(self.classifier.device())?;
            let logits = self.classifier.network.logits(&images, &mut Mode::Eval)?.to_vec2::<f32>()?;
            for (row, label) in logits.iter().zip(batch.labels.to_vec1::<u32>()?) {
                if let Some(rank) = rank(row, label as usize) {
                    first += usize::from(rank == 0);
                    five += usize::from(rank < 5);
                }
            }
        }
        let share = |count: usize| count as f64 / source.rows.len().max(1) as f64;
        let mut scores = Scores::new();
        scores.insert("accuracy", share(first));
        if self.classifier.config.id2label.len() > 10 {
            scores.insert("top_5", share(five));
        }
        Ok(scores)
    }
}

/// How many classes are told before this one, of equally likely ones the first; nothing where a logit is NaN, which is no answer.
fn rank(logits: &[f32], class: usize) -> Option<usize> {
    let own = *logits.get(class)?;
    let before = |(other, &logit): (usize, &f32)| logit > own || (logit == own && other < class);
    let told = logits.iter().all(|logit| !logit.is_nan());
    told.then(|| logits.iter().enumerate().filter(|&one| before(one)).count())
}

fn training(error: Error) -> candlewick_training::Error {
    match error {
        Error::Training(error) => error,
        other => candlewick_training::Error::Task(other.to_string()),
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
    ) -> candlewick_training::Result<Box<dyn Iterator<Item = candlewick_training::Result<Batch>> + 'a>> {
        let Settings { size, workers, seed, .. } = self.settings;
        let order = buckets::batches(&vec![0; self.train.rows.len()], size, seed, epoch);
        let rows =
            |places: Vec<usize>| places.iter().filter_map(|&place| self.train.rows.get(place).copied()).collect();
        let config = LoaderConfig { workers, ..LoaderConfig::default() };
        let source = Arc::clone(&self.train);
        let jobs: Vec<Vec<usize>> = order.into_iter().skip(skip).map(rows).collect();
        let loader = Loader::new(jobs, config, move |rows: Vec<usize>| source.batch(&rows, (seed, epoch)));
        Ok(Box::new(loader.map(|batch: Result<Batch>| batch.map_err(training))))
    }

    fn loss(&self, batch: &Batch, mode: &mut Mode) -> candlewick_training::Result<Loss> {
        let device = self.classifier.device();
        let (images, labels) = (batch.images.to_device(device)?, batch.labels.to_device(device)?);
        let Classified { logits, auxiliary } = match self.settings.statistics {
            true => self.classifier.network.classified(&images, mode)?,
            false => self.classifier.network.classified(&images, &mut Mode::Eval)?,
        };
        let options = CrossEntropy { label_smoothing: self.settings.label_smoothing, ..CrossEntropy::default() };
        let right = logits.argmax(D::Minus1)?.eq(&labels)?.to_dtype(logits.dtype())?.mean_all()?;
        let mut value = cross_entropy(&logits, &labels, &options, None)?;
        for logits in &auxiliary {
            value = (value + (cross_entropy(logits, &labels, &options, None)? * AUXILIARY)?)?;
        }
        Ok(Loss { value, count: images.dim(0)?, parts: vec![("accuracy", right)] })
    }

    fn validate(&mut self, _: usize) -> candlewick_training::Result<Scores> {
        self.scored(&self.dev).map_err(training)
    }

    fn score_names(&self) -> Vec<&'static str> {
        if self.classifier.config.id2label.len() > 10 { vec!["accuracy", "top_5"] } else { vec!["accuracy"] }
    }

    fn save(&self, folder: &Path) -> candlewick_training::Result<()> {
        self.classifier.save(folder).map_err(training)
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
}

#[cfg(test)]
mod tests {
    use super::rank;

    #[test]
    fn a_class_is_told_where_no_other_is_before_it() {
        assert_eq!(rank(&[0.1, 0.7, 0.2], 1), Some(0));
        assert_eq!(rank(&[0.1, 0.7, 0.2], 0), Some(2));
        // A network that says the same of all classes tells the first.
        assert_eq!([0, 1, 2].map(|class| rank(&[0.5; 3], class)), [Some(0), Some(1), Some(2)]);
        assert_eq!([rank(&[f32::NAN; 3], 0), rank(&[0.0, f32::NAN, 1.0], 2), rank(&[0.0], 1)], [None; 3]);
    }
}
