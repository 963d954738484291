//! `candlewick translate`: sentences in another language.

use super::arguments::TranslateArguments;
use super::output::{note, say};
use super::{Failure, device};
use candlewick::data::escaped;
use candlewick::generation::GenerationConfig;
use candlewick::pages::{DrawingFormat, Matrix};
use candlewick::tasks::translation::{Translation, Translator, TranslatorEnsemble};
use std::io::BufRead;
use std::path::{Path, PathBuf};

/// Lines that are translated at a time, so that memory does not grow with a file.
const AT_ONCE: usize = 256;

/// Translates each text, each line of each file, or each line of standard input; an empty line stays one.
///
/// # Errors
/// When a model cannot be opened, the models have different tokens, or a file cannot be read or written.
pub fn run(arguments: &TranslateArguments) -> Result<(), Failure> {
    let (device, _) = device::open(&arguments.device)?;
    let open = |folder: &PathBuf| Translator::from_pretrained(folder, &device);
    let ensemble = TranslatorEnsemble::new(arguments.model.iter().map(open).collect::<Result<_, _>>()?)?;
    let mut writer =
        Writer { generation: settings(arguments, ensemble.first().generation())?, ensemble, arguments, number: 0 };
    if let Some(folder) = &arguments.alignment {
        std::fs::create_dir_all(folder).map_err(|error| Failure::from(error).of(folder))?;
    }
    for text in &arguments.texts {
        let path = Path::new(text);
        if text == "-" {
            writer.lines(std::io::stdin().lock(), path)?;
        } else if path.is_file() {
            let file = std::fs::File::open(path).map_err(|error| Failure::from(error).of(path))?;
            writer.lines(std::io::BufReader::new(file), path)?;
        } else if text.trim().is_empty() {
            return Err(Failure::usage("there is nothing to translate in an empty text; give some"));
        } else {
            writer.translate(std::slice::from_ref(text))?;
        }
    }
    Ok(())
}

/// The model's settings with those of the command line.
fn settings(arguments: &TranslateArguments, own: &GenerationConfig) -> Result<GenerationConfig, Failure> {
    let mut generation = own.clone();
    generation.num_return_sequences = arguments.n_best;
    generation.num_beams = arguments.beam.unwrap_or(generation.num_beams).max(arguments.n_best);
    generation.length_penalty = arguments.length_penalty.unwrap_or(generation.length_penalty);
    generation.max_new_tokens = arguments.max_tokens.unwrap_or(generation.max_new_tokens);
    generation.validate().map_err(Failure::usage)?;
    Ok(generation)
}

struct Writer<'a> {
    ensemble: TranslatorEnsemble,
    generation: GenerationConfig,
    arguments: &'a TranslateArguments,
    /// Of sentences so far.
    number: usize,
}

impl Writer<'_> {
    fn lines(&mut self, source: impl BufRead, path: &Path) -> Result<(), Failure> {
        let mut waiting = Vec::with_capacity(AT_ONCE);
        for (number, line) in (1..).zip(source.lines()) {
            let fault = |error: std::io::Error| match error.kind() {
                std::io::ErrorKind::InvalidData => {
                    Failure::Work(format!("line {number} is no UTF-8; convert the text"))
                }
                _ => Failure::from(error),
            };
            waiting.push(line.map_err(|error| fault(error).of(path))?);
            if waiting.len() == AT_ONCE {
                self.translate(&waiting)?;
                waiting.clear();
            }
        }
        self.translate(&waiting)
    }

    fn translate(&mut self, lines: &[String]) -> Result<(), Failure> {
        let texts: Vec<&str> = lines.iter().map(String::as_str).filter(|line| !line.trim().is_empty()).collect();
        let mut found = self.ensemble.n_best(&texts, &self.generation)?.into_iter();
        for line in lines {
            self.number += 1;
            if line.trim().is_empty() {
                if !self.arguments.json {
                    say!("")?;
                }
                continue;
            }
            let told = found.next().unwrap_or_default();
            if told.first().is_some_and(|best| !best.finished) {
                let most = self.generation.max_new_tokens;
                note!("sentence {}: cut off after {most} tokens; --max-tokens allows more", self.number);
            }
            let drawn = told.first().map(|best| self.draw(best)).transpose()?.flatten();
            match self.arguments.json {
                true => say!("{}", as_json(line, &told, drawn.as_deref()))?,
                false => told.iter().try_for_each(|translation| say!("{}", escaped(&translation.text)))?,
            }
        }
        Ok(())
    }

    /// Draws where a translation was looked for, and gives the file.
    fn draw(&self, best: &Translation) -> Result<Option<PathBuf>, Failure> {
        let Some(folder) = &self.arguments.alignment else { return Ok(None) };
        if best.alpha.is_empty() {
            let fault = "--alignment: the model sees a sentence as one vector and looks at no words; leave it out";
            return Err(Failure::usage(fault));
        }
        let path = folder.join(format!("{}.svg", self.number));
        let words = |words: &[String]| -> Vec<String> { words.iter().map(|word| escaped(word).to_string()).collect() };
        let (rows, columns) = (words(&best.words), words(&best.source));
        let matrix = Matrix {
            title: &best.text,
            row_label: "written",
            column_label: "read",
            rows: &rows.iter().map(String::as_str).collect::<Vec<_>>(),
            columns: &columns.iter().map(String::as_str).collect::<Vec<_>>(),
            values: &best.alpha.concat(),
            largest: Some(1.0),
        };
        let file = match matrix.file(DrawingFormat::Svg) {
            Ok(file) => file,
            // The other sentences are translated and drawn all the same.
            Err(error) => {
                note!("sentence {}: no drawing of where it looked: {error}", self.number);
                return Ok(None);
            }
        };
        std::fs::write(&path, file).map_err(|error| Failure::from(error).of(&path))?;
        Ok(Some(path))
    }
}

fn as_json(text: &str, told: &[Translation], drawn: Option<&Path>) -> serde_json::Value {
    let translation = |one: &Translation| {
        serde_json::json!({
            "text": one.text,
            "score": one.score,
            "words": one.words,
            "source": one.source,
            "alpha": one.alpha,
            "finished": one.finished,
        })
    };
    let mut object =
        serde_json::json!({ "text": text, "translations": told.iter().map(translation).collect::<Vec<_>>() });
    if let Some(path) = drawn {
        object["alignment"] = path.display().to_string().into();
    }
    object
}
