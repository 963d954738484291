//! Pictures with a class each, read row by row or pixel by pixel.

use super::config::{DataConfig, ValuesConfig};
use super::labelled::{Input, Labelled, LabelledSequences};
use super::reading::Reading;
use crate::{Error, Result};
use candlewick_data::Parts;
use candlewick_data::image_classes::{self, Examples};
use candlewick_data::skipped::Skipped;
use image::{RgbImage, imageops};
use std::path::Path;

/// Reads the pictures of a folder; those that cannot be read are skipped and told.
pub(super) fn load(
    folder: &Path,
    config: &DataConfig,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<LabelledSequences> {
    let set = image_classes::load(folder, config.dev_share)?;
    let total = set.train.len() + set.dev.len() + set.test.len();
    let skipped = Skipped::new("pictures", total, config.max_share);
    let first = (0..set.train.len()).find_map(|row| set.train.picture(row).ok());
    let Some(first) = first.map(|picture| picture.width() as usize) else {
        return Err(Error::NoData(format!("{}: has no picture that can be read", folder.display())));
    };
    let rows = config.values == ValuesConfig::Rows;
    let width = if rows { first } else { 1 };
    let mut reading = Reading::new(total, progress);
    let mut part = |examples: &Examples| -> Result<Vec<Labelled>> {
        let read = |&row: &usize| -> Result<Vec<f32>> {
            let picture = examples.picture(row)?;
            match rows && picture.width() as usize != width {
                true => {
                    Err(Error::Setting(format!("is {} pixels wide where the first one has {width}", picture.width())))
                }
                false => Ok(greys(&picture)),
            }
        };
        let values = reading.read(&(0..examples.len()).collect::<Vec<_>>(), read);
        let mut part = Vec::with_capacity(values.len());
        for ((row, values), &label) in values.into_iter().enumerate().zip(&examples.labels) {
            let name = || examples.path(row).map_or(format!("picture {row}"), |path| path.display().to_string());
            match values {
                Ok(values) => {
                    part.push(Labelled { input: Input::Values(values), labels: vec![label], targets: Vec::new() });
                }
                Err(fault) => skipped.record(&name(), fault)?,
            }
        }
        Ok(part)
    };
    let parts = Parts { train: part(&set.train)?, dev: part(&set.dev)?, test: part(&set.test)? };
    let notes = set.notes.into_iter().chain(skipped.report()).collect();
    let (width, values) = (Some(width), config.values.clone());
    Ok(LabelledSequences { classes: set.classes, width, values, parts, notes })
}

/// The grey of each pixel, 0 to 1, row after row.
pub(in super::super) fn greys(picture: &RgbImage) -> Vec<f32> {
    imageops::grayscale(picture).into_raw().into_iter().map(|grey| f32::from(grey) / 255.0).collect()
}
