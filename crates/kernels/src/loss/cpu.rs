//! Cross-entropy of f32 logits on the CPU: rows are shared out among rayon's threads, and two values a row are kept, from which
//! the gradient's softmax is made again.

use super::{Reduction, Targets};
use crate::cpu::reduce::sum1;
use crate::cpu::simd_math::{exp, vectorised};
use crate::node::{Call, Operation, Value, apply_one, with_f32, with_optional, with_slices};
use crate::softmax::LogSumExp;
use candle_core::{DType, Device, Result, Tensor};
use rayon::prelude::*;

/// [`super::cross_entropy`] of checked targets.
pub fn cross_entropy(logits: &Tensor, mut targets: Targets) -> Result<Tensor> {
    targets.mask = targets.mask.map(|mask| mask.to_dtype(DType::F64)).transpose()?;
    apply_one(Loss(targets), &[logits])
}

struct Loss(Targets);

/// What the backward pass needs.
struct Saved {
    /// What each row's weight is divided by.
    divisor: f64,
    /// Of each row.
    normalisers: Vec<LogSumExp>,
}

impl Operation for Loss {
    const NAME: &'static str = "cross_entropy";
    type Saved = Saved;

    fn forward(&self, inputs: &[Tensor], _: bool) -> Result<(Vec<Value>, Saved)> {
        let (losses, saved): (Vec<f32>, Saved) = self.with_rows(|mut rows| {
            if self.0.reduction == Reduction::Mean {
                rows.divisor = (0..self.0.targets.elem_count()).map(|i| rows.weight(i)).sum();
            }
            let found = with_f32(Self::NAME, &inputs[0], |logits| {
                let each = logits.par_chunks(self.0.classes).enumerate();
                each.map(|(i, logits)| rows.loss(i, logits)).collect::<Vec<_>>()
            })?;
            let (losses, normalisers) = found.into_iter().unzip();
            Result::Ok((losses, Saved { divisor: rows.divisor, normalisers }))
        })??;
        let result = match self.0.reduced() {
            true => {
                let sum = losses.iter().fold(self.0.start(), |sum, &loss| sum + f64::from(loss));
                Tensor::new(sum as f32, &Device::Cpu)?
            }
            false => Tensor::from_vec(losses, &self.0.shape[..], &Device::Cpu)?,
        };
        Ok((vec![result.into()], saved))
    }

    fn backward(&self, call: &Call<Saved>, gradients: &[Tensor]) -> Result<Vec<Option<Tensor>>> {
        let (classes, reduced) = (self.0.classes, self.0.reduced());
        let outer = with_f32(Self::NAME, &gradients[0], <[f32]>::to_vec)?;
        let mut found = vec![0f32; call.inputs[0].elem_count()];
        self.with_rows(|rows| {
            let rows = Rows { divisor: call.saved.divisor, ..rows };
            with_f32(Self::NAME, &call.inputs[0], |logits| {
                let chunks = found.par_chunks_mut(classes).zip(logits.par_chunks(classes)).enumerate();
                chunks.for_each(|(i, (found, logits))| {
                    let outer = if reduced { outer[0] } else { outer[i] };
                    rows.gradient(i, logits, call.saved.normalisers[i], outer, found);
                });
            })
        })??;
        call.gradients([Some(found)])
    }
}

impl Loss {
    fn with_rows<R>(&self, f: impl FnOnce(Rows) -> R) -> Result<R> {
        let of = &self.0;
        with_slices(Self::NAME, [&of.targets], |targets| {
            with_optional(Self::NAME, of.mask.as_ref(), |mask| f(Rows { of, targets: targets[0], mask, divisor: 1.0 }))
        })?
    }
}

/// The targets as slices.
struct Rows<'a> {
    of: &'a Targets,
    targets: &'a [i64],
    mask: Option<&'a [f64]>,
    /// What each row's weight is divided by.
    divisor: f64,
}

impl Rows<'_> {
    /// What a row's loss is multiplied with.
    fn weight(&self, i: usize) -> f64 {
        let weight = if self.of.counts(self.targets[i]) { self.mask.map_or(1.0, |mask| mask[i]) } else { 0.0 };
        weight / self.divisor
    }

    /// The class of a row, 0 where it does not count.
    fn class(&self, i: usize) -> usize {
        if self.of.counts(self.targets[i]) { self.targets[i] as usize } else { 0 }
    }

    /// The weighted loss of one row, and what its gradient needs.
    fn loss(&self, i: usize, logits: &[f32]) -> (f32, LogSumExp) {
        let weight = self.weight(i) as f32;
        if weight == 0.0 {
            return (0.0, LogSumExp::default());
        }
        let normaliser = LogSumExp::of(logits);
        let LogSumExp { largest, log_sum } = normaliser;
        let mut loss = log_sum + (largest - logits[self.class(i)]);
        if self.of.smoothing > 0.0 {
            let soft = log_sum - sum1(logits, |x| x - largest) / self.of.classes as f32;
            loss = (1.0 - self.of.smoothing) as f32 * loss + self.of.smoothing as f32 * soft;
        }
        (weight * loss, normaliser)
    }

    /// weight · (softmax − (1 − s)·one-hot − s/V), times the gradient of the row's loss.
    fn gradient(&self, i: usize, logits: &[f32], normaliser: LogSumExp, outer: f32, found: &mut [f32]) {
        let weight = self.weight(i) as f32;
        if weight == 0.0 {
            return;
        }
        let scale = weight * outer;
        let even = (self.of.smoothing / self.of.classes as f64) as f32;
        soft_gradient(logits, normaliser, even, scale, found);
        found[self.class(i)] -= scale * (1.0 - self.of.smoothing) as f32;
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
