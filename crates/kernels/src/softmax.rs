//! Softmax and its logarithm, with gradients.
//!
//! Both are composed of candle's tensor operations on every device; half precision is widened to f32 inside. candle's `softmax_last_dim` is not used: it cuts the
//! gradient without a word (huggingface/candle#2168).

use crate::node::check_float;
use crate::precision::wide;
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
