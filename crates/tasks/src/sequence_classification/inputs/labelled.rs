//! Sequences with what is known of them.

use super::config::ValuesConfig;
use crate::{Error, Result};
use candlewick_data::clips::moving::MovingClip;
use candlewick_data::{Parts, Split};
use image::RgbImage;

/// A sequence to classify.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Input {
    /// A text.
    Words(String),
    /// Numbers (T, D), step after step.
    Values(Vec<f32>),
    /// Frames of a clip, all of the size that the classifier reads.
    Frames(Vec<RgbImage>),
    /// A clip that is drawn when it is read.
    Drawn(MovingClip),
}

impl Input {
    /// What it is, for people.
    pub(in super::super) fn kind(&self) -> &'static str {
        match self {
            Self::Words(_) => "texts",
            Self::Values(_) => "numbers",
            Self::Frames(_) | Self::Drawn(_) => "frames",
        }
    }
}

/// A sequence and what is known of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Labelled {
    /// The sequence.
    pub input: Input,
    /// Its class, or that of each step, as places in the list of classes.
    pub labels: Vec<u32>,
    /// The number to tell of it, or of each step.
    pub targets: Vec<f32>,
}

/// Sequences with a class each, in their parts.
#[derive(Clone, Debug)]
pub struct LabelledSequences {
    /// The classes' names; a label is a place in this list.
    pub classes: Vec<String>,
    /// D, how many numbers a step has; nothing where the sequences are texts or clips.
    pub width: Option<usize>,
    /// What the numbers were read from, with what is known of the files.
    pub values: ValuesConfig,
    /// The sequences by their splits.
    pub parts: Parts<Labelled>,
    /// What a person should know of it, a line each.
    pub notes: Vec<String>,
}

impl LabelledSequences {
    /// The sequences of a split.
    ///
    /// # Errors
    /// When there are none.
    pub fn split(&self, split: Split) -> Result<&[Labelled]> {
        match self.parts.of(split) {
            [] => Err(Error::NoData(format!("the {split} split has no sequences; choose another"))),
            part => Ok(part),
        }
    }
}
