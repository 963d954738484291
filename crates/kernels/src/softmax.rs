//! Softmax and its logarithm, with gradients.
//!
//! Both are candle's tensor operations on every device; half precision is widened to f32 inside. candle's `softmax_last_dim` is not
//! used: it silently cuts the gradient (huggingface/candle#2168).

use crate::cpu::simd_math::{exp, vectorised};
use crate::node::check_float;
use crate::precision::wide;
use candle_core::shape::Dim;
use candle_core::{Result, Tensor};
use rayon::prelude::*;

/// Probabilities along one dimension: softmax(x)_i = exp(x_i) / Σ_j exp(x_j).
///
/// The result has the shape of `xs`; the largest value is subtracted first, so that nothing overflows.
///
/// # Errors
/// When `xs` has no such dimension or is not of a floating-point type.
pub fn softmax<D: Dim>(xs: &Tensor, dim: D) -> Result<Tensor> {
    let dim = dim.to_index(xs.shape(), "softmax")?;
    let exponentials = shifted("softmax", xs, dim)?.exp()?;
    exponentials.broadcast_div(&exponentials.sum_keepdim(dim)?)?.to_dtype(xs.dtype())
}

/// The logarithm of [`softmax`], without its loss of precision: x_i − log Σ_j exp(x_j).
///
/// The result has the shape of `xs`.
///
/// # Errors
/// As [`softmax`].
pub fn log_softmax<D: Dim>(xs: &Tensor, dim: D) -> Result<Tensor> {
    let dim = dim.to_index(xs.shape(), "log_softmax")?;
    let shifted = shifted("log_softmax", xs, dim)?;
    shifted.broadcast_sub(&shifted.exp()?.sum_keepdim(dim)?.log()?)?.to_dtype(xs.dtype())
}

/// log Σ exp(x) of each row of `width` values, one after the other on the host.
///
/// It is −∞ where all values of a row are, and no finite number where one is NaN or +∞.
pub fn log_sum_exp_of_rows(values: &[f32], width: usize) -> Vec<f32> {
    let row = |row: &[f32]| {
        let LogSumExp { largest, log_sum } = LogSumExp::of(row);
        let is_impossible = largest == f32::NEG_INFINITY && !row.iter().any(|x| x.is_nan());
        if is_impossible { largest } else { largest + log_sum }
    };
    values.par_chunks_exact(width.max(1)).map(row).collect()
}

/// The largest value of a row and log Σ exp(x − largest), not their sum, which would lose digits.
#[derive(Clone, Copy, Default)]
pub(crate) struct LogSumExp {
    pub largest: f32,
    pub log_sum: f32,
}

impl LogSumExp {
    pub fn of(row: &[f32]) -> Self {
        let largest = largest(row);
        Self { largest, log_sum: sum_of_exp(row, largest).ln() }
    }
}

const LANES: usize = 16;

vectorised! {
    /// The largest of some numbers on the host: −∞ of nothing, and a NaN is passed over.
    pub fn largest(row: &[f32]) -> f32 {
        let mut lanes = [f32::NEG_INFINITY; LANES];
        let (chunks, rest) = row.as_chunks::<LANES>();
        for chunk in chunks {
            for lane in 0..LANES {
                lanes[lane] = if chunk[lane] > lanes[lane] { chunk[lane] } else { lanes[lane] };
            }
        }
        let mut largest = f32::NEG_INFINITY;
        for &x in lanes.iter().chain(rest) {
            largest = if x > largest { x } else { largest };
        }
        largest
    }
}

vectorised! {
    /// Σ exp(x − largest), always in the same order.
    fn sum_of_exp(row: &[f32], largest: f32) -> f32 {
        let mut lanes = [0f32; LANES];
        let (chunks, rest) = row.as_chunks::<LANES>();
        for chunk in chunks {
            for lane in 0..LANES {
                lanes[lane] += exp::<FUSED>(chunk[lane] - largest);
            }
        }
        let mut sum = 0f32;
        for x in rest {
            sum += exp::<FUSED>(x - largest);
        }
        lanes.iter().sum::<f32>() + sum
    }
}

/// Less the largest value, which is a constant for the gradient: it cancels out of both functions.
fn shifted(operation: &str, xs: &Tensor, dim: usize) -> Result<Tensor> {
    check_float(operation, xs)?;
    // candle has no maximum of nothing.
    if xs.elem_count() == 0 {
        return Ok(xs.clone());
    }
    let xs = wide(xs)?;
    xs.broadcast_sub(&xs.detach().max_keepdim(dim)?)
}
