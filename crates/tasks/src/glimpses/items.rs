//! Pictures as the network is given them.

use super::config::RecurrentAttentionConfig;
use crate::{Error, Result};
use candle_core::{Device, Tensor};
use candlewick_data::placed::{Placed, PlacedPictures};
use image::GrayImage;
use rayon::prelude::*;

/// Pictures and their labels, on the CPU.
pub struct Batch {
    /// (N, height, width), from 0 for black to 1 for white.
    pub(super) pictures: Tensor,
    /// (N, labels).
    pub(super) labels: Tensor,
}

/// The items of these numbers.
pub(super) fn items(set: &PlacedPictures, numbers: &[usize]) -> Result<Vec<Placed>> {
    Ok(numbers.par_iter().map(|&number| set.item(number)).collect::<candlewick_data::Result<_>>()?)
}

impl Batch {
    /// A batch of items, all of the model's size.
    pub(super) fn of(items: &[Placed], config: &RecurrentAttentionConfig) -> Result<Self> {
        let pictures = tensor(items.iter().map(|item| &item.picture), config)?;
        let labels: Vec<u32> = items.iter().flat_map(|item| item.labels.iter().copied()).collect();
        Ok(Self { pictures, labels: Tensor::from_vec(labels, (items.len(), config.placing.pictures), &Device::Cpu)? })
    }
}

/// Pictures as (N, height, width).
///
/// # Errors
/// When one is of another size than the model's.
pub(super) fn tensor<'a>(
    pictures: impl ExactSizeIterator<Item = &'a GrayImage>,
    config: &RecurrentAttentionConfig,
) -> Result<Tensor> {
    let ((height, width), count) = (config.size, pictures.len());
    let mut values = Vec::new();
    for picture in pictures {
        if picture.dimensions() != (width, height) {
            let (found, across) = (picture.height(), picture.width());
            let fault = format!("is {found}×{across} pixels; the model looks at {height}×{width}");
            return Err(Error::Setting(fault));
        }
        values.extend(picture.as_raw().iter().map(|&grey| f32::from(grey) / 255.0));
    }
    Ok(Tensor::from_vec(values, (count, height as usize, width as usize), &Device::Cpu)?)
}
