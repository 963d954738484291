//! Cross-entropy in candle's tensor operations, without a read on the host: any type, any device. Half precision is widened to f32
//! inside.

use super::{Reduction, Targets};
use crate::precision::wide;
use crate::softmax::log_softmax;
use candle_core::{DType, Result, Tensor};

/// [`super::cross_entropy`] of checked targets.
pub fn cross_entropy(logits: &Tensor, targets: Targets) -> Result<Tensor> {
    let count = targets.targets.elem_count();
    let widened = wide(logits)?.reshape((count, targets.classes))?;
    let Rows { classes, mut weights } = Rows::new(&targets, widened.dtype())?;
    let log_p = log_softmax(&where_counted(&widened, &targets, &weights)?, 1)?;
    if targets.reduction == Reduction::Mean {
        weights = weights.broadcast_div(&weights.sum_all()?)?;
    }
    let mut losses = (log_p.gather(&classes.unsqueeze(1)?, 1)?.squeeze(1)? * (targets.smoothing - 1.0))?;
    // An impossible class has a log p of −∞, which times 0 would be NaN.
    if targets.smoothing > 0.0 {
        losses = (losses + (log_p.sum(1)? * (-targets.smoothing / targets.classes as f64))?)?;
    }
    let losses = (losses * weights)?;
    let loss = match targets.reduced() {
        true => (losses.sum_all()? + targets.start())?,
        false => losses.reshape(&targets.shape[..])?,
    };
    loss.to_dtype(logits.dtype())
}

/// The class of each row and what its loss is multiplied with.
struct Rows {
    /// (M) of i64, from 0 to V − 1.
    classes: Tensor,
    /// (M): 0 where a target does not count, NaN where it is no class.
    weights: Tensor,
}

impl Rows {
    fn new(of: &Targets, dtype: DType) -> Result<Self> {
        let targets = &of.targets;
        let all = |value: i64| Tensor::full(value, (), targets.device())?.broadcast_as(targets.shape());
        let classes = targets.maximum(&all(0)?)?.minimum(&all(of.classes as i64 - 1)?)?;
        let weights = match &of.mask {
            Some(mask) => mask.to_dtype(dtype)?,
            None => Tensor::ones(targets.shape(), dtype, targets.device())?,
        };
        let zeros = weights.zeros_like()?;
        let mut weights = classes.eq(targets)?.where_cond(&weights, &(&zeros + f64::NAN)?)?;
        if let Some(ignored) = of.ignore {
            weights = targets.ne(&all(ignored)?)?.where_cond(&weights, &zeros)?;
        }
        Ok(Self { classes, weights })
    }
}

/// The logits with zeros in the rows that do not count, in which they may be NaN.
fn where_counted(logits: &Tensor, targets: &Targets, weights: &Tensor) -> Result<Tensor> {
    if targets.mask.is_none() && targets.ignore.is_none() {
        return Ok(logits.clone());
    }
    let counted = weights.ne(&weights.zeros_like()?)?.unsqueeze(1)?;
    counted.broadcast_as(logits.shape())?.where_cond(logits, &logits.zeros_like()?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::test_values::test_values;
    use candle_core::{Device, Var};

    /// On other devices than the CPU nobody looks at the targets before.
    #[test]
    fn the_loss_of_a_target_that_is_no_class_is_nan_and_others_are_as_on_the_cpu() {
        let logits = Var::from_vec(test_values(1, 20), (4, 5), &Device::Cpu).unwrap();
        for reduction in [Reduction::None, Reduction::Sum, Reduction::Mean] {
            let targets = |classes: [i64; 4]| Targets {
                classes: 5,
                targets: Tensor::new(&classes, &Device::Cpu).unwrap(),
                mask: None,
                ignore: Some(-100),
                smoothing: 0.1,
                reduction,
                shape: if reduction == Reduction::None { vec![4] } else { vec![] },
            };
            let values = |loss: Tensor| loss.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let found = values(cross_entropy(&logits, targets([4, 5, -1, -100])).unwrap());
            let wanted = values(super::super::cpu::cross_entropy(&logits, targets([4, 0, 0, -100])).unwrap());
            if reduction == Reduction::None {
                assert!((found[0] - wanted[0]).abs() < 1e-6 && found[3] == 0.0, "{found:?} {wanted:?}");
                assert!(found[1].is_nan() && found[2].is_nan(), "{found:?}");
            } else {
                assert!(found[0].is_nan());
            }
            let found = values(cross_entropy(&logits, targets([4, 0, 0, -100])).unwrap());
            found.iter().zip(&wanted).for_each(|(found, wanted)| assert!((found - wanted).abs() < 1e-6));
        }
    }
}
