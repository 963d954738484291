//! Softmax and its logarithm, with gradients.
//!
//! Both are composed of candle's tensor operations on every device. candle's `softmax_last_dim` is not used: it cuts the
//! gradient without a word (huggingface/candle#2168).

use candle_core::shape::Dim;
use candle_core::{Result, Tensor};

/// Probabilities along one dimension: softmax(x)_i = exp(x_i) / Σ_j exp(x_j).
///
/// The result has the shape of `xs`; the largest value is subtracted first, so that nothing overflows.
///
/// # Errors
/// When `xs` has no such dimension or is not of a floating-point type.
pub fn softmax<D: Dim>(xs: &Tensor, dim: D) -> Result<Tensor> {
    let dim = dim.to_index(xs.shape(), "softmax")?;
    let exponentials = shifted(xs, dim)?.exp()?;
    exponentials.broadcast_div(&exponentials.sum_keepdim(dim)?)
}

/// The logarithm of [`softmax`], without its loss of precision: x_i − log Σ_j exp(x_j).
///
/// The result has the shape of `xs`.
///
/// # Errors
/// As [`softmax`].
pub fn log_softmax<D: Dim>(xs: &Tensor, dim: D) -> Result<Tensor> {
    let dim = dim.to_index(xs.shape(), "log_softmax")?;
    let shifted = shifted(xs, dim)?;
    shifted.broadcast_sub(&shifted.exp()?.sum_keepdim(dim)?.log()?)
}

/// A constant for the gradient: it cancels out of both functions.
fn shifted(xs: &Tensor, dim: usize) -> Result<Tensor> {
    xs.broadcast_sub(&xs.detach().max_keepdim(dim)?)
}
