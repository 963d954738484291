//! The retina: patches of several scales around a location (Mnih et al. 2014, section 3.1).
//!
//! Scale j sees s·2ʲ × s·2ʲ pixels around the location, reduced to s × s by the mean of 2ʲ × 2ʲ pixels; beyond the picture all is 0.

use candle_core::{DType, Device, Result, Tensor, bail};

/// Patches of s × s pixels at k scales.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Retina {
    /// s.
    pub patch: usize,
    /// k.
    pub scales: usize,
}

/// Pictures that can be looked at anywhere.
pub(super) struct Seen {
    retina: Retina,
    /// Height and width of the pictures.
    size: (usize, usize),
    /// Of each scale the means of all blocks of 2ʲ × 2ʲ pixels.
    scales: Vec<Blocks>,
}

/// The means of the blocks of a scale by where they begin, in a frame of zeros.
struct Blocks {
    /// (N, rows · columns).
    means: Tensor,
    columns: usize,
    /// How far the frame reaches beyond the pictures, in pixels.
    frame: usize,
}

impl Retina {
    /// The side of scale j, in pixels.
    pub fn side(self, scale: usize) -> usize {
        self.patch << scale
    }

    /// Prepares pictures (N, height, width).
    pub fn open(self, pictures: &Tensor) -> Result<Seen> {
        let (_, height, width) = pictures.dims3()?;
        let scales = (0..self.scales).map(|scale| self.blocks(pictures, scale)).collect::<Result<_>>()?;
        Ok(Seen { retina: self, size: (height, width), scales })
    }

    fn blocks(self, pictures: &Tensor, scale: usize) -> Result<Blocks> {
        let frame = self.side(scale).div_ceil(2) + 1;
        let mut means = pictures.pad_with_zeros(1, frame, frame)?.pad_with_zeros(2, frame, frame)?;
        // The mean of a block is that of its two halves, in each direction.
        for reach in (0..scale).map(|doubled| 1 << doubled) {
            for axis in [1, 2] {
                let length = means.dim(axis)? - reach;
                means = ((means.narrow(axis, 0, length)? + means.narrow(axis, reach, length)?)? * 0.5)?;
            }
        }
        let columns = means.dim(2)?;
        Ok(Blocks { means: means.flatten_from(1)?.contiguous()?, columns, frame })
    }
}

impl Seen {
    /// How many pictures there are.
    pub fn count(&self) -> Result<usize> {
        self.scales.first().map_or(Ok(0), |blocks| blocks.means.dim(0))
    }

    /// Where they are.
    pub fn device(&self) -> &Device {
        self.scales.first().map_or(&Device::Cpu, |blocks| blocks.means.device())
    }

    /// What is seen at locations (N, 2), x before y, both from −1 at one edge of the picture to 1 at the other: (N, k·s·s), one scale after
    /// the other.
    pub fn patches(&self, locations: &Tensor) -> Result<Tensor> {
        if locations.dims() != [self.count()?, 2] {
            bail!("glimpses: {} pictures want a location each, got {:?}", self.count()?, locations.dims())
        }
        let each = self.scales.iter().enumerate().map(|(scale, blocks)| self.scale(scale, blocks, locations));
        Tensor::cat(&each.collect::<Result<Vec<_>>>()?, 1)
    }

    fn scale(&self, scale: usize, blocks: &Blocks, locations: &Tensor) -> Result<Tensor> {
        let (s, device) = (self.retina.patch, locations.device());
        let starts: Vec<u32> = (0..s).map(|at| (at << scale) as u32).collect();
        // The first pixel of the patch, so that its middle is as near to the location as whole pixels allow.
        let first = |axis: usize, size: usize| -> Result<Tensor> {
            let middle = locations.narrow(1, axis, 1)?.affine(size as f64 / 2.0, size as f64 / 2.0)?;
            let offset = 0.5 - self.retina.side(scale) as f64 / 2.0;
            (middle + offset)?.floor()?.affine(1.0, blocks.frame as f64)?.to_dtype(DType::U32)
        };
        let steps = Tensor::new(starts, device)?;
        let rows = first(1, self.size.0)?.broadcast_add(&steps.unsqueeze(0)?)?;
        let columns = first(0, self.size.1)?.broadcast_add(&steps.unsqueeze(0)?)?;
        let rows = rows.broadcast_mul(&Tensor::new(&[[blocks.columns as u32]], device)?)?;
        let places = rows.unsqueeze(2)?.broadcast_add(&columns.unsqueeze(1)?)?.flatten_from(1)?;
        blocks.means.gather(&places, 1)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The patch by its definition.
    fn plain(picture: &[Vec<f32>], (x, y): (f32, f32), side: usize, block: usize) -> Vec<f32> {
        let (height, width) = (picture.len() as f32, picture[0].len() as f32);
        let first = |at: f32, size: f32| ((at + 1.0) / 2.0 * size - side as f32 / 2.0 + 0.5).floor() as i64;
        let (left, top) = (first(x, width), first(y, height));
        let pixel = |row: i64, column: i64| {
            let row = usize::try_from(row).ok().and_then(|row| picture.get(row));
            row.and_then(|row| usize::try_from(column).ok().and_then(|column| row.get(column))).copied().unwrap_or(0.0)
        };
        let mut patch = Vec::new();
        for (row, column) in (0..side / block).flat_map(|row| (0..side / block).map(move |column| (row, column))) {
            let inside = (0..block).flat_map(|v| (0..block).map(move |u| (v, u)));
            let sum: f32 =
                inside.map(|(v, u)| pixel(top + (row * block + v) as i64, left + (column * block + u) as i64)).sum();
            patch.push(sum / (block * block) as f32);
        }
        patch
    }

    #[test]
    fn patches_are_the_means_around_the_location_and_zero_beyond_the_picture() {
        let (height, width) = (11, 14);
        let pictures: Vec<Vec<Vec<f32>>> = (0..3)
            .map(|n| {
                (0..height).map(|y| (0..width).map(|x| ((7 * n + 13 * y + 5 * x) % 17) as f32).collect()).collect()
            })
            .collect();
        let tensor = Tensor::new(pictures.clone(), &Device::Cpu).unwrap();
        let retina = Retina { patch: 3, scales: 3 };
        let seen = retina.open(&tensor).unwrap();
        for places in [[(0.0f32, 0.0f32), (-1.0, -1.0), (1.0, 1.0)], [(0.31, -0.77), (-0.5, 1.0), (0.999, -0.2)]] {
            let locations = Tensor::new(&places.map(|(x, y)| [x, y]), &Device::Cpu).unwrap();
            let found = seen.patches(&locations).unwrap().to_vec2::<f32>().unwrap();
            for ((found, picture), place) in found.iter().zip(&pictures).zip(places) {
                let wanted: Vec<f32> = (0..3).flat_map(|scale| plain(picture, place, 3 << scale, 1 << scale)).collect();
                assert_eq!(found.len(), 27);
                let far = found.iter().zip(&wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(far < 1e-5, "{place:?}: {found:?} {wanted:?}");
            }
        }
        let fault = seen.patches(&Tensor::zeros((2, 2), DType::F32, &Device::Cpu).unwrap()).unwrap_err().to_string();
        assert!(fault.contains("3 pictures want a location each"), "{fault}");
    }
}
