//! How often a classifier of sequences is right.

use super::batch::Sequences;
use super::classifier::{BATCH, SequenceClassifier, in_order_of_length};
use super::config::SequenceClassifierConfig;
use super::labelled::{Labelled, LabelledSequences};
use crate::{Error, Result};
use candlewick_data::Split;
use candlewick_metrics::accuracy::Accuracy;
use candlewick_training::Scores;

/// Scores a classifier on a split of a set; the set's classes are found again in the model by their names.
///
/// `progress` is told how many of how many are done.
///
/// # Errors
/// When the split is empty, a class is not one of the model's, or the sequences are of another kind than it reads.
pub fn evaluate(
    classifier: &SequenceClassifier,
    set: &LabelledSequences,
    split: Split,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Scores> {
    let SequenceClassifierConfig { id2label, input_size, .. } = &classifier.config;
    if let Some(width) = set.width.filter(|width| classifier.tokenizer.is_none() && width != input_size) {
        let fault = format!("the data has {width} numbers a step, and the classifier reads {input_size}");
        return Err(Error::Setting(fault));
    }
    let place = |class: &String| {
        let found = id2label.iter().find(|(_, name)| *name == class).map(|(&place, _)| place as u32);
        found.ok_or_else(|| {
            Error::Setting(format!("the data has the class {class:?}, which the classifier does not know"))
        })
    };
    let places = set.classes.iter().map(place).collect::<Result<Vec<u32>>>()?;
    let part = set.split(split)?;
    let label = |one: &Labelled| {
        let place = places.get(one.label as usize).copied();
        place.ok_or_else(|| Error::Setting(format!("label {} is none of {} classes", one.label, places.len())))
    };
    let labels = part.iter().map(label).collect::<Result<Vec<u32>>>()?;
    scored(classifier, &classifier.sequences(part.iter().map(|one| &one.input))?, &labels, progress)
}

/// The accuracy on sequences whose labels are the classifier's.
pub(super) fn scored(
    classifier: &SequenceClassifier,
    sequences: &Sequences,
    labels: &[u32],
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Scores> {
    let (mut accuracy, mut done) = (Accuracy::default(), 0);
    progress(done, labels.len());
    for places in in_order_of_length(&sequences.lengths()).chunks(BATCH) {
        let rows = classifier.answers(sequences, places)?.rows;
        for (row, label) in rows.iter().zip(places.iter().filter_map(|&place| labels.get(place))) {
            accuracy.add(row, *label as usize);
        }
        done += places.len();
        progress(done, labels.len());
    }
    Ok(Scores::from_iter([("accuracy", accuracy.top(1))]))
}
