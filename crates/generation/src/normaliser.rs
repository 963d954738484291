//! The normaliser of a softmax over scores, log Σ exp.

use candle_core::{Result, bail};
use candlewick_kernels::softmax::log_sum_exp_of_rows;

/// log Σ exp of the scores; −∞ where all of them are.
///
/// # Errors
/// When a score is NaN or +∞.
pub fn log_sum_exp(scores: &[f32]) -> Result<f32> {
    Ok(log_sum_exps(scores, scores.len())?.first().copied().unwrap_or(f32::NEG_INFINITY))
}

/// The same of each row of `width` scores.
pub(crate) fn log_sum_exps(scores: &[f32], width: usize) -> Result<Vec<f32>> {
    let found = log_sum_exp_of_rows(scores, width);
    check_normalisers(&found)?;
    Ok(found)
}

/// Refuses normalisers of rows that hold no numbers.
pub(crate) fn check_normalisers(found: &[f32]) -> Result<()> {
    if found.iter().any(|&sum| !sum.is_finite() && sum != f32::NEG_INFINITY) {
        bail!("decoding: the decoder's logits hold NaN or +inf; its weights or its input are broken")
    }
    Ok(())
}
