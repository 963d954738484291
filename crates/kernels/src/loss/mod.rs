//! Cross-entropy of logits and target indices, fused: no table of probabilities is kept.
//!
//! Targets and mask are read on the host, so that a wrong target is an error and not a wrong memory access.

mod cpu;
mod reference;

use crate::backend::{Backend, Op};
use candle_core::{DType, Device, Result, Tensor, bail};

/// How the losses of all targets become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reduction {
    /// Their sum, divided by the sum of the mask over the counted targets (without a mask: by their number).
    #[default]
    Mean,
    /// Their sum.
    Sum,
    /// One loss a target, 0 where it is not counted.
    None,
}

/// What counts as a target and how hard it is.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct CrossEntropy {
    /// Targets of this value are not counted.
    pub ignore_index: Option<u32>,
    /// The part of the target's probability that is spread evenly over all V classes, in \[0, 1\] (Szegedy et al. 2016).
    pub label_smoothing: f64,
    /// How the losses become one.
    pub reduction: Reduction,
}

/// The cross-entropy of logits, as torch.nn.functional.cross_entropy has it.
///
/// loss_i = mask_i · (−(1 − s)·log p_i\[target_i\] − s/V · Σ_v log p_i\[v\]) with p_i = softmax(logits_i) and the smoothing s.
///
/// Shapes: `logits` (.., V), `targets` (..) of u32, `mask` (..); the result is a scalar, or (..) with [`Reduction::None`].
/// It has the type of the logits; the gradient flows to them alone. A mean over no target at all is NaN, as in PyTorch.
///
/// # Errors
/// When the shapes do not fit, V is 0, the smoothing is outside \[0, 1\], or a counted target is not below V.
pub fn cross_entropy(
    logits: &Tensor,
    targets: &Tensor,
    options: &CrossEntropy,
    mask: Option<&Tensor>,
) -> Result<Tensor> {
    let rows = Targets::new(logits, targets, options, mask)?;
    match Backend::choose(Op::CrossEntropy, &[logits]) {
        Backend::Cpu => cpu::cross_entropy(logits, rows),
        Backend::Reference => reference::cross_entropy(logits, rows),
    }
}

/// The checked targets of one call.
struct Targets {
    /// V.
    classes: usize,
    /// 0 where a target is not counted.
    targets: Vec<u32>,
    /// What each row's loss is multiplied with; a mean's divisor is in it.
    weights: Vec<f64>,
    /// What a sum begins with: NaN for a mean over no rows.
    start: f64,
    smoothing: f64,
    /// The shape of the result: none for a scalar.
    shape: Vec<usize>,
    reduced: bool,
}

impl Targets {
    fn new(logits: &Tensor, targets: &Tensor, options: &CrossEntropy, mask: Option<&Tensor>) -> Result<Self> {
        let Some((&classes, shape)) = logits.dims().split_last().filter(|(classes, _)| **classes > 0) else {
            bail!("cross_entropy: wants logits (.., V) with V of at least 1, got {:?}", logits.dims());
        };
        for (name, tensor) in [("targets", Some(targets)), ("mask", mask)] {
            if let Some(tensor) = tensor.filter(|tensor| tensor.dims() != shape) {
                bail!(
                    "cross_entropy: logits {:?} want {name} of shape {shape:?}, got {:?}",
                    logits.dims(),
                    tensor.dims()
                );
            }
        }
        let smoothing = options.label_smoothing;
        if !(0.0..=1.0).contains(&smoothing) {
            bail!("cross_entropy: wants a label_smoothing between 0 and 1, got {smoothing}");
        }
        if targets.dtype() != DType::U32 {
            bail!("cross_entropy: wants targets of u32, got {:?}", targets.dtype());
        }
        let mut targets = targets.flatten_all()?.to_vec1::<u32>()?;
        let mut weights = match mask {
            Some(mask) => mask.flatten_all()?.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.to_vec1::<f64>()?,
            None => vec![1.0; targets.len()],
        };
        for (i, (target, weight)) in targets.iter_mut().zip(&mut weights).enumerate() {
            if Some(*target) == options.ignore_index {
                (*target, *weight) = (0, 0.0);
            } else if *target as usize >= classes {
                bail!("cross_entropy: target {target} of row {i} is not below the number of classes {classes}");
            }
        }
        if options.reduction == Reduction::Mean {
            let total = weights.iter().sum::<f64>();
            weights.iter_mut().for_each(|weight| *weight /= total);
        }
        let start = if options.reduction == Reduction::Mean && weights.is_empty() { f64::NAN } else { 0.0 };
        let reduced = options.reduction != Reduction::None;
        let shape = if reduced { vec![] } else { shape.to_vec() };
        Ok(Self { classes, targets, weights, start, smoothing, shape, reduced })
    }
}
