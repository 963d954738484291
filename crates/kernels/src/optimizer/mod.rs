//! Steps of optimisers over all parameters at once, and the norm of all gradients.
//!
//! Parameters, their state and their moving averages are changed in place where they are f32: on the CPU in one pass over each, on CUDA in
//! one launch over all of them.

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
use candle_core::{Result, Tensor, Var};

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

/// Takes one step, with each gradient times `scale`.
///
/// # Errors
/// When a gradient, a state or an average has another shape than its parameter, or the device fails.
pub fn step(rule: Rule, updates: &mut [Update], scale: f64) -> Result<()> {
    for update in updates.iter() {
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
    let all: Vec<&Tensor> = updates.iter().flat_map(Update::tensors).collect();
    if let Some(gpu) = Backend::gpu(Op::OptimizerStep, &all) {
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
