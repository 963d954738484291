//! Sounds, tables, music and clips in, what a classifier of sequences tells of them out.

use super::super::Failure;
use super::super::arguments::ClassifyArguments;
use super::super::output::{say, shown};
use super::drawings::Drawing;
use candlewick::data::escaped;
use candlewick::tasks::sequence_classification::{Classified, Named, OutputKind, SequenceClassifier};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::fmt::Write as _;
use std::path::Path;

/// Classifies the sequences of each file; one that cannot be read is named and the others are classified all the same.
///
/// # Errors
/// A wrong call where texts are given; otherwise when any file failed.
pub fn run(arguments: &ClassifyArguments, classifier: &SequenceClassifier) -> Result<(), Failure> {
    let ClassifyArguments { photos, texts, model, .. } = arguments;
    if !texts.is_empty() {
        return Err(Failure::usage(format!("--text: {model} classifies no texts; give it files")));
    }
    if arguments.plot.is_some() && !Drawing::is_of(classifier) {
        return Err(Failure::usage("--plot: draws clips, and the notes that come next; leave it out"));
    }
    let (mut failed, mut drawn) = (false, HashSet::new());
    for path in photos {
        if let Err(failure) = file(arguments, classifier, path, &mut drawn) {
            failed = true;
            failure.passed_over(path)?;
        }
    }
    if failed { Err(Failure::AlreadyReported) } else { Ok(()) }
}

fn file(
    arguments: &ClassifyArguments,
    classifier: &SequenceClassifier,
    path: &Path,
    drawn: &mut HashSet<String>,
) -> Result<(), Failure> {
    let read = classifier.read(path)?;
    let (names, inputs): (Vec<String>, Vec<_>) =
        read.into_iter().map(|Named { name, input, .. }| (name, input)).unzip();
    let output = classifier.config().output;
    for ((name, input), told) in names.iter().zip(&inputs).zip(classifier.classify(&inputs)?) {
        if let Some(folder) = &arguments.plot {
            let drawing = Drawing { classifier, file: path, name, input, told: &told };
            drawing.write(folder, drawn, arguments.json)?;
        }
        if arguments.json {
            say!("{}", as_json(path, name, &told, output, arguments.top))?;
            continue;
        }
        let of = if name.is_empty() { String::new() } else { format!(": {}", escaped(name)) };
        say!("{}{of}", shown(path))?;
        say!("{}", as_text(&told, output, arguments.top).trim_end())?;
    }
    Ok(())
}

/// Steps one after the other of which the same is told.
struct Run<'a> {
    /// The first and the last, from 1.
    steps: [usize; 2],
    label: &'a str,
    /// The mean of its probability.
    probability: f32,
}

fn runs(told: &Classified) -> Vec<Run<'_>> {
    let steps: Vec<(&str, f32)> =
        told.labels.iter().map(String::as_str).zip(told.probabilities.iter().copied()).collect();
    let mut done = 0;
    let run = |run: &[(&'_ str, f32)]| {
        let first = done + 1;
        done += run.len();
        let sum: f32 = run.iter().map(|(_, probability)| probability).sum();
        ([first, done], sum / run.len().max(1) as f32)
    };
    let chunks: Vec<&[(&str, f32)]> = steps.chunk_by(|one, next| one.0 == next.0).collect();
    let told = chunks.iter().copied().map(run).collect::<Vec<_>>();
    let labels = chunks.iter().filter_map(|chunk| chunk.first()).map(|(label, _)| *label);
    labels.zip(told).map(|(label, (steps, probability))| Run { steps, label, probability }).collect()
}

fn as_text(told: &Classified, output: OutputKind, top: usize) -> String {
    let mut text = String::new();
    let line = |text: &mut String, before: &str, label: &str, probability: f32| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {before}{:5.1} %  {}", 100.0 * probability, escaped(label));
    };
    match (output, told.number) {
        (_, Some(number)) => {
            let _ = writeln!(text, "  {number:.4}");
        }
        (OutputKind::Each | OutputKind::Next, _) => {
            for Run { steps: [first, last], label, probability } in runs(told) {
                line(&mut text, &format!("{:<12}", format!("{first}-{last}")), label, probability);
            }
        }
        _ => {
            let classes = told.labels.iter().zip(&told.probabilities).take(top);
            classes.for_each(|(label, &probability)| line(&mut text, "", label, probability));
        }
    }
    text
}

fn as_json(path: &Path, name: &str, told: &Classified, output: OutputKind, top: usize) -> Value {
    let mut object = json!({ "file": path.display().to_string() });
    if !name.is_empty() {
        object["sequence"] = name.into();
    }
    let classes = told.labels.iter().zip(&told.probabilities);
    let class = |(label, probability): (&String, &f32)| json!({ "label": label, "probability": probability });
    match (output, told.number) {
        (_, Some(number)) => object["number"] = number.into(),
        (OutputKind::Each | OutputKind::Next, _) => object["steps"] = classes.map(class).collect(),
        _ => object["classes"] = classes.take(top).map(class).collect(),
    }
    object
}
