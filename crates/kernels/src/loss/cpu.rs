//! Cross-entropy of f32 logits on the CPU: rows are shared out among rayon's threads, and two values a row are kept, from which
//! the gradient's softmax is made again.

use super::Targets;
use crate::cpu::reduce::sum1;
use crate::cpu::simd_math::{exp, vectorised};
use crate::node::{Call, Operation, Value, apply_one, with_f32};
use crate::softmax::LogSumExp;
use candle_core::{Device, Result, Tensor};
use rayon::prelude::*;

/// [`super::cross_entropy`] of checked targets.
pub fn cross_entropy(logits: &Tensor, rows: Targets) -> Result<Tensor> {
    apply_one(Loss(rows), &[logits])
}

struct Loss(Targets);

impl Operation for Loss {
    const NAME: &'static str = "cross_entropy";
    /// Of each row.
    type Saved = Vec<LogSumExp>;

    fn forward(&self, inputs: &[Tensor], _: bool) -> Result<(Vec<Value>, Self::Saved)> {
        let rows = &self.0;
        let found: Vec<(f32, LogSumExp)> = with_f32(Self::NAME, &inputs[0], |logits| {
            logits.par_chunks(rows.classes).enumerate().map(|(i, logits)| rows.loss(i, logits)).collect()
        })?;
        let (losses, normalizers): (Vec<f32>, Self::Saved) = found.into_iter().unzip();
        let result = match rows.reduced {
            true => {
                let sum = losses.iter().fold(rows.start, |sum, &loss| sum + f64::from(loss));
                Tensor::new(sum as f32, &Device::Cpu)?
            }
            false => Tensor::from_vec(losses, &rows.shape[..], &Device::Cpu)?,
        };
        Ok((vec![result.into()], normalizers))
    }

    fn backward(&self, call: &Call<Self::Saved>, gradients: &[Tensor]) -> Result<Vec<Option<Tensor>>> {
        let rows = &self.0;
        let outer = with_f32(Self::NAME, &gradients[0], <[f32]>::to_vec)?;
        let mut found = vec![0f32; call.inputs[0].elem_count()];
        with_f32(Self::NAME, &call.inputs[0], |logits| {
            let chunks = found.par_chunks_mut(rows.classes).zip(logits.par_chunks(rows.classes)).enumerate();
            chunks.for_each(|(i, (found, logits))| {
                let outer = if rows.reduced { outer[0] } else { outer[i] };
                rows.gradient(i, logits, call.saved[i], outer, found);
            });
        })?;
        call.gradients([Some(found)])
    }
}

impl Targets {
    /// The weighted loss of one row, and what its gradient needs.
    fn loss(&self, i: usize, logits: &[f32]) -> (f32, LogSumExp) {
        let weight = self.weights[i] as f32;
        if weight == 0.0 {
            return (0.0, LogSumExp::default());
        }
        let normaliser = LogSumExp::of(logits);
        let LogSumExp { largest, log_sum } = normaliser;
        let mut loss = log_sum + (largest - logits[self.targets[i] as usize]);
        if self.smoothing > 0.0 {
            let soft = log_sum - sum1(logits, |x| x - largest) / self.classes as f32;
            loss = (1.0 - self.smoothing) as f32 * loss + self.smoothing as f32 * soft;
        }
        (weight * loss, normaliser)
    }

    /// weight · (softmax − (1 − s)·one-hot − s/V), times the gradient of the row's loss.
    fn gradient(&self, i: usize, logits: &[f32], normaliser: LogSumExp, outer: f32, found: &mut [f32]) {
        let weight = self.weights[i] as f32;
        if weight == 0.0 {
            return;
        }
        let scale = weight * outer;
        let even = (self.smoothing / self.classes as f64) as f32;
        soft_gradient(logits, normaliser, even, scale, found);
        found[self.targets[i] as usize] -= scale * (1.0 - self.smoothing) as f32;
    }
}

vectorised! {
    /// scale · (softmax − even).
    fn soft_gradient(logits: &[f32], normaliser: LogSumExp, even: f32, scale: f32, found: &mut [f32]) {
        let LogSumExp { largest, log_sum } = normaliser;
        for (found, x) in found.iter_mut().zip(logits) {
            *found = scale * (exp::<FUSED>(x - largest - log_sum) - even);
        }
    }
}
