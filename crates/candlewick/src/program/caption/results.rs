//! What becomes of captions: lines on standard output, files beside the pictures, drawings of attention.

use super::super::Failure;
use super::super::arguments::CaptionArguments;
use super::super::output::{say, shown};
use super::inputs::Input;
use super::sidecars::Sidecars;
use candlewick::captioning::{Caption, CaptionPictures, write_attention};
use image::RgbImage;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where captions go.
pub struct Results<'a> {
    arguments: &'a CaptionArguments,
    captioner: Arc<dyn CaptionPictures>,
    sidecars: Option<Sidecars>,
}

impl<'a> Results<'a> {
    /// As the command line says.
    pub fn new(arguments: &'a CaptionArguments, captioner: Arc<dyn CaptionPictures>) -> Self {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let sidecars = arguments
            .write
            .map(|format| Sidecars::new(format, arguments.overwrite, text(&arguments.prefix), text(&arguments.suffix)));
        Self { arguments, captioner, sidecars }
    }

    /// Whether captions are written beside the pictures.
    pub fn are_written(&self) -> bool {
        self.sidecars.is_some()
    }

    /// Whether each picture gives lines on standard output.
    pub fn are_printed(&self) -> bool {
        self.arguments.json || !self.are_written()
    }

    /// The pictures that have no caption yet, and what is wrong with others.
    ///
    /// # Errors
    /// A wrong call.
    pub fn wanted(&mut self, inputs: Vec<Input>) -> Result<(Vec<Input>, usize), Failure> {
        let Some(sidecars) = &mut self.sidecars else { return Ok((inputs, 0)) };
        let (mut wanted, mut failed) = (Vec::with_capacity(inputs.len()), 0);
        for input in inputs {
            match sidecars.wants(&input) {
                Ok(true) => wanted.push(input),
                Ok(false) => {}
                Err(Failure::Usage(fault)) => return Err(Failure::Usage(fault)),
                Err(failure) => {
                    failed += 1;
                    failure.passed_over(&input.path)?;
                }
            }
        }
        Ok((wanted, failed))
    }

    /// Takes a picture's captions, best first.
    ///
    /// # Errors
    /// When they cannot be printed, written or drawn.
    pub fn take(&mut self, input: &Input, captions: &[Caption]) -> Result<(), Failure> {
        self.told(input, captions)?;
        let (Some(folder), Some(best)) = (&self.arguments.attention, captions.first()) else { return Ok(()) };
        draw(folder, &input.path, &self.captioner.preprocessing().original(&input.decode()?)?, best)
    }

    /// Takes captions of a picture that was seen as regions.
    ///
    /// # Errors
    /// As [`Results::take`] says.
    pub fn take_of_regions(&mut self, input: &Input, captions: &[Caption]) -> Result<(), Failure> {
        self.told(input, captions)?;
        let (Some(folder), Some(best)) = (&self.arguments.attention, captions.first()) else { return Ok(()) };
        draw(folder, &input.path, &input.decode()?, best)
    }

    fn told(&mut self, input: &Input, captions: &[Caption]) -> Result<(), Failure> {
        if let Some(sidecars) = &mut self.sidecars {
            sidecars.write(input, captions)?;
        }
        if self.are_printed() { print(&input.path, captions, self.arguments) } else { Ok(()) }
    }

    /// Writes out what is not yet on disk.
    ///
    /// # Errors
    /// When a table cannot be written.
    pub fn save(&mut self) -> Result<(), Failure> {
        self.sidecars.as_mut().map_or(Ok(()), Sidecars::save)
    }
}

/// Refuses pictures whose attention would be drawn into one folder.
///
/// # Errors
/// A wrong call.
pub fn apart(folder: &Path, inputs: &[Input]) -> Result<(), Failure> {
    let mut drawn: HashMap<&OsStr, &PathBuf> = HashMap::new();
    for Input { path, .. } in inputs {
        if let Some(other) = drawn.insert(drawn_as(path), path) {
            let (other, path, into) = (other.display(), path.display(), folder.join(drawn_as(path)));
            let fault = format!("{other} and {path} would both be drawn into {}", into.display());
            return Err(Failure::usage(format!("--attention: {fault}; caption them one after the other")));
        }
    }
    Ok(())
}

/// The name of the folder that a picture's attention is drawn into.
fn drawn_as(path: &Path) -> &OsStr {
    path.file_stem().unwrap_or(path.as_os_str())
}

/// Draws where the network looked, into a folder of the picture's name.
fn draw(folder: &Path, path: &Path, seen: &RgbImage, caption: &Caption) -> Result<(), Failure> {
    write_attention(&folder.join(drawn_as(path)), seen, caption)?;
    Ok(())
}

fn print(path: &Path, captions: &[Caption], arguments: &CaptionArguments) -> Result<(), Failure> {
    for caption in captions {
        if arguments.json {
            say!("{}", json(path, caption))?;
        } else if arguments.n_best > 1 {
            say!("{}: {} ({:.3})", shown(path), caption.text, caption.score)?;
        } else {
            say!("{}: {}", shown(path), caption.text)?;
        }
    }
    Ok(())
}

/// A picture's caption with its words, their probabilities and maps.
pub fn json(path: &Path, caption: &Caption) -> serde_json::Value {
    let words: Vec<serde_json::Value> = caption
        .words
        .iter()
        .map(|word| {
            let map = word.attention.as_ref();
            let map =
                map.map(|map| serde_json::json!({ "height": map.height, "width": map.width, "weights": map.weights }));
            serde_json::json!({
                "word": word.text,
                "log_probability": word.log_probability,
                "attention": map,
            })
        })
        .collect();
    serde_json::json!({
        "file": path.display().to_string(),
        "caption": caption.text,
        "score": caption.score,
        "finished": caption.finished,
        "words": words,
    })
}
