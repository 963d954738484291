//! The gated recurrent unit.
//!
//! r = σ(W_ir x + b_ir + W_hr h + b_hr), z = σ(W_iz x + …), n = tanh(W_in x + b_in + r ⊙ (W_hn h + b_hn));
//! h' = (1 − z) ⊙ n + z ⊙ h.
//!
//! Cho et al. 2014, "Learning phrase representations using RNN encoder-decoder for statistical machine translation", with
//! the reset gate behind the product as PyTorch and cuDNN have it.

use super::weights::{GateOptions, GateWeights};
use crate::cell::{BuildCell, Cell, SuffixedBuilder, dropped, state_of, step_of_sequence};
use crate::linear::project;
use candle_core::{D, Result, Tensor};
use candlewick_kernels::activation::{sigmoid, tanh};
use candlewick_kernels::recurrence::{self, Input};
use serde::{Deserialize, Serialize};

/// What can be chosen about a [`GruCell`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GruConfig {
    /// Whether there are `bias_ih` and `bias_hh`.
    pub bias: bool,
    /// Whether each gate's part of `weight_hh` starts orthogonal instead of uniform.
    pub orthogonal: bool,
}

impl Default for GruConfig {
    fn default() -> Self {
        Self { bias: true, orthogonal: false }
    }
}

/// The cell of torch.nn.GRU and torch.nn.GRUCell; the gates lie in the order r, z, n, and the state is h (N, H).
#[derive(Clone, Debug)]
pub struct GruCell {
    weights: GateWeights,
}

impl BuildCell for GruCell {
    type Config = GruConfig;

    fn named(input_size: usize, hidden_size: usize, config: &GruConfig, vb: &SuffixedBuilder) -> Result<Self> {
        let &GruConfig { bias, orthogonal } = config;
        let (input, hidden, output) = (input_size, hidden_size, hidden_size);
        let options = GateOptions { gates: 3, input, hidden, output, bias, orthogonal, forget: None };
        Ok(Self { weights: GateWeights::new(options, vb)? })
    }
}

impl Cell for GruCell {
    fn state_sizes(&self) -> Vec<usize> {
        vec![self.weights.output_size()]
    }

    fn step(&self, x: &Tensor, state: &[Tensor]) -> Result<Vec<Tensor>> {
        self.step_projected(&self.project_input(x)?, state, None)
    }

    /// W_ih x + b_ih of the three gates; b_hn stands within r ⊙ (…), so that b_hh cannot be added here.
    fn project_input(&self, xs: &Tensor) -> Result<Tensor> {
        project(xs, &self.weights.weight_ih, self.weights.bias_ih.as_ref())
    }

    fn step_projected(&self, from_x: &Tensor, state: &[Tensor], mask: Option<&Tensor>) -> Result<Vec<Tensor>> {
        let [h] = state_of("gru", state)?;
        let from_h = project(&dropped(h, mask)?, &self.weights.weight_hh, self.weights.bias_hh.as_ref())?;
        let (x, u) = (from_x.chunk(3, D::Minus1)?, from_h.chunk(3, D::Minus1)?);
        let r = sigmoid(&(&x[0] + &u[0])?)?;
        let z = sigmoid(&(&x[1] + &u[1])?)?;
        let n = tanh(&(&x[2] + (r * &u[2])?)?)?;
        Ok(vec![((z.affine(-1.0, 1.0)? * n)? + (z * h)?)?])
    }

    fn sequence(
        &self,
        xs: &Tensor,
        state: &[Tensor],
        lengths: Option<&[usize]>,
        reverse: bool,
    ) -> Result<(Tensor, Vec<Tensor>)> {
        let ([h], GateWeights { weight_ih, weight_hh, bias_ih, bias_hh }) = (state_of("gru", state)?, &self.weights);
        let input = Input::Sequence { xs, weight: weight_ih, bias: bias_ih.as_ref() };
        let (out, h) = recurrence::gru(input, weight_hh, bias_hh.as_ref(), h, lengths, reverse)?;
        Ok((out, vec![h]))
    }

    fn fused_step(&self, x: &Tensor, state: &[Tensor]) -> Result<Vec<Tensor>> {
        step_of_sequence(self, x, state)
    }

    fn parameters_mut(&mut self) -> Vec<&mut Tensor> {
        self.weights.parameters_mut()
    }

    fn recurrent_weights(&self) -> Vec<usize> {
        vec![GateWeights::WEIGHT_HH]
    }
}
