//! How often a classifier is right.

use super::Augmentation;
use super::classifier::Classifier;
use super::source::{Batch, Source, tried};
use crate::{Error, Result};
use candlewick_data::image_classes::Examples;
use candlewick_data::loader::{Loader, LoaderConfig};
use candlewick_kernels::device::upload;
use candlewick_metrics::accuracy::Accuracy;
use candlewick_parameters::Mode;
use candlewick_training::Scores;
use std::sync::Arc;

/// Pictures that are classified at a time.
const BATCH: usize = 64;

/// The scores of a classifier on labelled pictures.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Evaluation {
    /// Accuracy, and with more than ten classes whether the right one is among the likeliest five.
    pub scores: Scores,
    /// How many pictures they are of.
    pub pictures: usize,
    /// One line that names the pictures which could not be read and were skipped.
    pub skipped: Option<String>,
}

/// Scores a classifier on pictures whose labels are places in `classes`; the classes are found again in the model by their names.
///
/// # Errors
/// When a class is not one of the model's, or more than the share `max_share` of the pictures cannot be read.
pub fn evaluate(
    classifier: &Classifier,
    classes: &[String],
    examples: &Examples,
    max_share: f64,
) -> Result<Evaluation> {
    let own = &classifier.config().id2label;
    let place = |class: &String| {
        let found = own.iter().find(|(_, name)| *name == class).map(|(&place, _)| place as u32);
        found.ok_or_else(|| {
            Error::Setting(format!("the data has the class {class:?}, which the classifier does not know"))
        })
    };
    let places = classes.iter().map(place).collect::<Result<Vec<u32>>>()?;
    let mut examples = examples.clone();
    for label in &mut examples.labels {
        *label = places.get(*label as usize).copied().unwrap_or(*label);
    }
    let preprocessing = classifier.preprocessing().clone();
    let faults = tried(&[&examples], &preprocessing, max_share, &mut |_, _| ())?;
    let source = Arc::new(Source::new(&examples, &faults, preprocessing, Augmentation::default()));
    let scores = scored(classifier, &source, (BATCH, 1), &mut |_, _| ())?;
    Ok(Evaluation { scores, pictures: source.rows.len(), skipped: faults.report() })
}

/// The scores on a source's pictures, `size` at a time read by so many workers; `progress` is told how many of how many are done.
pub(crate) fn scored(
    classifier: &Classifier,
    source: &Arc<Source>,
    (size, workers): (usize, usize),
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Scores> {
    let jobs: Vec<Vec<usize>> = source.rows.chunks(size).map(<[usize]>::to_vec).collect();
    let config = LoaderConfig { workers, ..LoaderConfig::default() };
    let own = Arc::clone(source);
    let (mut accuracy, mut done) = (Accuracy::default(), 0);
    progress(done, source.rows.len());
    for batch in Loader::new(jobs, config, move |rows: Vec<usize>| own.batch(&rows, (0, 0))) {
        let batch: Batch = batch?;
        let images = upload(&batch.images, classifier.device())?;
        let logits = classifier.network.logits(&images, &mut Mode::Eval)?.to_vec2::<f32>()?;
        for (row, label) in logits.iter().zip(batch.labels.to_vec1::<u32>()?) {
            accuracy.add(row, label as usize);
        }
        done += logits.len();
        progress(done, source.rows.len());
    }
    let mut scores = Scores::new();
    scores.insert("accuracy", accuracy.top(1));
    if classifier.config().id2label.len() > 10 {
        scores.insert("top_5", accuracy.top(5));
    }
    Ok(scores)
}
