//! Cross-entropy of logits and target indices, fused: no table of probabilities is kept.
//!
//! On the CPU a wrong target is an error; on other devices nothing is read on the host, and it makes the loss NaN.

mod cpu;
mod cuda;
mod reference;
#[cfg(test)]
mod tests;

use crate::backend::{Backend, Op};
use crate::node::with_optional;
use candle_core::{DType, Result, Tensor, bail};

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
    pub ignore_index: Option<i64>,
    /// The part of the target's probability that is spread evenly over all V classes, in \[0, 1\] (Szegedy et al. 2016).
    pub label_smoothing: f64,
    /// How the losses become one.
    pub reduction: Reduction,
}

/// The cross-entropy of logits, as torch.nn.functional.cross_entropy has it.
///
/// loss_i = mask_i · (−(1 − s)·log p_i\[target_i\] − s/V · Σ_v log p_i\[v\]) with p_i = softmax(logits_i) and the smoothing s.
///
/// Shapes: `logits` (.., V), `targets` (..) of u32 or i64, `mask` (..); the result is a scalar, or (..) with [`Reduction::None`].
/// It has the type of the logits; the gradient flows to them alone. A mean over no target at all is NaN, as in PyTorch.
///
/// # Errors
/// When shapes or devices do not fit, V is 0, the smoothing is outside \[0, 1\], or on the CPU a counted target is not below V; on other
/// devices that makes its loss NaN.
pub fn cross_entropy(
    logits: &Tensor,
    targets: &Tensor,
    options: &CrossEntropy,
    mask: Option<&Tensor>,
) -> Result<Tensor> {
    let rows = Targets::new(logits, targets, options, mask)?;
    if let Some(gpu) = Backend::gpu(Op::CrossEntropy, &[logits]) {
        return cuda::cross_entropy(gpu, logits, rows);
    }
    match Backend::choose(Op::CrossEntropy, &[logits]) {
        Backend::Cpu => cpu::cross_entropy(logits, rows),
        Backend::Reference => reference::cross_entropy(logits, rows),
    }
}

/// The checked targets of one call, M of them.
struct Targets {
    /// V.
    classes: usize,
    /// (M) of i64.
    targets: Tensor,
    /// (M).
    mask: Option<Tensor>,
    ignore: Option<i64>,
    smoothing: f64,
    reduction: Reduction,
    /// The shape of the result: none for a scalar.
    shape: Vec<usize>,
}

impl Targets {
    fn new(logits: &Tensor, targets: &Tensor, options: &CrossEntropy, mask: Option<&Tensor>) -> Result<Self> {
        let Some((&classes, shape)) = logits.dims().split_last().filter(|(classes, _)| **classes > 0) else {
            bail!("cross_entropy: wants logits (.., V) with V of at least 1, got {:?}", logits.dims());
        };
        check("targets", targets, logits, shape)?;
        mask.map_or(Ok(()), |mask| check("mask", mask, logits, shape))?;
        let CrossEntropy { ignore_index: ignore, label_smoothing: smoothing, reduction } = *options;
        if !(0.0..=1.0).contains(&smoothing) {
            bail!("cross_entropy: wants a label_smoothing between 0 and 1, got {smoothing}");
        }
        if ![DType::U32, DType::I64].contains(&targets.dtype()) {
            bail!("cross_entropy: wants targets of u32 or i64, got {:?}", targets.dtype());
        }
        let targets = targets.flatten_all()?.to_dtype(DType::I64)?;
        let mask = mask.map(|mask| mask.detach().flatten_all()).transpose()?;
        let shape = if reduction == Reduction::None { shape.to_vec() } else { vec![] };
        let all = Self { classes, targets, mask, ignore, smoothing, reduction, shape };
        all.check_classes()?;
        Ok(all)
    }

    /// An error where a counted target is no class; on other devices than the CPU nothing is read.
    fn check_classes(&self) -> Result<()> {
        let targets = Some(&self.targets).filter(|targets| targets.device().is_cpu());
        let classes = 0..self.classes as i64;
        let is_wrong = |&(_, target): &(usize, i64)| self.counts(target) && !classes.contains(&target);
        let wrong = with_optional("cross_entropy", targets, |targets| {
            targets.unwrap_or_default().iter().copied().enumerate().find(is_wrong)
        })?;
        let Some((i, target)) = wrong else { return Ok(()) };
        bail!("cross_entropy: target {target} of row {i} is not below the number of classes {}", self.classes)
    }

    fn counts(&self, target: i64) -> bool {
        Some(target) != self.ignore
    }

    fn reduced(&self) -> bool {
        self.reduction != Reduction::None
    }

    /// What a sum begins with: NaN for a mean over no rows.
    fn start(&self) -> f64 {
        if self.reduction == Reduction::Mean && self.targets.elem_count() == 0 { f64::NAN } else { 0.0 }
    }
}

/// An error unless a tensor has the shape that the logits want and their device.
fn check(name: &str, tensor: &Tensor, logits: &Tensor, shape: &[usize]) -> Result<()> {
    if tensor.dims() != shape {
        bail!("cross_entropy: logits {:?} want {name} of shape {shape:?}, got {:?}", logits.dims(), tensor.dims());
    }
    if !tensor.device().same_device(logits.device()) {
        let (wanted, found) = (logits.device().location(), tensor.device().location());
        bail!("cross_entropy: logits on {wanted:?} want {name} there too, got them on {found:?}");
    }
    Ok(())
}
