//! What a classifier tells of clips and of music, as drawings.

use super::super::Failure;
use super::super::film::{Told, spread};
use super::super::output::{apart, write_drawing};
use candlewick::pages::{FilmFrame, FilmStrip, PianoRoll};
use candlewick::tasks::sequence_classification::{Classified, Input, InputKind, OutputKind, SequenceClassifier};
use image::RgbImage;
use std::collections::HashSet;
use std::path::Path;

/// The most frames of a strip.
const FRAMES: usize = 14;

/// What is drawn.
pub struct Drawing<'a> {
    pub classifier: &'a SequenceClassifier,
    /// The file that it is of, and the sequence in it.
    pub file: &'a Path,
    pub name: &'a str,
    pub input: &'a Input,
    pub told: &'a Classified,
}

impl Drawing<'_> {
    /// Whether there are drawings of what a classifier tells.
    pub fn is_of(classifier: &SequenceClassifier) -> bool {
        let config = classifier.config();
        config.input == InputKind::Frames || config.output == OutputKind::Several
    }

    /// Writes the drawing into a folder, which is made where there is none, beside those that are `drawn` already.
    ///
    /// # Errors
    /// When it cannot be drawn or written, with the file's name.
    pub fn write(&self, folder: &Path, drawn: &mut HashSet<String>, json: bool) -> Result<(), Failure> {
        let svg = match (self.input, &self.told.steps) {
            (Input::Values(values), Some(steps)) => self.piano_roll(values, &steps.concat())?,
            (Input::Frames(frames), _) => self.film_strip(frames)?,
            _ => return Ok(()),
        };
        std::fs::create_dir_all(folder).map_err(|error| Failure::from(error).of(folder))?;
        let path = folder.join(format!("{}.svg", apart(&self.stem(), drawn)));
        write_drawing(&path, svg.as_bytes(), json)
    }

    /// The name of its file, without the ending.
    fn stem(&self) -> String {
        let stem = self.file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let safe = |letter: char| if letter.is_alphanumeric() { letter } else { '-' };
        let name: String = self.name.chars().map(safe).collect();
        match name.trim_matches('-') {
            "" => stem,
            name => format!("{stem}-{name}"),
        }
    }

    fn title(&self) -> String {
        let file = self.file.display().to_string();
        if self.name.is_empty() { file } else { format!("{file}: {}", self.name) }
    }

    fn piano_roll(&self, sounding: &[f32], expected: &[f32]) -> Result<String, Failure> {
        let names: Vec<&str> = self.classifier.config().id2label.values().map(String::as_str).collect();
        Ok(PianoRoll { title: &self.title(), names: &names, sounding, expected }.svg()?)
    }

    fn film_strip(&self, frames: &[RgbImage]) -> Result<String, Failure> {
        let config = self.classifier.config();
        let shown = spread(frames.len(), FRAMES);
        let names: Vec<&str> = config.id2label.values().map(String::as_str).collect();
        let probabilities: Vec<Vec<f32>> = match &self.told.steps {
            Some(steps) => shown.iter().filter_map(|&frame| steps.get(frame).cloned()).collect(),
            None => self.so_far(frames, &shown, &names)?,
        };
        let told = Told::new(&names, &probabilities);
        let pictures: Vec<FilmFrame<'_>> = shown
            .iter()
            .zip(&told.labels)
            .filter_map(|(&frame, label)| Some(FilmFrame { picture: frames.get(frame)?, label }))
            .collect();
        let title = self.title();
        let x_label = format!("{} of {} frames", shown.len(), frames.len());
        let strip = FilmStrip {
            title: &title,
            x_label: &x_label,
            y_label: "probability",
            frames: &pictures,
            curves: &told.curves(),
        };
        Ok(strip.svg()?)
    }

    /// What is told of the whole after each of the shown frames, in the classes' order.
    fn so_far(&self, frames: &[RgbImage], shown: &[usize], names: &[&str]) -> Result<Vec<Vec<f32>>, Failure> {
        let begun: Vec<Input> =
            shown.iter().map(|&last| Input::Frames(frames.get(..=last).unwrap_or(frames).to_vec())).collect();
        let in_order = |told: Classified| {
            let place = |name: &&str| told.labels.iter().position(|label| label == name);
            let probability =
                |name: &&str| place(name).and_then(|at| told.probabilities.get(at).copied()).unwrap_or(0.0);
            names.iter().map(probability).collect()
        };
        Ok(self.classifier.classify(&begun)?.into_iter().map(in_order).collect())
    }
}
