//! Steps of optimisers over all parameters at once, and the norm of all gradients.
//!
//! Parameters, their state and their moving averages are changed in place where they are f32: on the CPU in one pass over each, on CUDA in
//! one launch over all of them, with two before it for norm and clipping.

mod cpu;
mod cuda;
mod reference;
mod rule;
pub(crate) mod slices;
#[cfg(test)]
mod tests;

pub use rule::Rule;
pub use slices::is_finite;

use crate::backend::{Backend, Op};
use crate::cuda::{Gpu, Half};
use candle_core::{DType, Result, Tensor, Var};

/// One parameter at one step.
pub struct Update<'a> {
    /// p.
    pub parameter: &'a Var,
    /// g; without one only the average moves.
    pub gradient: Option<&'a Tensor>,
    /// The tensors that [`Rule::state_names`] names, in this order.
    pub state: &'a mut Vec<Tensor>,
    /// The moving average a of the parameter, and the share s by which it follows: a ← a + s (p − a).
    pub average: Option<(&'a mut Tensor, f64)>,
    /// η.
    pub learning_rate: f64,
    /// t.
    pub step: usize,
}

impl Update<'_> {
    /// All tensors that the step reads or changes.
    fn tensors(&self) -> Vec<&Tensor> {
        let average = self.average.as_ref().map(|(average, _)| &**average);
        [self.parameter.as_tensor()].into_iter().chain(self.gradient).chain(self.state.iter()).chain(average).collect()
    }
}

/// What a step looks at before it changes anything.
#[derive(Clone, Copy)]
pub struct Checks<'a> {
    /// Losses, a value each, which must be finite.
    pub losses: &'a [Tensor],
    /// Other values that are told with them.
    pub parts: &'a [Tensor],
    /// What the gradients' norm is brought down to, by [`norm_scale`].
    pub max_norm: Option<f64>,
    /// S: the gradients are those of S times the loss, and count divided by it.
    pub loss_scale: f64,
}

impl Default for Checks<'_> {
    fn default() -> Self {
        Self { losses: &[], parts: &[], max_norm: None, loss_scale: 1.0 }
    }
}

/// What a step saw.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// The norm of all gradients together, before clipping.
    pub norm: f64,
    /// The losses and then the parts.
    pub numbers: Vec<f64>,
}

/// What a step saw, or how to wait for it.
pub enum Outcome {
    /// It is known.
    Seen(Seen),
    /// The device has yet to compute it. Whoever calls this waits; what was queued since goes on.
    Later(Box<dyn FnOnce() -> Result<Seen> + Send>),
}

impl Outcome {
    /// What the step saw, for which this waits.
    ///
    /// # Errors
    /// When the device fails.
    pub fn wait(self) -> Result<Seen> {
        match self {
            Self::Seen(seen) => Ok(seen),
            Self::Later(wait) => wait(),
        }
    }
}

/// Whether [`checked_step`] over such parameters tells what it saw only later, so that to read a loss before it would wait for the device.
pub fn tells_later(parameters: &[&Tensor]) -> bool {
    Backend::gpu(Op::OptimizerStep, parameters).is_some()
}

/// Whether products that these parameters are in round small gradients to 0, as f16 does on CUDA, unless the loss that is gone back through is
/// scaled.
pub fn wants_loss_scale(parameters: &[&Tensor]) -> bool {
    Backend::gpu(Op::OptimizerStep, parameters).is_some_and(|gpu| gpu.half() == Some(Half::F16))
}

/// Takes one step, with each gradient times `scale`.
///
/// # Errors
/// When a gradient, a state or an average has another shape than its parameter, or the device fails.
pub fn step(rule: Rule, updates: &mut [Update], scale: f64) -> Result<()> {
    check(rule, updates)?;
    if let Some(gpu) = gpu(updates) {
        return cuda::step(gpu, rule, updates, scale);
    }
    for update in updates {
        match Backend::choose(Op::OptimizerStep, &update.tensors()) {
            Backend::Cpu => cpu::update(rule, update, scale)?,
            Backend::Reference => reference::update(rule, update, scale)?,
        }
    }
    Ok(())
}

/// Takes one step with the gradients clipped by their common norm, unless the norm or a loss is not finite: then nothing changes.
///
/// On CUDA the norm, the factor and the decision stay on the device, and the host need not wait for them.
///
/// # Errors
/// As [`step`].
pub fn checked_step(rule: Rule, updates: &mut [Update], checks: &Checks) -> Result<Outcome> {
    check(rule, updates)?;
    if let Some(gpu) = gpu(updates) {
        return cuda::checked_step(gpu, rule, updates, checks);
    }
    let number = |tensor: &Tensor| tensor.to_dtype(DType::F32)?.to_vec0::<f32>().map(f64::from);
    let numbers = checks.losses.iter().chain(checks.parts).map(number).collect::<Result<Vec<_>>>()?;
    let scaled = global_norm(&updates.iter().filter_map(|update| update.gradient).collect::<Vec<_>>())?;
    let norm = scaled / checks.loss_scale;
    if norm.is_finite() && numbers[..checks.losses.len()].iter().all(|loss| loss.is_finite()) {
        step(rule, updates, checks.max_norm.map_or(1.0, |limit| norm_scale(norm, limit)) / checks.loss_scale)?;
    }
    Ok(Outcome::Seen(Seen { norm, numbers }))
}

fn check(rule: Rule, updates: &[Update]) -> Result<()> {
    for update in updates {
        let wanted = if update.gradient.is_some() { rule.state_names().len() } else { 0 };
        if update.gradient.is_some() && update.state.len() != wanted {
            candle_core::bail!("optimizer: {} tensors of state instead of {wanted}", update.state.len())
        }
        let mut changed =
            update.tensors().into_iter().filter(|tensor| update.gradient.is_none_or(|g| g.id() != tensor.id()));
        if !changed.all(|tensor| tensor.is_contiguous()) {
            candle_core::bail!("optimizer: what is changed in place must be contiguous")
        }
        if let Some(other) = update.tensors().into_iter().find(|tensor| tensor.shape() != update.parameter.shape()) {
            candle_core::bail!("optimizer: a tensor {:?} for a parameter {:?}", other.dims(), update.parameter.dims())
        }
    }
    Ok(())
}

fn gpu(updates: &[Update]) -> Option<&'static dyn Gpu> {
    Backend::gpu(Op::OptimizerStep, &updates.iter().flat_map(Update::tensors).collect::<Vec<_>>())
}

/// The factor that brings gradients of this norm down to `max_norm`: min(1, `max_norm` / (norm + 10⁻⁶)), as PyTorch's `clip_grad_norm_`
/// has it.
pub fn norm_scale(norm: f64, max_norm: f64) -> f64 {
    (max_norm / (norm + 1e-6)).min(1.0)
}

/// The norm of all gradients together: √(Σ g²).
///
/// On the CPU and on CUDA the sum is taken in f64 over pieces of a fixed size in a fixed order.
///
/// # Errors
/// When the device fails.
pub fn global_norm(gradients: &[&Tensor]) -> Result<f64> {
    if let Some(gpu) = Backend::gpu(Op::OptimizerStep, gradients) {
        return cuda::global_norm(gpu, gradients);
    }
    let squares = gradients.iter().map(|gradient| match Backend::choose(Op::OptimizerStep, &[gradient]) {
        Backend::Cpu => cpu::sum_of_squares(gradient),
        Backend::Reference => reference::sum_of_squares(gradient),
    });
    Ok(squares.sum::<Result<f64>>()?.sqrt())
}
