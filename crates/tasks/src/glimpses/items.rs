//! Pictures as the network is given them.

use super::config::RecurrentAttentionConfig;
use crate::{Error, Result};
use candle_core::{Device, Tensor};
use candlewick_data::Split;
use candlewick_data::image_classes::Examples;
use candlewick_data::placed::{Placed, PlacedPictures, Placing};
use image::GrayImage;
use rayon::prelude::*;

/// Pictures and their labels, on the CPU.
pub struct Batch {
    /// (N, height, width), from 0 for black to 1 for white.
    pub(super) pictures: Tensor,
    /// (N, labels).
    pub(super) labels: Tensor,
}

/// A part of a set as a model looks at it; each part has places of its own, drawn from `seed`.
///
/// # Errors
/// When the part has no pictures, or they do not fit into the larger ones.
pub fn placed(examples: Examples, placing: &Placing, (seed, part): (u64, Split)) -> Result<PlacedPictures> {
    if examples.is_empty() {
        return Err(Error::NoData(format!("the {part} part has no pictures; choose another, or give the set some")));
    }
    let number = match part {
        Split::Train => 0,
        Split::Dev => 1,
        Split::Test => 2,
    };
    Ok(PlacedPictures::new(examples, placing.clone(), seed.wrapping_mul(3).wrapping_add(number))?)
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
    let mut values = Vec::with_capacity(count * (height * width) as usize);
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
