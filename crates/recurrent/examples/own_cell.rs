//! A cell of one's own, known by its name like ours: the minimal gated unit.
//!
//! f = σ(W_f x + U_f h + b_f), g = tanh(W_g x + U_g (f ⊙ h) + b_g); h' = (1 − f) ⊙ h + f ⊙ g.
//!
//! Zhou et al. 2016, "Minimal gated unit for recurrent neural networks".
//!
//! `cargo run -p candlewick-recurrent --example own_cell`

#![allow(clippy::print_stdout)]

use candle_core::{D, DType, Device, Result, Tensor};
use candle_nn::ops::sigmoid;
use candlewick_parameters::{Mode, Parameters};
use candlewick_recurrent::cell::{dropped, state_of};
use candlewick_recurrent::cells::weights::{GateOptions, GateWeights};
use candlewick_recurrent::linear::project;
use candlewick_recurrent::{
    BuildCell, Cell, GruConfig, Settings, SuffixedBuilder, add_cell, gradient_flow, sequence_layer,
};

/// `weight_ih` (2H, D), `weight_hh` (2H, H) and their biases; f lies before g, and the state is h (N, H).
#[derive(Clone, Debug)]
struct Mgu(GateWeights);

impl BuildCell for Mgu {
    /// What can be chosen is what a GRU's user can choose; an own type serves as well.
    type Config = GruConfig;

    fn named(input_size: usize, hidden_size: usize, config: &GruConfig, vb: &SuffixedBuilder) -> Result<Self> {
        let options = GateOptions {
            gates: 2,
            input: input_size,
            hidden: hidden_size,
            output: hidden_size,
            bias: config.bias,
            orthogonal: config.orthogonal,
            forget: None,
        };
        Ok(Self(GateWeights::new(options, vb)?))
    }
}

impl Cell for Mgu {
    fn state_sizes(&self) -> Vec<usize> {
        vec![self.0.output_size()]
    }

    fn step(&self, x: &Tensor, state: &[Tensor]) -> Result<Vec<Tensor>> {
        self.step_projected(&self.project_input(x)?, state, None)
    }

    /// W x + b of f and g, for all steps at once.
    fn project_input(&self, xs: &Tensor) -> Result<Tensor> {
        project(xs, &self.0.weight_ih, self.0.bias()?.as_ref())
    }

    fn step_projected(&self, from_x: &Tensor, state: &[Tensor], mask: Option<&Tensor>) -> Result<Vec<Tensor>> {
        let [h] = state_of("mgu", state)?;
        let (x, u) = (from_x.chunk(2, D::Minus1)?, self.0.weight_hh.chunk(2, 0)?);
        // The matrices read what recurrent dropout left of h; what is carried past them stays whole.
        let read = dropped(h, mask)?;
        let f = sigmoid(&(&x[0] + project(&read, &u[0], None)?)?)?;
        let g = (&x[1] + project(&(&f * read)?, &u[1], None)?)?.tanh()?;
        Ok(vec![((f.affine(-1.0, 1.0)? * h)? + (f * g)?)?])
    }

    fn parameters_mut(&mut self) -> Vec<&mut Tensor> {
        self.0.parameters_mut()
    }

    fn recurrent_weights(&self) -> Vec<usize> {
        vec![GateWeights::WEIGHT_HH]
    }
}

fn main() -> Result<()> {
    add_cell::<Mgu>("mgu")?;
    let parameters = Parameters::new(1);
    let settings = Settings::default().with("num_layers", 2).with("bidirectional", true).with("recurrent_dropout", 0.2);
    let layer = sequence_layer("mgu", 8, 16, &settings, parameters.builder(&Device::Cpu))?;
    let xs = Tensor::ones((4, 10, 8), DType::F32, &Device::Cpu)?;
    let (ys, _) = layer.forward(&xs, None, Some(&[10, 7, 3, 10]), &mut Mode::Eval)?;
    println!("two layers of mgu both ways: {:?} to {:?}, {} numbers", xs.dims(), ys.dims(), parameters.count());

    let alone = Mgu::new(8, 16, &GruConfig::default(), Parameters::new(1).builder(&Device::Cpu))?;
    let flow = gradient_flow(&alone, &xs, &alone.zero_state(4, DType::F32, &Device::Cpu)?, None, None)?;
    println!(
        "the gradient of the last output: {:.4} at step 10, {:.4} at step 1",
        last(&flow.norms),
        first(&flow.norms)
    );
    Ok(())
}

fn first(norms: &[Vec<f64>]) -> f64 {
    norms.first().and_then(|of_h| of_h.first()).copied().unwrap_or(0.0)
}

fn last(norms: &[Vec<f64>]) -> f64 {
    norms.first().and_then(|of_h| of_h.last()).copied().unwrap_or(0.0)
}
