//! The cell that a controller network wrote.
//!
//! With the eight blocks u = W_ih x and v = W_hh h + b_hh:
//!
//! a₀ = σ(u₀ + v₀), a₁ = relu(u₁ + v₁), a₂ = σ(u₂ + v₂), a₃ = relu(u₃ ⊙ v₃), a₄ = tanh(u₄ + v₄), a₅ = σ(u₅ + v₅),
//! a₆ = tanh(u₆ + v₆), a₇ = σ(u₇ + v₇);
//! c' = tanh(tanh(a₀ ⊙ a₁) + c) ⊙ tanh(a₂ + a₃), m = tanh(tanh(a₄ ⊙ a₅) + σ(a₆ + a₇)), h' = tanh(c' ⊙ m).
//!
//! Zoph and Le 2017, "Neural architecture search with reinforcement learning", as TensorFlow's `NASCell` has it.

use super::weights::{block, recurrent_initial};
use crate::cell::{BuildCell, Cell, SuffixedBuilder, dropped, state_of};
use crate::linear::project;
use candle_core::{Result, Tensor};
use candle_nn::ops::sigmoid;
use candlewick_parameters::Initial;
use serde::{Deserialize, Serialize};

/// The number of branches.
const BRANCHES: usize = 8;

/// What can be chosen about a [`NasCell`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NasConfig {
    /// Whether there is `bias_hh`.
    pub bias: bool,
    /// Whether each branch's part of `weight_hh` starts orthogonal instead of uniform.
    pub orthogonal: bool,
}

impl Default for NasConfig {
    fn default() -> Self {
        Self { bias: true, orthogonal: false }
    }
}

/// The cell of TensorFlow's `NASCell` without its projection: `weight_ih` (8H, D), `weight_hh` (8H, H), `bias_hh` (8H); its state is h
/// and c as [`super::lstm`] has them.
///
/// The one bias belongs to the product with h, which matters in the branch that multiplies.
#[derive(Clone, Debug)]
pub struct NasCell {
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_hh: Option<Tensor>,
}

impl BuildCell for NasCell {
    type Config = NasConfig;

    fn named(input_size: usize, hidden_size: usize, config: &NasConfig, vb: &SuffixedBuilder) -> Result<Self> {
        let (rows, uniform) = (hidden_size.saturating_mul(BRANCHES), Initial::fan_in(hidden_size));
        let weight_ih = vb.parameter((rows, input_size), "weight_ih", uniform.clone())?;
        let recurrent = recurrent_initial(config.orthogonal, BRANCHES, hidden_size);
        let weight_hh = vb.parameter((rows, hidden_size), "weight_hh", recurrent)?;
        let bias_hh = config.bias.then(|| vb.parameter(rows, "bias_hh", uniform)).transpose()?;
        Ok(Self { weight_ih, weight_hh, bias_hh })
    }
}

impl Cell for NasCell {
    fn state_sizes(&self) -> Vec<usize> {
        vec![self.weight_hh.dims().last().copied().unwrap_or(0); 2]
    }

    fn step(&self, x: &Tensor, state: &[Tensor]) -> Result<Vec<Tensor>> {
        self.step_projected(&self.project_input(x)?, state, None)
    }

    /// u = W_ih x.
    fn project_input(&self, xs: &Tensor) -> Result<Tensor> {
        project(xs, &self.weight_ih, None)
    }

    fn step_projected(&self, u: &Tensor, state: &[Tensor], mask: Option<&Tensor>) -> Result<Vec<Tensor>> {
        let ([h, c], size) = (state_of("nas", state)?, self.state_sizes()[0]);
        let v = project(&dropped(h, mask)?, &self.weight_hh, self.bias_hh.as_ref())?;
        let sum = |k| block(u, k, size)? + block(&v, k, size)?;
        let product = (block(u, 3, size)? * block(&v, 3, size)?)?.relu()?;
        let written = ((sigmoid(&sum(0)?)? * sum(1)?.relu()?)?.tanh()? + c)?.tanh()?;
        let c = (written * (sigmoid(&sum(2)?)? + product)?.tanh()?)?;
        let first = (sum(4)?.tanh()? * sigmoid(&sum(5)?)?)?.tanh()?;
        let second = sigmoid(&(sum(6)?.tanh()? + sigmoid(&sum(7)?)?)?)?;
        let h = (&c * (first + second)?.tanh()?)?.tanh()?;
        Ok(vec![h, c])
    }

    fn parameters_mut(&mut self) -> Vec<&mut Tensor> {
        let Self { weight_ih, weight_hh, bias_hh } = self;
        [weight_ih, weight_hh].into_iter().chain(bias_hh).collect()
    }

    fn recurrent_weights(&self) -> Vec<usize> {
        vec![1]
    }
}
