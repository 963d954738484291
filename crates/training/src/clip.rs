//! Clipping of gradients by norm and by value.

use crate::Result;
use candle_core::Tensor;
use candlewick_kernels::optimizer;

/// The norm of all gradients together: √(Σ g²).
///
/// # Errors
/// When an operation fails.
pub fn global_norm(gradients: &[Option<Tensor>]) -> Result<f64> {
    Ok(optimizer::global_norm(&gradients.iter().flatten().collect::<Vec<_>>())?)
}

/// The factor that brings gradients of this norm down to `max_norm`: min(1, `max_norm` / (norm + 10⁻⁶)), as PyTorch's
/// `clip_grad_norm_` has it.
pub fn norm_scale(norm: f64, max_norm: f64) -> f64 {
    optimizer::norm_scale(norm, max_norm)
}

/// The gradients with each entry brought into [−`max_value`, `max_value`], except what is not finite, which becomes NaN.
///
/// # Errors
/// When an operation fails.
pub fn by_value(gradients: &[Option<Tensor>], max_value: f64) -> Result<Vec<Option<Tensor>>> {
    // A gradient that is not finite is to be seen as such: 0 times it is NaN.
    let clip = |g: &Tensor| g.clamp(-max_value, max_value)? + (g * 0.0)?;
    let clip = |gradient: &Option<Tensor>| gradient.as_ref().map(clip).transpose();
    Ok(gradients.iter().map(clip).collect::<candle_core::Result<_>>()?)
}
