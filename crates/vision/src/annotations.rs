//! Annotations: the vectors, one for each position of a feature map or each region, that a decoder attends to.

use candle_core::{Device, Result, Tensor, bail};
use candlewick_kernels::additive_attention::Counts;
use candlewick_kernels::channels_last;
use candlewick_kernels::device::upload;

/// The annotations (N, P, C) of N pictures, of a feature map's positions or of regions (Xu et al. 2015, section 3.1.1).
#[derive(Clone, Debug)]
pub struct Annotations {
    values: Tensor,
    grid: (usize, usize),
    counts: Option<Counts>,
}

impl Annotations {
    /// The annotations (N, P, C) of maps with `height` × `width` = P positions, row by row.
    ///
    /// # Errors
    /// When the map has another number of positions.
    pub fn grid(values: Tensor, (height, width): (usize, usize)) -> Result<Self> {
        let (_, p, _) = values.dims3()?;
        if height * width != p {
            bail!("annotations: {p} positions are no map of {height} rows and {width} columns")
        }
        Ok(Self { values, grid: (height, width), counts: None })
    }

    /// The annotations (N, P, C) of P regions, or of anything else that has no place on a map.
    ///
    /// # Errors
    /// When the tensor is not of rank 3.
    pub fn set(values: Tensor) -> Result<Self> {
        let (_, p, _) = values.dims3()?;
        Ok(Self { values, grid: (1, p), counts: None })
    }

    /// Says how many annotations each picture has, from 1 to P: those after them only fill its row.
    ///
    /// # Errors
    /// When there are not N counts, or one is 0 or more than P.
    pub fn with_counts(self, counts: Vec<u32>) -> Result<Self> {
        let (n, p, _) = self.values.dims3()?;
        if counts.len() != n {
            bail!("annotations: the counts of {} pictures, wanted those of {n}", counts.len())
        }
        let known = Counts::new(&counts, p, self.values.device())?;
        // Where all are full there is nothing to say.
        Ok(Self { counts: counts.iter().any(|&count| (count as usize) < p).then_some(known), ..self })
    }

    /// (N, P, C).
    pub fn tensor(&self) -> &Tensor {
        &self.values
    }

    /// Rows and columns of the map whose positions the annotations are of, row by row; 1 and P for regions.
    pub fn grid_size(&self) -> (usize, usize) {
        self.grid
    }

    /// How many annotations each picture has; nothing where all have P.
    pub fn counts(&self) -> Option<&Counts> {
        self.counts.as_ref()
    }

    /// The mean annotation of each picture, (N, C).
    ///
    /// # Errors
    /// When an operation fails.
    pub fn mean(&self) -> Result<Tensor> {
        let Some(counts) = &self.counts else { return channels_last::mean(&self.values.unsqueeze(1)?) };
        let shares = counts.shares(1)?.unsqueeze(1)?.to_dtype(self.values.dtype())?;
        shares.matmul(&self.values.contiguous()?)?.squeeze(1)
    }

    /// The same with other annotations of the same shape.
    ///
    /// # Errors
    /// When the shape is another.
    pub fn with_tensor(&self, values: Tensor) -> Result<Self> {
        if values.dims() != self.values.dims() {
            let (found, wanted) = (values.dims(), self.values.dims());
            bail!("annotations: {found:?} in the place of {wanted:?}")
        }
        Ok(Self { values, ..self.clone() })
    }

    /// The same on this device.
    ///
    /// # Errors
    /// When an operation fails.
    pub fn to_device(&self, device: &Device) -> Result<Self> {
        let counts = self.counts.as_ref().map(|counts| counts.to_device(device)).transpose()?;
        Ok(Self { values: upload(&self.values, device)?, counts, ..self.clone() })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_mean_is_of_the_annotations_that_a_picture_has() {
        let annotations = Tensor::arange(0f32, 12.0, &Device::Cpu).unwrap().reshape((2, 3, 2)).unwrap();
        let all = Annotations::set(annotations).unwrap();
        assert_eq!(all.mean().unwrap().to_vec2::<f32>().unwrap(), [[2., 3.], [8., 9.]]);
        let some = all.clone().with_counts(vec![2, 3]).unwrap();
        assert_eq!(some.mean().unwrap().to_vec2::<f32>().unwrap(), [[1., 2.], [8., 9.]]);
        assert_eq!(some.counts().unwrap().tensor().to_vec1::<u32>().unwrap(), [2, 3]);
        assert_eq!(some.grid_size(), (1, 3));
        assert!(all.clone().with_counts(vec![3, 3]).unwrap().counts().is_none());
        for counts in [vec![2], vec![0, 3], vec![2, 4]] {
            assert!(all.clone().with_counts(counts).is_err());
        }
        assert!(Annotations::grid(all.tensor().clone(), (2, 2)).is_err());
        assert!(all.with_tensor(Tensor::zeros((2, 2, 2), candle_core::DType::F32, &Device::Cpu).unwrap()).is_err());
    }
}
