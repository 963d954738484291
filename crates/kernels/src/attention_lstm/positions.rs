//! Positions that numbers choose from attention weights: the draws of hard attention.

use crate::backend::{Backend, Op};
use crate::node::with_f32s;
use candle_core::{D, DType, Device, Result, Tensor};

/// Chooses a position from weights over P of them, by a number uniform in [0, 1).
///
/// It is the first at which the sum of the weights so far exceeds the number, or the last that has any weight.
#[derive(Clone, Debug)]
pub struct PositionSampler {
    /// Of the reference; nothing where the kernel runs.
    constants: Option<Constants>,
}

impl PositionSampler {
    /// A sampler of `p` (P) positions; it may serve any number of steps, which then put nothing on the device.
    ///
    /// # Errors
    /// When the device fails.
    pub fn new(p: usize, device: &Device) -> Result<Self> {
        let constants = match Backend::choose(Op::SamplePositions, &[&Tensor::zeros(0, DType::F32, device)?]) {
            Backend::Cpu => None,
            Backend::Reference => Some(Constants::new(p, device)?),
        };
        Ok(Self { constants })
    }

    /// The positions (…) of u32 that the numbers `draws` (…) choose from the weights `alpha` (…, P).
    ///
    /// # Errors
    /// When there is not a number for each row of weights, or P is another.
    pub fn choose(&self, alpha: &Tensor, draws: &Tensor) -> Result<Tensor> {
        let p = alpha.dim(D::Minus1)?;
        if alpha.dims()[..alpha.rank() - 1] != *draws.dims() {
            let (alpha, draws) = (alpha.dims(), draws.dims());
            candle_core::bail!("positions: wants a number for each row of {alpha:?}, got {draws:?}")
        }
        let rows = alpha.detach().to_dtype(DType::F32)?.reshape((draws.elem_count(), p))?;
        let draws_of_rows = draws.detach().to_dtype(DType::F32)?.flatten_all()?;
        let chosen = match &self.constants {
            None => by_kernel(&rows, &draws_of_rows)?,
            Some(constants) => constants.choose(&rows, &draws_of_rows)?,
        };
        chosen.reshape(draws.shape())
    }
}

/// The positions of rows (M, P) on the CPU.
pub(super) fn by_kernel(alpha: &Tensor, draws: &Tensor) -> Result<Tensor> {
    let p = alpha.dim(1)?;
    let chosen = with_f32s("positions", [alpha, draws], |[alpha, draws]| {
        let rows = alpha.chunks_exact(p.max(1)).zip(draws);
        rows.map(|(alpha, &draw)| position(alpha, draw) as u32).collect::<Vec<u32>>()
    })?;
    Tensor::from_vec(chosen, draws.shape(), &Device::Cpu)
}

/// The first position at which the sum of the weights so far exceeds the number.
pub(super) fn position(alpha: &[f32], draw: f32) -> usize {
    let mut sum = 0.0;
    let found = alpha.iter().position(|weight| {
        sum += weight;
        draw < sum
    });
    // The sum of all may be a little below 1.
    found.or_else(|| alpha.iter().rposition(|&weight| weight > 0.0)).unwrap_or(0)
}

/// What the reference needs on the device.
#[derive(Clone, Debug)]
pub(super) struct Constants {
    /// 0 … P − 1, (P).
    indices: Tensor,
    /// 1 at (q, p) for q ≤ p, (P, P): weights times it are their sums so far.
    triangle: Tensor,
}

impl Constants {
    pub fn new(p: usize, device: &Device) -> Result<Self> {
        let indices = Tensor::arange(0f32, p as f32, device)?;
        Ok(Self { indices, triangle: Tensor::triu2(p, DType::F32, device)? })
    }

    /// The positions of rows (M, P) of f32, without a read on the host.
    pub fn choose(&self, alpha: &Tensor, draws: &Tensor) -> Result<Tensor> {
        // Of as many positions the sum so far does not exceed the number.
        let sums = alpha.matmul(&self.triangle)?;
        let passed = sums.broadcast_le(&draws.unsqueeze(1)?)?.to_dtype(DType::F32)?.sum(D::Minus1)?;
        let last =
            alpha.gt(&alpha.zeros_like()?)?.to_dtype(DType::F32)?.broadcast_mul(&self.indices)?.max(D::Minus1)?;
        passed.minimum(&last)?.to_dtype(DType::U32)
    }
}
