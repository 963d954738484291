//! Gradients that bypass candle: from a node to the node or variable that its input came from.

use super::deferred::{DeferredMatmul, summed};
use crate::backend::{Backend, Op};
use crate::cpu::fill::{par_fill, push_each};
use crate::cpu::thread_pool::install;
use crate::node::with_f32s;
use candle_core::backprop::GradStore;
use candle_core::{Device, Result, Tensor, TensorId};
use rayon::prelude::*;
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gradients in transit: from consumers to the outputs of a node, or from a node to its bundles.
#[derive(Clone)]
pub(super) struct Slots(Arc<Mutex<Vec<Option<Tensor>>>>);

impl Slots {
    pub fn new(count: usize) -> Self {
        Self(Arc::new(Mutex::new(vec![None; count])))
    }

    /// Adds to what is there.
    pub fn add(&self, index: usize, gradient: &Tensor) -> Result<()> {
        let slot = &mut locked(&self.0)[index];
        *slot = Some(added(slot.take(), gradient)?);
        Ok(())
    }

    pub fn take(&self, index: usize) -> Option<Tensor> {
        locked(&self.0)[index].take()
    }
}

/// Where a tensor came from: an output of a node.
#[derive(Clone)]
pub(super) struct Origin {
    /// The node's own element, through which candle finds it.
    pub node: Tensor,
    /// The gradients of the node's outputs.
    pub gradients: Slots,
    /// Which of them the tensor is.
    pub index: usize,
}

/// The outputs of all nodes that are alive.
static ORIGINS: LazyLock<Mutex<HashMap<TensorId, Origin>>> = LazyLock::new(Mutex::default);

impl Origin {
    pub fn of(tensor: &Tensor) -> Option<Self> {
        locked(&ORIGINS).get(&tensor.id()).cloned()
    }

    #[cfg(test)]
    pub fn knows(id: TensorId) -> bool {
        locked(&ORIGINS).contains_key(&id)
    }

    pub fn register(self, output: &Tensor) {
        locked(&ORIGINS).insert(output.id(), self);
    }

    pub fn forget(output: TensorId) {
        let origin = locked(&ORIGINS).remove(&output);
        // Dropped once the map is free again: the last of a graph takes the nodes before it along.
        drop(origin);
    }
}

thread_local! {
    /// The variables that are collected on this thread.
    static VARIABLES: RefCell<HashMap<TensorId, GradientSum>> = RefCell::default();
}

/// A variable's gradient on its way.
#[derive(Default)]
struct GradientSum {
    value: Option<Tensor>,
    /// What is to be added to it.
    deferred: Vec<DeferredMatmul>,
}

impl GradientSum {
    /// All of it, and what else there is.
    fn summed(self, mut sum: Option<Tensor>) -> Result<Option<Tensor>> {
        let matmul = if self.deferred.is_empty() { None } else { Some(summed(&self.deferred)?) };
        for gradient in self.value.iter().chain(&matmul) {
            sum = Some(added(sum, gradient)?);
        }
        Ok(sum)
    }
}

/// Adds to the gradient of a variable; false where nobody collects it.
pub(super) fn collect(variable: TensorId, gradient: &Tensor) -> Result<bool> {
    let take = |sum: &mut GradientSum| sum.value.take();
    let Some(sum) = VARIABLES.with_borrow_mut(|variables| variables.get_mut(&variable).map(take)) else {
        return Ok(false);
    };
    // Not within the borrow: while it waits for others, one of rayon's threads may take up another backward pass.
    let sum = added(sum, gradient)?;
    VARIABLES.with_borrow_mut(|variables| variables.entry(variable).or_default().value = Some(sum));
    Ok(true)
}

/// Adds a deferred product to the gradient of a variable; false where nobody collects it.
pub(super) fn collect_deferred(variable: TensorId, matmul: &DeferredMatmul) -> bool {
    let push = |sum: &mut GradientSum| sum.deferred.push(matmul.clone());
    VARIABLES.with_borrow_mut(|variables| variables.get_mut(&variable).map(push)).is_some()
}

/// What [`Tensor::backward`] gives, in less time: the gradients that this crate's operations have for variables are not added to
/// zeros, and those of a weight that many steps share are one product.
///
/// # Errors
/// As [`Tensor::backward`].
pub fn backward(loss: &Tensor) -> Result<GradStore> {
    install(loss.device(), || gradients(loss))
}

fn gradients(loss: &Tensor) -> Result<GradStore> {
    let mut sums = HashMap::new();
    let mut store = collecting(&mut sums, loss)?;
    for (variable, sum) in sums {
        if let Some(gradient) = sum.summed(store.get_id(variable).cloned())? {
            store.insert_id(variable, gradient);
        }
    }
    Ok(store)
}

/// candle's backward pass, during which this crate's operations add to the sums of variables.
fn collecting(sums: &mut HashMap<TensorId, GradientSum>, loss: &Tensor) -> Result<GradStore> {
    for variable in loss.sorted_nodes().into_iter().filter(|node| node.is_variable()) {
        sums.entry(variable.id()).or_default();
    }
    let outer = VARIABLES.replace(std::mem::take(sums));
    let store = loss.backward();
    *sums = VARIABLES.replace(outer);
    store
}

/// Gradients of variables, summed over several backward passes.
#[derive(Default)]
pub struct Gradients(HashMap<TensorId, GradientSum>);

impl Gradients {
    /// Adds the gradients of a loss for the variables that it depends on.
    ///
    /// # Errors
    /// As [`Tensor::backward`].
    pub fn backward(&mut self, loss: &Tensor) -> Result<()> {
        let store = install(loss.device(), || collecting(&mut self.0, loss))?;
        for (&variable, sum) in &mut self.0 {
            if let Some(gradient) = store.get_id(variable) {
                // candle's gradients carry the graph that made them, through which another pass would count twice.
                sum.value = Some(added(sum.value.take(), &gradient.detach())?);
            }
        }
        Ok(())
    }

    /// The gradient of a variable, which is forgotten here; nothing where no loss depended on it.
    ///
    /// # Errors
    /// When the device fails.
    pub fn take(&mut self, variable: &Tensor) -> Result<Option<Tensor>> {
        self.0.remove(&variable.id()).map_or(Ok(None), |sum| sum.summed(None))
    }
}

fn added(sum: Option<Tensor>, gradient: &Tensor) -> Result<Tensor> {
    /// Values of a task.
    const CHUNK: usize = 1 << 15;
    let Some(sum) = sum else { return gradient.contiguous() };
    if Backend::choose(Op::SumGradients, &[&sum, gradient]) == Backend::Reference || sum.dims() != gradient.dims() {
        return sum + gradient;
    }
    let values = with_f32s("backward", [&sum, gradient], |[sum, gradient]| {
        let chunks = sum.par_chunks(CHUNK).zip(gradient.par_chunks(CHUNK));
        par_fill(sum.len(), CHUNK, chunks, |(a, b), into| {
            let b = &b[..a.len()];
            push_each!(into, a.len(), |i| a[i] + b[i]);
        })
    })?;
    Tensor::from_vec(values, gradient.shape(), &Device::Cpu)
}
