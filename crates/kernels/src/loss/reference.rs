//! Cross-entropy in candle's tensor operations: any type, any device. Half precision is widened to f32 inside.

use super::Targets;
use crate::precision::wide;
use crate::softmax::log_softmax;
use candle_core::{Device, Result, Tensor};

/// [`super::cross_entropy`] of checked targets.
pub fn cross_entropy(logits: &Tensor, rows: Targets) -> Result<Tensor> {
    let (count, device) = (rows.targets.len(), logits.device());
    let log_p = log_softmax(&counted(&wide(logits)?.reshape((count, rows.classes))?, &rows)?, 1)?;
    let targets = Tensor::from_slice(&rows.targets, (count, 1), device)?;
    // Metal has no f64.
    let weights = Tensor::from_slice(&rows.weights, count, &Device::Cpu)?.to_dtype(log_p.dtype())?.to_device(device)?;
    let mut losses = (log_p.gather(&targets, 1)?.squeeze(1)? * (rows.smoothing - 1.0))?;
    // An impossible class has a log p of −∞, which times 0 would be NaN.
    if rows.smoothing > 0.0 {
        losses = (losses + (log_p.sum(1)? * (-rows.smoothing / rows.classes as f64))?)?;
    }
    let losses = (losses * weights)?;
    let loss = if rows.reduced { (losses.sum_all()? + rows.start)? } else { losses.reshape(&rows.shape[..])? };
    loss.to_dtype(logits.dtype())
}

/// The logits with zeros in the rows that do not count.
fn counted(logits: &Tensor, rows: &Targets) -> Result<Tensor> {
    if !rows.weights.contains(&0.0) {
        return Ok(logits.clone());
    }
    let counts: Vec<u8> = rows.weights.iter().map(|&weight| u8::from(weight != 0.0)).collect();
    let counts = Tensor::from_vec(counts, (rows.weights.len(), 1), logits.device())?;
    counts.broadcast_as(logits.shape())?.where_cond(logits, &logits.zeros_like()?)
}
