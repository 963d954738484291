//! `candlewick classify`: pictures in, what they show out; texts and other sequences in, their classes out.

mod drawings;
mod files;
pub mod texts;

use super::arguments::ClassifyArguments;
use super::output::{say, shown};
use super::{Failure, device, hub};
use candlewick::candle::Device;
use candlewick::data::picture::{self, Limits};
use candlewick::data::text::read_utf8;
use candlewick::encoders::Architecture;
use candlewick::parameters::SafetensorsFile;
use candlewick::tasks::classification::{Classifier, Guess};
use std::path::{Path, PathBuf};

/// Classifies each photo; one that cannot be read is named and the others are classified all the same.
///
/// # Errors
/// A wrong call where texts are given; otherwise when the model cannot be opened, or any photo failed.
pub fn run(arguments: &ClassifyArguments) -> Result<(), Failure> {
    if !arguments.texts.is_empty() {
        return Err(Failure::usage(format!("--text: {} classifies pictures; give some", arguments.model)));
    }
    if arguments.plot.is_some() {
        return Err(Failure::usage("--plot: draws what is told of clips and of notes; leave it out"));
    }
    let (device, _) = device::open(&arguments.device)?;
    let classifier = open(arguments, &device)?;
    let mut failed = false;
    for path in &arguments.photos {
        let told = guesses(&classifier, path, arguments.top).and_then(|guesses| tell(path, &guesses, arguments.json));
        if let Err(failure) = told {
            failed = true;
            failure.passed_over(path)?;
        }
    }
    if failed { Err(Failure::AlreadyReported) } else { Ok(()) }
}

/// What a photo may show.
fn guesses(classifier: &Classifier, path: &Path, top: usize) -> Result<Vec<Guess>, Failure> {
    let photo = picture::decode(path, &Limits::default())?;
    Ok(classifier.classify(&[photo], top)?.pop().unwrap_or_default())
}

fn tell(path: &Path, guesses: &[Guess], json: bool) -> Result<(), Failure> {
    if json {
        let classes: Vec<serde_json::Value> = guesses
            .iter()
            .map(|guess| {
                serde_json::json!({ "class": guess.class, "label": guess.label, "probability": guess.probability })
            })
            .collect();
        return say!("{}", serde_json::json!({ "file": path.display().to_string(), "classes": classes }));
    }
    say!("{}", shown(path))?;
    for guess in guesses {
        say!("  {:5.1} %  {}", 100.0 * guess.probability, guess.label)?;
    }
    Ok(())
}

/// The classifier in a folder, or a network by name with weights from a file or the hub.
fn open(arguments: &ClassifyArguments, device: &Device) -> Result<Classifier, Failure> {
    let folder = Path::new(&arguments.model);
    if folder.is_dir() {
        if arguments.weights.is_some() || arguments.classes.is_some() {
            return Err(Failure::usage(format!(
                "{}: a classifier's folder brings its weights and classes",
                arguments.model
            )));
        }
        return Ok(Classifier::from_pretrained(folder, device)?);
    }
    let architecture = Architecture::find(&arguments.model)
        .map_err(|error| Failure::usage(format!("model {}: no such folder; {error}", arguments.model)))?;
    let Some(weights) = &arguments.weights else {
        return Err(Failure::usage(format!(
            "{}: name its weights with --weights FILE or --weights hub:REPO",
            arguments.model
        )));
    };
    let file = match weights.strip_prefix("hub:") {
        Some(repository) => hub::weights(repository)?,
        None => PathBuf::from(weights),
    };
    let classes = arguments.classes.as_deref().map(classes).transpose()?;
    let file = SafetensorsFile::open(file)?;
    let preprocessing = architecture.preprocessing().clone();
    Ok(Classifier::from_weights(&arguments.model, file, classes.as_deref(), preprocessing, device)?)
}

/// The classes' names, a line each; a WordNet number before a name, as ImageNet's lists have it, is left out.
fn classes(path: &Path) -> Result<Vec<String>, Failure> {
    let text = read_utf8(path)?;
    let is_number =
        |word: &str| word.len() == 9 && word.starts_with('n') && word[1..].bytes().all(|b| b.is_ascii_digit());
    let name = |line: &str| match line.split_once(' ') {
        Some((number, name)) if is_number(number) => name.trim().to_owned(),
        _ => line.trim().to_owned(),
    };
    Ok(text.lines().filter(|line| !line.trim().is_empty()).map(name).collect())
}
