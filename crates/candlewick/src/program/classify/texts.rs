//! Classifiers of sequences: texts in, their classes out.

use super::super::Failure;
use super::super::arguments::ClassifyArguments;
use super::super::device;
use super::super::output::say;
use super::files;
use candlewick::data::escaped;
use candlewick::pages::{ColourScale, Coloured, ColouredText};
use candlewick::tasks::sequence_classification::{Classified, Input, SequenceClassifier};
use std::io::IsTerminal as _;
use std::path::Path;

/// Classifies each text, with the weight of each of its words where attention pools them; of a classifier that reads no texts the files.
///
/// # Errors
/// A wrong call where files are given and it reads texts, or texts and it reads none; otherwise when the model cannot be opened, or a text has
/// no words.
pub fn run(arguments: &ClassifyArguments) -> Result<(), Failure> {
    let ClassifyArguments { photos, texts, model, weights, classes, .. } = arguments;
    let folder = Path::new(model);
    if weights.is_some() || classes.is_some() {
        return Err(Failure::usage(format!("{model}: a classifier's folder brings its weights and classes")));
    }
    let (device, _) = device::open(&arguments.device)?;
    let classifier = SequenceClassifier::from_pretrained(folder, &device)?;
    if classifier.tokenizer().is_none() {
        return files::run(arguments, &classifier);
    }
    if arguments.plot.is_some() {
        return Err(Failure::usage("--plot: draws what is told of clips and of notes; leave it out"));
    }
    if !photos.is_empty() {
        return Err(Failure::usage(format!("{model}: classifies texts; give them with --text TEXT, not as files")));
    }
    let inputs: Vec<Input> = texts.iter().map(|text| Input::Words(text.clone())).collect();
    for (text, told) in texts.iter().zip(classifier.classify(&inputs)?) {
        let words = told.alpha.as_ref().map(|alpha| words(&classifier, text, alpha)).transpose()?;
        match arguments.json {
            true => say!("{}", as_json(text, &told, words.as_deref(), arguments.top))?,
            false => tell(text, &told, words.as_deref(), arguments.top)?,
        }
    }
    Ok(())
}

/// The pieces of a text with their weights, and what stands between them without; all of it where a token is no whole piece.
fn words<'a>(classifier: &SequenceClassifier, text: &'a str, alpha: &[f32]) -> Result<Vec<Coloured<'a>>, Failure> {
    let whole = vec![Coloured { text, value: f32::NAN }];
    let Some(tokenizer) = classifier.tokenizer() else { return Ok(whole) };
    let (mut pieces, mut end) = (Vec::new(), 0);
    for (token, &value) in tokenizer.tokens(text)?.iter().zip(alpha) {
        let (Some(between), Some(word)) = (text.get(end..token.bytes.start), text.get(token.bytes.clone())) else {
            return Ok(whole);
        };
        pieces.extend([Coloured { text: between, value: f32::NAN }, Coloured { text: word, value }]);
        end = token.bytes.end;
    }
    pieces.push(Coloured { text: text.get(end..).unwrap_or_default(), value: f32::NAN });
    Ok(pieces.into_iter().filter(|piece| !piece.text.is_empty()).collect())
}

fn tell(text: &str, told: &Classified, words: Option<&[Coloured<'_>]>, top: usize) -> Result<(), Failure> {
    // https://no-color.org
    let coloured = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|word| word.is_empty());
    match words {
        Some(pieces) if coloured => {
            let largest = pieces.iter().map(|piece| piece.value).fold(0.0, f32::max);
            say!("{}", ColouredText { scale: ColourScale::Weight { largest }, pieces }.ansi())?;
        }
        _ => say!("{}", escaped(text))?,
    }
    for (label, probability) in told.labels.iter().zip(&told.probabilities).take(top) {
        say!("  {:5.1} %  {label}", 100.0 * probability)?;
    }
    Ok(())
}

fn as_json(text: &str, told: &Classified, words: Option<&[Coloured<'_>]>, top: usize) -> serde_json::Value {
    let classes: Vec<serde_json::Value> = told
        .labels
        .iter()
        .zip(&told.probabilities)
        .take(top)
        .map(|(label, probability)| serde_json::json!({ "label": label, "probability": probability }))
        .collect();
    let mut object = serde_json::json!({ "text": text, "classes": classes });
    if let Some(words) = words {
        let weighted = words.iter().filter(|piece| !piece.value.is_nan());
        let weighted = weighted.map(|piece| serde_json::json!({ "word": piece.text, "alpha": piece.value }));
        object["words"] = weighted.collect();
    }
    object
}
