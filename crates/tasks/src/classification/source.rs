//! Labelled pictures as a network is given them.

use super::Augmentation;
use crate::{Error, Result};
use candle_core::{Device, Tensor};
use candlewick_data::features::PhotoHash;
use candlewick_data::image_classes::Examples;
use candlewick_data::shown;
use candlewick_data::skipped::Skipped;
use candlewick_encoders::Preprocessing;
use candlewick_parameters::Rng;
use rayon::prelude::*;
use std::path::Path;

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
        Ok(self.examples.hash(&self.rows)?)
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

/// Pictures that are tried at a time.
const TOGETHER: usize = 256;

/// The pictures that cannot be read, or not be made an input; those in memory are whole. All that can be are of one size.
///
/// `progress` is told how many pictures of how many were tried.
pub(crate) fn tried(
    parts: &[&Examples],
    preprocessing: &Preprocessing,
    max_share: f64,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Skipped> {
    let total = parts.iter().map(|part| part.len()).sum();
    let (faults, mut done) = (Skipped::new("pictures", total, max_share), 0);
    let mut first = None;
    progress(0, total);
    for part in parts {
        let size = |row: usize| -> Option<(&Path, Result<(u32, u32)>)> {
            let path = part.path(row)?;
            let picture = part.picture(row).map_err(Error::from);
            Some((path, picture.and_then(|picture| Ok(preprocessing.original(&picture)?.dimensions()))))
        };
        // They are looked at in order, so that the message is always the same.
        let mut found: Vec<(&Path, Result<(u32, u32)>)> = Vec::new();
        for first in (0..part.len()).step_by(TOGETHER) {
            let last = (first + TOGETHER).min(part.len());
            found.par_extend((first..last).into_par_iter().filter_map(size));
            done += last - first;
            progress(done, total);
        }
        for (path, size) in found {
            let size = match size {
                Ok(size) => size,
                Err(fault) => {
                    faults.record(&path.display().to_string(), fault)?;
                    continue;
                }
            };
            let (other, wanted) = *first.get_or_insert((path, size));
            if size != wanted {
                let sizes = format!(
                    "{}×{} pixels as the network would see it, {} {}×{}",
                    size.0,
                    size.1,
                    shown(other),
                    wanted.0,
                    wanted.1
                );
                let advice = "set preprocessing.size = { height, width }, or preprocessing.crop_size";
                return Err(Error::Setting(format!("{}: is {sizes}; {advice}", shown(path))));
            }
        }
    }
    Ok(faults)
}
