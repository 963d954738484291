//! Counts multiply-adds and activations while a network runs.

use candle_core::Device;
use candlewick_kernels::thread_pool;
use std::cell::Cell;

/// What one image costs a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cost {
    /// Multiplications with an addition, in convolutions, fully connected layers and attention's products.
    pub multiply_adds: u64,
    /// The output values of these layers, which training keeps for the backward pass (Radosavovic et al. 2020, "Designing network
    /// design spaces").
    pub activations: u64,
}

thread_local! {
    /// What was counted so far; `None` while nothing is to be counted.
    pub(crate) static COUNTED: Cell<Option<Cost>> = const { Cell::new(None) };
}

/// Counts a layer with so many output values, each a sum of so many products.
pub(crate) fn count(outputs: usize, terms: usize) {
    COUNTED.with(|counted| {
        if let Some(cost) = counted.get() {
            let multiply_adds = cost.multiply_adds + (outputs * terms) as u64;
            counted.set(Some(Cost { multiply_adds, activations: cost.activations + outputs as u64 }));
        }
    });
}

/// Runs a network's pass, on the thread pool where the device is the CPU, and counts it for the calling thread.
pub(crate) fn pass<R: Send>(device: &Device, work: impl FnOnce() -> R + Send) -> R {
    let counted = COUNTED.take();
    let (result, counted) = thread_pool::install(device, || {
        let outer = COUNTED.replace(counted);
        (work(), COUNTED.replace(outer))
    });
    COUNTED.set(counted);
    result
}
