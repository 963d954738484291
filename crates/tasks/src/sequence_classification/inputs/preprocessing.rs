//! What is done to files before the network reads their numbers: the model folder's `preprocessor_config.json`.

use super::clip_source::FramesConfig;
use crate::{Error, Result};
use candlewick_data::shown;
use candlewick_data::sound::{LogMel, Sound};
use candlewick_data::values::{adding, notes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The files that sequences of numbers are read from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum ValuesConfig {
    /// Tables, arrays and UCI's vowels, as `candlewick_data::values` reads them.
    #[default]
    Tables,
    /// Pieces of music in the JSON of `candlewick_data::values::notes`: a step has 88 numbers, 1 for a note that sounds and 0 for one that does
    /// not.
    Notes,
    /// Sounds, WAV as `candlewick_data::sound` reads it: a step has a number for each band of a log-mel frame.
    Sound(SoundConfig),
    /// Pictures of one width, as `candlewick_data::image_classes` reads them: a step is a row, its numbers the grey of the pixels, 0 to 1.
    Rows,
    /// Pictures of any size: a step is a pixel, row after row, its number its grey, 0 to 1 (Le et al. 2015).
    Pixels,
    /// Sequences of the adding problem, which are drawn; files of them are tables.
    Adding(AddingConfig),
}

/// The adding problem of `candlewick_data::values::adding`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AddingConfig {
    /// T, the steps of each sequence.
    pub steps: usize,
    /// How many sequences are trained on.
    pub train: usize,
    /// How many are validated on.
    pub dev: usize,
    /// How many are tested on.
    pub test: usize,
    /// What they are drawn from.
    pub seed: u64,
}

impl Default for AddingConfig {
    fn default() -> Self {
        Self { steps: 100, train: 20_000, dev: 1000, test: 2000, seed: 0 }
    }
}

/// How a sound becomes steps, as `candlewick_data::sound::LogMel` does it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SoundConfig {
    /// Samples a second that all sounds have; where it is left out, those of most of the set's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sampling_rate: Option<u32>,
    /// The length of a frame in seconds.
    pub window: f64,
    /// From one frame's beginning to the next's in seconds.
    pub hop: f64,
    /// The number of bands.
    pub bands: usize,
    /// Where the lowest band begins, in Hz.
    pub low: f64,
    /// Where the highest band ends, in Hz; half the samples a second where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub high: Option<f64>,
}

impl Default for SoundConfig {
    fn default() -> Self {
        let LogMel { window, hop, bands, low, high } = LogMel::default();
        Self { sampling_rate: None, window, hop, bands, low, high }
    }
}

impl SoundConfig {
    /// The frames (T, B) of a sound in a file, frame after frame.
    ///
    /// # Errors
    /// When it cannot be read, has no samples or another rate; the message names the file.
    pub(super) fn frames(&self, path: &Path) -> Result<Vec<f32>> {
        let fault = |fault: String| Err(Error::Setting(format!("{}: {fault}", shown(path))));
        let sound = Sound::read(path)?;
        if sound.samples.is_empty() {
            return fault("has no samples".into());
        }
        if let Some(rate) = self.sampling_rate.filter(|&rate| rate != sound.rate) {
            return fault(format!("has {} samples a second; wanted {rate}, so resample it", sound.rate));
        }
        let &Self { window, hop, bands, low, high, .. } = self;
        Ok(LogMel { window, hop, bands, low, high }.frames(&sound)?)
    }
}

/// What is done to files and their numbers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SequencePreprocessing {
    /// What the numbers are read from.
    #[serde(default)]
    pub values: ValuesConfig,
    /// What is subtracted from the numbers of a step, D of them; none where they are taken as they are.
    #[serde(default)]
    pub mean: Vec<f32>,
    /// What they are divided by after that.
    #[serde(default)]
    pub std: Vec<f32>,
    /// What is done to the frames of clips.
    #[serde(default)]
    pub frames: FramesConfig,
}

impl SequencePreprocessing {
    /// With the means and the standard deviations of the numbers of all steps of these sequences; a number that is always the same is divided by
    /// 1.
    pub(super) fn normalizing<'a>(self, width: usize, sequences: impl Iterator<Item = &'a [f32]>) -> Self {
        let (mut count, mut sums, mut squares) = (0.0f64, vec![0.0f64; width], vec![0.0f64; width]);
        for step in sequences.flat_map(|values| values.chunks_exact(width.max(1))) {
            count += 1.0;
            for ((&value, sum), square) in step.iter().zip(&mut sums).zip(&mut squares) {
                *sum += f64::from(value);
                *square += f64::from(value) * f64::from(value);
            }
        }
        let mean: Vec<f64> = sums.iter().map(|sum| sum / count.max(1.0)).collect();
        let deviation = |(square, mean): (&f64, &f64)| (square / count.max(1.0) - mean * mean).max(0.0).sqrt();
        let deviations = squares.iter().zip(&mean).map(deviation);
        let std = deviations.map(|own| if own > 1e-6 { own as f32 } else { 1.0 }).collect();
        Self { mean: mean.iter().map(|&mean| mean as f32).collect(), std, ..self }
    }

    /// The numbers (T, D) as the network reads them.
    pub(super) fn apply(&self, mut values: Vec<f32>) -> Vec<f32> {
        for step in values.chunks_mut(self.mean.len().max(1)) {
            for ((value, mean), std) in step.iter_mut().zip(&self.mean).zip(&self.std) {
                *value = (*value - mean) / std;
            }
        }
        values
    }

    /// Refuses what does not go with `width` D numbers a step.
    pub(super) fn check(&self, width: usize) -> Result<()> {
        let made = match &self.values {
            ValuesConfig::Sound(sound) => sound.bands,
            ValuesConfig::Notes => notes::KEYS,
            ValuesConfig::Pixels => 1,
            ValuesConfig::Adding(_) => adding::WIDTH,
            ValuesConfig::Tables | ValuesConfig::Rows => width,
        };
        if made != width {
            return Err(Error::Setting(format!(
                "preprocessor_config.json: makes steps of {made} numbers, and the network reads {width}; take both from one model"
            )));
        }
        let (means, deviations) = (self.mean.len(), self.std.len());
        let numbers =
            self.mean.iter().all(|mean| mean.is_finite()) && self.std.iter().all(|&std| std > 0.0 && std.is_finite());
        match means == deviations && [0, width].contains(&means) && numbers {
            true => Ok(()),
            false => Err(Error::Setting(format!(
                "preprocessor_config.json: has {means} means and {deviations} deviations for {width} numbers a step; wanted one each, deviations above 0"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_each_column_are_normalised_by_themselves() {
        let rows: [&[f32]; 2] = [&[1.0, 7.0, 3.0, 7.0], &[5.0, 7.0]];
        let made = SequencePreprocessing::default().normalizing(2, rows.into_iter());
        assert_eq!((made.mean.as_slice(), made.std[1]), (&[3.0, 7.0][..], 1.0));
        assert!((made.std[0] - (8.0f32 / 3.0).sqrt()).abs() < 1e-6);
        let found = made.apply(vec![3.0, 8.0, 5.0, 7.0]);
        assert_eq!((found[0], found[1], found[3]), (0.0, 1.0, 0.0));
        assert!((found[2] - 2.0 / made.std[0]).abs() < 1e-6);
        assert!(made.check(2).is_ok() && made.check(3).is_err());
        assert!(SequencePreprocessing { std: vec![0.0, 1.0], ..made }.check(2).is_err());
        assert_eq!(SequencePreprocessing::default().apply(vec![2.0]), [2.0]);
    }
}
