//! How a gradient gets from a node to where its input came from without candle in between.

use crate::node::{on_cpu_f32, with_all_f32};
use crate::team::{Shared, filled};
use candle_core::backprop::GradStore;
use candle_core::{Device, Result, Tensor, TensorId};
use rayon::prelude::*;
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gradients on their way: from consumers to the outputs of a node, or from a node to its bundles.
#[derive(Clone)]
pub(super) struct Slots(Arc<Mutex<Vec<Option<Tensor>>>>);

impl Slots {
    pub fn new(count: usize) -> Self {
        Self(Arc::new(Mutex::new(vec![None; count])))
    }

    /// Adds to what is there.
    pub fn add(&self, index: usize, gradient: &Tensor) -> Result<()> {
        let slot = &mut locked(&self.0)[index];
        *slot = Some(joined(slot.take(), gradient)?);
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
    /// Where the node looks for the gradients of its outputs.
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
    /// The variables that [`backward`] collects gradients for on this thread.
    static VARIABLES: RefCell<HashMap<TensorId, Option<Tensor>>> = RefCell::default();
}

/// Adds to the gradient of a variable; false where nobody collects it.
pub(super) fn collect(variable: TensorId, gradient: &Tensor) -> Result<bool> {
    let Some(sum) = VARIABLES.with_borrow_mut(|variables| variables.get_mut(&variable).map(Option::take)) else {
        return Ok(false);
    };
    // Not within the borrow: while it waits for others, one of rayon's threads may take up another backward pass.
    let sum = joined(sum, gradient)?;
    VARIABLES.with_borrow_mut(|variables| variables.insert(variable, Some(sum)));
    Ok(true)
}

/// What [`Tensor::backward`] gives, in less time: the gradients that this crate's operations have for variables are not added to zeros.
///
/// # Errors
/// As [`Tensor::backward`].
pub fn backward(loss: &Tensor) -> Result<GradStore> {
    let variables = loss.sorted_nodes().into_iter().filter(|node| node.is_variable());
    let outer = VARIABLES.replace(variables.map(|variable| (variable.id(), None)).collect());
    let store = loss.backward();
    let collected = VARIABLES.replace(outer);
    let mut store = store?;
    for (variable, gradient) in collected {
        if let Some(gradient) = gradient {
            let gradient = joined(store.get_id(variable).cloned(), &gradient)?;
            store.insert_id(variable, gradient);
        }
    }
    Ok(store)
}

fn joined(sum: Option<Tensor>, gradient: &Tensor) -> Result<Tensor> {
    /// Values of a task.
    const CHUNK: usize = 1 << 15;
    let Some(sum) = sum else { return gradient.contiguous() };
    if !on_cpu_f32(&[&sum, gradient]) || sum.dims() != gradient.dims() {
        return sum + gradient;
    }
    let values = with_all_f32("backward", &[sum, gradient.clone()], |values| {
        let add = |into: &Shared| {
            values[0].par_chunks(CHUNK).zip(values[1].par_chunks(CHUNK)).enumerate().for_each(|(chunk, (a, b))| {
                // SAFETY: this chunk belongs to this task alone.
                let into = unsafe { into.write(chunk * CHUNK, a.len()) };
                into.iter_mut().zip(a).zip(b).for_each(|((into, a), b)| *into = a + b);
            });
        };
        // SAFETY: the chunks cover all values.
        unsafe { filled(values[0].len(), add) }
    })?;
    Tensor::from_vec(values, gradient.shape(), &Device::Cpu)
}
