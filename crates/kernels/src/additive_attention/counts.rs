//! How many annotations each source of a padded set has.

use super::NAME;
use candle_core::{DType, Device, Result, Tensor};

/// How many of P annotations each of M sources has, from 1 to P; those after them are padding, at which α is 0.
///
/// It is read on the host once, where it is made; the operations take its tensors on the device of the annotations.
#[derive(Clone, Debug)]
pub struct Counts {
    numbers: Tensor,
    mask: Tensor,
}

impl Counts {
    /// The counts of M sources with up to `p` (P) annotations.
    ///
    /// # Errors
    /// When a count is 0 or more than P.
    pub fn new(counts: &[u32], p: usize, device: &Device) -> Result<Self> {
        if let Some(count) = counts.iter().find(|&&count| count == 0 || count as usize > p) {
            candle_core::bail!("{NAME}: a source has {count} annotations, wanted from 1 to {p}")
        }
        let places = |&count: &u32| (0..p).map(move |place| u8::from(place < count as usize));
        let mask: Vec<u8> = counts.iter().flat_map(places).collect();
        let numbers = Tensor::new(counts, device)?;
        Ok(Self { numbers, mask: Tensor::from_vec(mask, (counts.len(), p), device)? })
    }

    /// (M) of u32.
    pub fn tensor(&self) -> &Tensor {
        &self.numbers
    }

    /// (M, P) of u8: 1 at the annotations that a source has, 0 at padding.
    pub fn mask(&self) -> &Tensor {
        &self.mask
    }

    /// What each annotation weighs in a mean over those that its source has, divided by `means`: (M, P) of f32.
    ///
    /// ```text
    /// share_mp = 1 / (means · count_m) for p < count_m, else 0
    /// ```
    ///
    /// # Errors
    /// When the device fails.
    pub fn shares(&self, means: usize) -> Result<Tensor> {
        let shares = (self.numbers.to_dtype(DType::F32)? * means as f64)?.recip()?.unsqueeze(1)?;
        self.mask.where_cond(
            &shares.broadcast_as(self.mask.shape())?,
            &shares.zeros_like()?.broadcast_as(self.mask.shape())?,
        )
    }

    /// The counts whose row m is row `rows[m]` of these; `rows` is (N) of u32.
    ///
    /// # Errors
    /// When there is no such row.
    pub fn select(&self, rows: &Tensor) -> Result<Self> {
        Ok(Self { numbers: self.numbers.index_select(rows, 0)?, mask: self.mask.index_select(rows, 0)? })
    }

    /// The same on this device.
    ///
    /// # Errors
    /// When the device fails.
    pub fn to_device(&self, device: &Device) -> Result<Self> {
        Ok(Self { numbers: self.numbers.to_device(device)?, mask: self.mask.to_device(device)? })
    }

    /// An error unless they are those of `m` sources with up to `p` annotations.
    pub(crate) fn check(&self, operation: &str, m: usize, p: usize) -> Result<()> {
        if self.mask.dims() != [m, p] {
            let found = self.mask.dims();
            candle_core::bail!(
                "{operation}: the counts of {found:?} sources and annotations, wanted those of {:?}",
                [m, p]
            )
        }
        Ok(())
    }
}
