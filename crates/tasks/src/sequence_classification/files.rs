//! Files as a classifier reads them.

use super::classifier::SequenceClassifier;
use super::config::InputKind;
use super::inputs::{Input, ValuesConfig, greys};
use crate::{Error, Result};
use candlewick_data::clips::{Clip, FrameLimits};
use candlewick_data::picture::{self, Limits};
use candlewick_data::shown;
use candlewick_data::values::{self, Series, notes};
use image::RgbImage;
use std::path::Path;

/// A sequence of a file.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Named {
    /// What its file calls it; empty where the file is one sequence.
    pub name: String,
    /// The sequence.
    pub input: Input,
}

impl SequenceClassifier {
    /// The sequences of a file of the kind that the classifier was trained on: WAV, a picture, a table of numbers in CSV, notes
    /// in JSON, a clip as a folder of pictures, a GIF or a film.
    ///
    /// # Errors
    /// One line that names the file and the fault: of another kind, of another rate, of another number of columns, or when the classifier reads
    /// texts.
    pub fn read(&self, path: &Path) -> Result<Vec<Named>> {
        if self.config.input == InputKind::Words {
            return Err(Error::Setting(format!("{}: the classifier reads texts; give the text itself", shown(path))));
        }
        if self.config.input == InputKind::Frames {
            let frames = Clip::open(path)?.frames(&FrameLimits::default())?;
            return Ok(vec![Named { name: String::new(), input: self.prepare(&frames)? }]);
        }
        match &self.preprocessing.values {
            ValuesConfig::Tables | ValuesConfig::Adding(_) => self.table(path),
            ValuesConfig::Rows | ValuesConfig::Pixels => self.picture(path),
            ValuesConfig::Notes => {
                let named = |piece: notes::Piece| Named { input: Input::Values(piece.keys()), name: piece.name };
                Ok(notes::read(path)?.into_iter().map(named).collect())
            }
            ValuesConfig::Sound(sound) => {
                Ok(vec![Named { name: String::new(), input: Input::Values(sound.frames(path)?) }])
            }
        }
    }

    /// Frames as the classifier takes them, cut and resized as in training.
    ///
    /// # Errors
    /// When a frame is empty or of an extreme shape.
    pub fn prepare(&self, frames: &[RgbImage]) -> Result<Input> {
        Ok(Input::Frames(self.preprocessing.frames.prepare(frames)?))
    }

    fn picture(&self, path: &Path) -> Result<Vec<Named>> {
        let picture = picture::decode(path, &Limits::default())?;
        let (found, wanted) = (picture.width() as usize, self.config.input_size);
        if self.preprocessing.values == ValuesConfig::Rows && found != wanted {
            let fault = format!("is {found} pixels wide, and the classifier reads rows of {wanted}; make it so wide");
            return Err(Error::Setting(format!("{}: {fault}", shown(path))));
        }
        Ok(vec![Named { name: String::new(), input: Input::Values(greys(&picture)) }])
    }

    fn table(&self, path: &Path) -> Result<Vec<Named>> {
        let set = values::read_table(path)?;
        let (found, wanted) = (set.width, self.config.input_size);
        if found != wanted {
            let fault = format!("has {found} columns of numbers, and the classifier reads {wanted}");
            return Err(Error::Setting(format!("{}: {fault}", shown(path))));
        }
        let one = set.parts.train.len() == 1;
        let named = |series: Series| Named {
            name: if one { String::new() } else { series.name },
            input: Input::Values(series.values),
        };
        Ok(set.parts.train.into_iter().map(named).collect())
    }
}
