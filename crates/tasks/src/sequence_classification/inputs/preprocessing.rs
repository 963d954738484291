//! What is done to files before the network reads their numbers: the model folder's `preprocessor_config.json`.

use super::config::{FramesConfig, ValuesConfig};
use crate::{Error, Result};
use candlewick_data::values::{adding, notes};
use serde::{Deserialize, Serialize};

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
    pub(in super::super) fn normalizing<'a>(self, width: usize, sequences: impl Iterator<Item = &'a [f32]>) -> Self {
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
    pub(in super::super) fn apply(&self, mut values: Vec<f32>) -> Vec<f32> {
        for step in values.chunks_mut(self.mean.len().max(1)) {
            for ((value, mean), std) in step.iter_mut().zip(&self.mean).zip(&self.std) {
                *value = (*value - mean) / std;
            }
        }
        values
    }

    /// Refuses what does not go with `width` D numbers a step.
    pub(in super::super) fn check(&self, width: usize) -> Result<()> {
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
