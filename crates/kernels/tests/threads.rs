//! Work on the pool's threads.
#![allow(clippy::unwrap_used)]

use candle_core::{Device, Var};
use candlewick_kernels::node::backward;

/// On two MiB of stack, as threads have by themselves, the backward pass would end the program.
#[test]
fn graphs_may_be_deep() {
    let x = Var::new(1f32, &Device::Cpu).unwrap();
    let sum = (0..30_000).try_fold(x.as_tensor().clone(), |sum, _| sum + 1.0).unwrap();
    let gradient = backward(&sum).unwrap().get(&x).unwrap().to_scalar::<f32>().unwrap();
    assert_eq!(gradient, 1.0);
    // Dropped here it would go as deep.
    std::mem::forget(sum);
}
