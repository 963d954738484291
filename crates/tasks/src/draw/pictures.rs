//! Pictures as the network is given them.

use super::config::Likelihood;
use crate::{Error, Result};
use candle_core::{Device, Tensor};
use candlewick_data::features::PhotoHash;
use candlewick_data::image_classes::Examples;
use candlewick_data::shown;
use candlewick_parameters::Rng;
use image::{RgbImage, imageops};
use rayon::prelude::*;

/// Pictures of one size, in memory.
#[derive(Clone, Debug)]
pub struct Pictures {
    likelihood: Likelihood,
    /// Height and width.
    size: (u32, u32),
    /// (N, C, h, w).
    values: Vec<u8>,
    count: usize,
}

/// Pictures (N, C, h, w) from 0 to 1, on the CPU.
pub struct Batch {
    pub(super) pictures: Tensor,
}

impl Pictures {
    /// Pictures as `likelihood` takes them.
    ///
    /// # Errors
    /// When there is none, or one is of another size than the first.
    pub fn new(pictures: &[RgbImage], likelihood: Likelihood) -> Result<Self> {
        let size = pictures.first().map(RgbImage::dimensions);
        let (width, height) = size.ok_or_else(|| Error::NoData("there is no picture".into()))?;
        let of = |at: usize| Ok(pictures[at].clone());
        Self::read(pictures.len(), (height, width), likelihood, &of, &|at| format!("picture {at}"))
    }

    /// All the pictures of a part of a set.
    ///
    /// # Errors
    /// When there is none, one cannot be read, or one is of another size than the first.
    pub fn of(examples: &Examples, likelihood: Likelihood) -> Result<Self> {
        let first = match examples.is_empty() {
            true => return Err(Error::NoData("a part of the set has no pictures; give it some".into())),
            false => examples.picture(0)?,
        };
        let of = |at: usize| Ok(examples.picture(at)?);
        let name = |at: usize| examples.path(at).map_or(format!("picture {at}"), |path| shown(path).to_string());
        Self::read(examples.len(), (first.height(), first.width()), likelihood, &of, &name)
    }

    fn read(
        count: usize,
        (height, width): (u32, u32),
        likelihood: Likelihood,
        of: &(dyn Fn(usize) -> Result<RgbImage> + Sync),
        name: &(dyn Fn(usize) -> String + Sync),
    ) -> Result<Self> {
        let one = |at: usize| -> Result<Vec<u8>> {
            let picture = of(at)?;
            if picture.dimensions() != (width, height) {
                let (found, across) = (picture.height(), picture.width());
                let fault = format!("{}: is {found}×{across} pixels, the first one {height}×{width}", name(at));
                return Err(Error::Setting(format!("{fault}; give all one size")));
            }
            Ok(match likelihood {
                Likelihood::Colour => {
                    let of = |channel: usize| picture.pixels().map(move |pixel| pixel.0[channel]);
                    (0..3).flat_map(of).collect()
                }
                _ => imageops::grayscale(&picture).into_raw(),
            })
        };
        let values: Vec<Vec<u8>> = (0..count).into_par_iter().map(one).collect::<Result<_>>()?;
        Ok(Self { likelihood, size: (height, width), values: values.concat(), count })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Height and width, in pixels.
    pub fn size(&self) -> (u32, u32) {
        self.size
    }

    /// A hash of all of them in their order, by which a run is known again.
    pub(super) fn hash(&self) -> String {
        PhotoHash::of(&self.values).to_string()
    }

    /// The pictures in these rows; those in black and white are drawn by `seed` and their numbers `first` + row, white as often as they are
    /// light.
    pub(super) fn batch(&self, rows: &[usize], (seed, first): (u64, usize)) -> Result<Batch> {
        let (height, width) = (self.size.0 as usize, self.size.1 as usize);
        let each = self.likelihood.channels() * height * width;
        let one = |&row: &usize| -> Vec<f32> {
            let values = self.values.get(row * each..(row + 1) * each).unwrap_or_default();
            let light = values.iter().map(|&value| f32::from(value) / 255.0);
            match self.likelihood {
                Likelihood::Binary => {
                    let mut rng = Rng::derive(seed, "binarise", (first + row) as u64);
                    light.map(|light| if rng.uniform() < light { 1.0 } else { 0.0 }).collect()
                }
                _ => light.collect(),
            }
        };
        let values: Vec<Vec<f32>> = rows.par_iter().map(one).collect();
        let shape = (rows.len(), self.likelihood.channels(), height, width);
        Ok(Batch { pictures: Tensor::from_vec(values.concat(), shape, &Device::Cpu)? })
    }
}
