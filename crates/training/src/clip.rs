//! Clipping of gradients by norm and by value.

use crate::Result;
use crate::optim::slices::{CHUNK, is_plain, with_slice};
use candle_core::{DType, Tensor};
use rayon::prelude::*;

/// The norm of all gradients together: √(Σ g²).
///
/// The sum is taken in f64 over pieces of a fixed size in a fixed order: it does not depend on the number of threads.
///
/// # Errors
/// When an operation fails.
pub fn global_norm(gradients: &[Option<Tensor>]) -> Result<f64> {
    let mut sum = 0.0;
    for gradient in gradients.iter().flatten() {
        sum += if is_plain(gradient) {
            with_slice(&gradient.contiguous()?, sum_of_squares)?
        } else {
            f64::from(gradient.to_dtype(DType::F32)?.sqr()?.sum_all()?.to_vec0::<f32>()?)
        };
    }
    Ok(sum.sqrt())
}

fn sum_of_squares(values: &[f32]) -> f64 {
    const LANES: usize = 8;
    let pieces: Vec<f64> = values
        .par_chunks(CHUNK)
        .map(|piece| {
            // Eight sums side by side keep the order fixed and leave the compiler room.
            let mut sums = [0f64; LANES];
            let (blocks, rest) = piece.as_chunks::<LANES>();
            for block in blocks {
                sums.iter_mut().zip(block).for_each(|(sum, &x)| *sum += f64::from(x) * f64::from(x));
            }
            sums.iter().sum::<f64>() + rest.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>()
        })
        .collect();
    pieces.iter().sum()
}

/// The factor that brings gradients of this norm down to `max_norm`: min(1, `max_norm` / (norm + 10⁻⁶)), as PyTorch's
/// `clip_grad_norm_` has it.
pub fn norm_scale(norm: f64, max_norm: f64) -> f64 {
    (max_norm / (norm + 1e-6)).min(1.0)
}

/// The gradients with each entry brought into [−`max_value`, `max_value`].
///
/// # Errors
/// When an operation fails.
pub fn by_value(gradients: &[Option<Tensor>], max_value: f64) -> Result<Vec<Option<Tensor>>> {
    let clip = |gradient: &Option<Tensor>| gradient.as_ref().map(|g| g.clamp(-max_value, max_value)).transpose();
    Ok(gradients.iter().map(clip).collect::<candle_core::Result<_>>()?)
}
