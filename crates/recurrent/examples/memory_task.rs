//! Cells by name on the task that shows who remembers: the first of a row of numbers is asked for at the end of it.
//!
//! `cargo run --release -p candlewick-recurrent --example memory_task`

#![allow(clippy::print_stdout)]

use candle_core::{Device, Module, Result, Tensor};
use candlewick_kernels::node::backward;
use candlewick_parameters::{Mode, Parameters, Rng};
use candlewick_recurrent::{Linear, Settings, sequence_layer};

const STEPS: usize = 10;

/// 32 rows of numbers (N, T, 1), and the first of each (N, 1).
fn batch(index: u64) -> Result<(Tensor, Tensor)> {
    let xs = Rng::derive(1, "rows", index).normal_tensor(0.0, 1.0, (32, STEPS, 1), &Device::Cpu)?;
    let first = xs.narrow(1, 0, 1)?.squeeze(1)?;
    Ok((xs, first))
}

fn main() -> Result<()> {
    for cell in ["rnn", "lstm", "gru"] {
        let parameters = Parameters::new(1);
        let vb = parameters.builder(&Device::Cpu);
        let layer = sequence_layer(cell, 1, 16, &Settings::default(), vb.pp("layer"))?;
        let head = Linear::new(layer.output_size(), 1, vb.pp("head"))?;
        let mut error = f32::NAN;
        for index in 0..3000 {
            let (xs, first) = batch(index)?;
            let (ys, _) = layer.forward(&xs, None, None, &mut Mode::Eval)?;
            let found = head.forward(&ys.narrow(1, STEPS - 1, 1)?.squeeze(1)?.contiguous()?)?;
            let loss = (found - first)?.sqr()?.mean_all()?;
            let gradients = backward(&loss)?;
            for (_, var) in parameters.trainable() {
                if let Some(gradient) = gradients.get(var.as_tensor()) {
                    // Each gradient is scaled to at most 1, as the lecture does against explosion.
                    let norm = gradient.sqr()?.sum_all()?.to_vec0::<f32>()?.sqrt().max(1.0);
                    var.set(&(var.as_tensor() - (gradient * (0.3 / f64::from(norm)))?)?)?;
                }
            }
            error = loss.to_vec0()?;
        }
        println!("{cell:<8} squared error after 3,000 steps: {error:.3} (1 is no better than guessing the mean)");
    }
    Ok(())
}
