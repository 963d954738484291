//! Cross-entropy composed of candle's tensor operations: any type, any device.

use super::Rows;
use crate::softmax::log_softmax;
use candle_core::{Result, Tensor};

pub(super) fn cross_entropy(logits: &Tensor, rows: &Rows) -> Result<Tensor> {
    let (count, device) = (rows.targets.len(), logits.device());
    let log_p = log_softmax(&logits.reshape((count, rows.classes))?, 1)?;
    let targets = Tensor::from_slice(&rows.targets, (count, 1), device)?;
    let weights = Tensor::from_slice(&rows.weights, count, device)?.to_dtype(logits.dtype())?;
    let hard = (log_p.gather(&targets, 1)?.squeeze(1)? * (rows.smoothing - 1.0))?;
    let soft = (log_p.sum(1)? * (-rows.smoothing / rows.classes as f64))?;
    let losses = ((hard + soft)? * weights)?;
    if rows.reduced { losses.sum_all() } else { losses.reshape(&rows.shape[..]) }
}
