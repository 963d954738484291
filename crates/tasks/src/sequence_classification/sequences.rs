//! Inputs of any kind as a classifier's network takes them.

use super::batch::{Frames, Sequences, View};
use super::classifier::SequenceClassifier;
use super::config::InputKind;
use super::frame_encoder::FrameEncoder;
use super::inputs::Input;
use crate::{Error, Result};
use candlewick_data::tokens::TextTokenizer;
use candlewick_parameters::Mode;
use image::RgbImage;

impl SequenceClassifier {
    /// Sequences as the network takes them.
    ///
    /// # Errors
    /// When one is of another kind than the classifier's, is no whole number of steps, holds what is no number, or has frames of another size.
    pub(super) fn sequences<'a>(&self, inputs: impl IntoIterator<Item = &'a Input>) -> Result<Sequences> {
        let inputs = inputs.into_iter();
        match (self.config.input, &self.tokenizer) {
            (InputKind::Words, Some(tokenizer)) => {
                let ids = inputs.map(|input| self.ids(tokenizer, input));
                Ok(Sequences::Words(ids.collect::<Result<_>>()?))
            }
            (InputKind::Frames, _) => {
                let size = self.preprocessing.frames.size();
                let frames = inputs.map(|input| self.frames(size, input));
                let rows = frames.collect::<Result<Vec<Frames>>>()?;
                match self.frozen_frames() {
                    Some(encoder) => self.read_once(encoder, Sequences::Frames { size, rows }),
                    None => Ok(Sequences::Frames { size, rows }),
                }
            }
            _ => {
                let numbers = inputs.map(|input| self.numbers(input));
                Ok(Sequences::Values { width: self.config.input_size, rows: numbers.collect::<Result<_>>()? })
            }
        }
    }

    /// What a network that stays what it is makes of all frames.
    fn read_once(&self, encoder: &FrameEncoder, clips: Sequences) -> Result<Sequences> {
        const FRAMES_AT_A_TIME: usize = 32;
        let mut rows = Vec::new();
        for (place, length) in clips.lengths().into_iter().enumerate() {
            let mut row = Vec::with_capacity(length * self.config.input_size);
            for start in (0..length).step_by(FRAMES_AT_A_TIME) {
                let steps = FRAMES_AT_A_TIME.min(length - start);
                let view = View { place, start, steps, mirrored: false };
                let frames = clips.padded(&[view], self.device())?;
                row.extend(encoder.vectors(&frames, &mut Mode::Eval)?.flatten_all()?.to_vec1::<f32>()?);
            }
            rows.push(row);
        }
        Ok(Sequences::Values { width: self.config.input_size, rows })
    }

    fn ids(&self, tokenizer: &TextTokenizer, input: &Input) -> Result<Vec<u32>> {
        match input {
            Input::Words(text) => Ok(tokenizer.encode(text)?),
            other => Err(Error::Setting(format!("the classifier reads texts, not {}", other.kind()))),
        }
    }

    fn numbers(&self, input: &Input) -> Result<Vec<f32>> {
        let width = self.config.input_size;
        match input {
            Input::Values(values) if !values.len().is_multiple_of(width.max(1)) => {
                let found = values.len();
                Err(Error::Setting(format!("{found} numbers are no whole steps; a step has {width}")))
            }
            Input::Values(values) if values.iter().any(|value| !value.is_finite()) => {
                Err(Error::NotNumbers("a sequence holds NaN or an infinity; leave it out".into()))
            }
            Input::Values(values) => Ok(self.preprocessing.apply(values.clone())),
            other => Err(Error::Setting(format!("the classifier reads numbers, {width} a step, not {}", other.kind()))),
        }
    }

    fn frames(&self, (height, width): (usize, usize), input: &Input) -> Result<Frames> {
        let sized = |frame: &RgbImage| (frame.height() as usize, frame.width() as usize) == (height, width);
        match input {
            Input::Frames(frames) => match frames.iter().find(|frame| !sized(frame)) {
                None => Ok(Frames::Held(frames.clone())),
                Some(frame) => Err(Error::Setting(format!(
                    "a frame is {}×{} pixels, and the classifier reads {width}×{height}",
                    frame.width(),
                    frame.height()
                ))),
            },
            Input::Drawn(clip) => Ok(Frames::Drawn(clip.clone())),
            other => Err(Error::Setting(format!("the classifier reads frames, not {}", other.kind()))),
        }
    }
}
