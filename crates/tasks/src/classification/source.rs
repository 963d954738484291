//! Labelled pictures as a network is given them.

use super::Augmentation;
use crate::Result;
use candle_core::{Device, Tensor};
use candlewick_data::features::PhotoHash;
use candlewick_data::image_classes::Examples;
use candlewick_data::picture::{self, Limits};
use candlewick_data::skipped::Skipped;
use candlewick_encoders::Preprocessing;
use candlewick_parameters::Rng;
use rayon::prelude::*;

/// Pictures, and what is done to them.
pub(crate) struct Source {
    pub examples: Examples,
    /// Those of the pictures that can be read.
    pub rows: Vec<usize>,
    pub preprocessing: Preprocessing,
    pub augmentation: Augmentation,
}

/// Pictures and their classes, on the CPU.
pub struct Batch {
    /// (N, 3, height, width).
    pub(crate) images: Tensor,
    /// (N).
    pub(crate) labels: Tensor,
}

impl Source {
    /// The pictures but for those that are recorded as broken.
    pub fn new(
        examples: &Examples,
        faults: &Skipped,
        preprocessing: Preprocessing,
        augmentation: Augmentation,
    ) -> Self {
        let broken = |row: usize| examples.path(row).is_some_and(|path| faults.contains(&path.display().to_string()));
        let rows = (0..examples.len()).filter(|&row| !broken(row)).collect();
        Self { examples: examples.clone(), rows, preprocessing, augmentation }
    }

    /// A hash of the pictures and their classes in their order: a run is gone on with on the same ones only.
    pub fn digest(&self) -> Result<PhotoHash> {
        let one = |&row: &usize| -> Result<String> {
            let hash = match self.examples.path(row) {
                Some(path) => PhotoHash::of(&picture::read(path, Limits::default().max_bytes)?),
                None => PhotoHash::of(self.examples.picture(row)?.as_raw()),
            };
            Ok(format!("{hash} {}", self.examples.labels.get(row).copied().unwrap_or_default()))
        };
        let all: Vec<String> = self.rows.par_iter().map(one).collect::<Result<_>>()?;
        Ok(PhotoHash::of(all.join("\n").as_bytes()))
    }

    /// The pictures in these rows; `seed` and `epoch` decide how each is changed.
    pub fn batch(&self, rows: &[usize], (seed, epoch): (u64, usize)) -> Result<Batch> {
        let image = |&row: &usize| -> Result<Tensor> {
            let picture = self.examples.picture(row)?;
            let index = (epoch * self.examples.len() + row) as u64;
            let mut rng = Rng::derive(seed, "augmentation", index);
            let (picture, preprocessing) = self.augmentation.apply(picture, &self.preprocessing, &mut rng);
            Ok(preprocessing.apply(&picture, &Device::Cpu)?)
        };
        let images: Vec<Tensor> = rows.iter().map(image).collect::<Result<_>>()?;
        let labels: Vec<u32> = rows.iter().filter_map(|&row| self.examples.labels.get(row).copied()).collect();
        Ok(Batch { images: Tensor::stack(&images, 0)?, labels: Tensor::new(labels, &Device::Cpu)? })
    }
}
