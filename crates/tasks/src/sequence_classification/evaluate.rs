//! How often a classifier of sequences is right.

use super::batch::Sequences;
use super::classifier::{SequenceClassifier, in_order_of_length};
use super::config::{OutputKind, SequenceClassifierConfig};
use super::inputs::LabelledSequences;
use super::several::SetScores;
use super::targets::{NONE, Targets};
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
    let SequenceClassifierConfig { id2label, input_size, output, .. } = &classifier.config;
    if let Some(width) = set.width.filter(|width| classifier.tokenizer.is_none() && width != input_size) {
        let fault = format!("the data has {width} numbers a step, and the classifier reads {input_size}");
        return Err(Error::Setting(fault));
    }
    let place = |class: &String| {
        let found = id2label.iter().find(|(_, name)| *name == class).map(|(&place, _)| place as i64);
        found.ok_or_else(|| {
            Error::Setting(format!("the data has the class {class:?}, which the classifier does not know"))
        })
    };
    let classes = if *output == OutputKind::Number { &[][..] } else { &set.classes };
    let places = classes.iter().map(place).collect::<Result<Vec<i64>>>()?;
    let part = set.split(split)?;
    let label = |label: u32| {
        let place = places.get(label as usize).copied();
        place.ok_or_else(|| Error::Setting(format!("label {label} is none of {} classes", places.len())))
    };
    let sequences = classifier.sequences(part.iter().map(|one| &one.input))?;
    let targets = Targets::of(*output, part, &sequences.lengths(), label)?;
    scored(classifier, &sequences, &targets, progress)
}

/// The scores on sequences whose targets are the classifier's: accuracy, also after the steps that the classifier names, of several things also the nats a step, or of numbers
/// 1 − Σ(s − y)² / Σ(y − ȳ)² and the mean of (s − y)².
pub(super) fn scored(
    classifier: &SequenceClassifier,
    sequences: &Sequences,
    targets: &Targets,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Scores> {
    let lengths = sequences.lengths();
    let (mut accuracy, mut sets, mut told, mut done) = (Accuracy::default(), SetScores::default(), Vec::new(), 0);
    let early = &classifier.config.early;
    let mut after = vec![Accuracy::default(); early.len()];
    progress(done, lengths.len());
    for places in in_order_of_length(&lengths).chunks(classifier.batch()) {
        for (row, &place) in classifier.answers(sequences, places)?.rows.iter().zip(places) {
            match targets {
                Targets::Numbers(numbers) => told.extend(row.first().copied().zip(numbers.get(place).copied())),
                Targets::Sets { width, rows } => {
                    let there = rows.get(place).map_or(&[][..], Vec::as_slice);
                    let steps = row.chunks(*width.max(&1)).zip(there.chunks(*width.max(&1)));
                    steps.for_each(|(logits, there)| sets.add(logits, there));
                }
                Targets::Classes { rows, .. } => {
                    let classes = rows.get(place).map_or(&[][..], Vec::as_slice);
                    let steps = row.chunks(classifier.config.id2label.len().max(1)).zip(classes);
                    let steps: Vec<(&[f32], &i64)> = steps.filter(|(_, class)| **class != NONE).collect();
                    steps.iter().for_each(|&(row, &class)| accuracy.add(row, class as usize));
                    // Of a shorter sequence all that there is.
                    for (accuracy, &step) in after.iter_mut().zip(early) {
                        let last = steps.get(step.min(steps.len()).saturating_sub(1));
                        last.into_iter().for_each(|&(row, &class)| accuracy.add(row, class as usize));
                    }
                }
            }
        }
        done += places.len();
        progress(done, lengths.len());
    }
    Ok(match targets {
        Targets::Classes { .. } => {
            let after = early.iter().zip(&after).map(|(step, after)| (format!("accuracy_after_{step}"), after.top(1)));
            Scores::from_iter([("accuracy".to_owned(), accuracy.top(1))].into_iter().chain(after))
        }
        Targets::Sets { .. } => sets.scores(),
        Targets::Numbers(_) => of_numbers(&told),
    })
}

/// The scores of numbers (s, y).
fn of_numbers(told: &[(f32, f32)]) -> Scores {
    let count = told.len().max(1) as f64;
    let mean = told.iter().map(|&(_, wanted)| f64::from(wanted)).sum::<f64>() / count;
    let error = told.iter().map(|&(told, wanted)| (f64::from(told) - f64::from(wanted)).powi(2)).sum::<f64>() / count;
    let variance = told.iter().map(|&(_, wanted)| (f64::from(wanted) - mean).powi(2)).sum::<f64>() / count;
    Scores::from_iter([("r_squared", 1.0 - error / variance.max(f64::MIN_POSITIVE)), ("mean_squared_error", error)])
}
