//! The cell that a controller network wrote.
//!
//! With the eight blocks u = W_ih x and v = W_hh h + b_hh:
//!
//! a₀ = σ(u₀ + v₀), a₁ = relu(u₁ + v₁), a₂ = σ(u₂ + v₂), a₃ = relu(u₃ ⊙ v₃), a₄ = tanh(u₄ + v₄), a₅ = σ(u₅ + v₅),
//! a₆ = tanh(u₆ + v₆), a₇ = σ(u₇ + v₇);
//! c' = tanh(tanh(a₀ ⊙ a₁) + c) ⊙ tanh(a₂ + a₃), m = tanh(tanh(a₄ ⊙ a₅) + σ(a₆ + a₇)), h' = tanh(c' ⊙ m).
//!
//! Zoph and Le 2017, "Neural architecture search with reinforcement learning", as TensorFlow's `NASCell` has it.

use crate::cell::{Cell, CellConfig, advance_on_masked_h, block, recurrent_initial, zeros};
use crate::linear::project;
use crate::lstm::LstmState;
use candle_core::{DType, Device, Result, Tensor};
use candle_nn::ops::sigmoid;
use candlewick_parameters::{Initial, ParameterBuilder, VarBuilder};

/// The number of branches.
const BRANCHES: usize = 8;

/// The cell of TensorFlow's `NASCell` without its projection: `weight_ih` (8H, D), `weight_hh` (8H, H), `bias_hh` (8H).
///
/// The one bias belongs to the product with h, which matters in the branch that multiplies.
#[derive(Clone, Debug)]
pub struct NasCell {
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_hh: Option<Tensor>,
}

impl Cell for NasCell {
    type State = LstmState;

    fn with_suffix(
        input_size: usize,
        hidden_size: usize,
        config: &CellConfig,
        suffix: &str,
        vb: VarBuilder,
    ) -> Result<Self> {
        let (rows, uniform) = (BRANCHES * hidden_size, Initial::fan_in(hidden_size));
        let name = |part: &str| format!("{part}{suffix}");
        let weight_ih = vb.parameter((rows, input_size), &name("weight_ih"), uniform.clone())?;
        let recurrent = recurrent_initial(config, BRANCHES, hidden_size);
        let weight_hh = vb.parameter((rows, hidden_size), &name("weight_hh"), recurrent)?;
        let bias_hh = match config.bias {
            true => Some(vb.parameter(rows, &name("bias_hh"), uniform)?),
            false => None,
        };
        Ok(Self { weight_ih, weight_hh, bias_hh })
    }

    fn hidden_size(&self) -> usize {
        self.weight_hh.dims().last().copied().unwrap_or(0)
    }

    fn zero_state(&self, n: usize, dtype: DType, device: &Device) -> Result<LstmState> {
        let h = zeros(n, self.hidden_size(), dtype, device)?;
        Ok(LstmState { c: h.clone(), h })
    }

    fn step(&self, x: &Tensor, state: &LstmState) -> Result<LstmState> {
        self.advance(&self.prepare(x)?, state)
    }

    fn prepare(&self, xs: &Tensor) -> Result<Tensor> {
        project(xs, &self.weight_ih, None)
    }

    fn advance(&self, u: &Tensor, state: &LstmState) -> Result<LstmState> {
        let size = self.hidden_size();
        let v = project(&state.h, &self.weight_hh, self.bias_hh.as_ref())?;
        let sum = |k| block(u, k, size)? + block(&v, k, size)?;
        let product = (block(u, 3, size)? * block(&v, 3, size)?)?.relu()?;
        let written = ((sigmoid(&sum(0)?)? * sum(1)?.relu()?)?.tanh()? + &state.c)?.tanh()?;
        let c = (written * (sigmoid(&sum(2)?)? + product)?.tanh()?)?;
        let first = (sum(4)?.tanh()? * sigmoid(&sum(5)?)?)?.tanh()?;
        let second = sigmoid(&(sum(6)?.tanh()? + sigmoid(&sum(7)?)?)?)?;
        let h = (&c * (first + second)?.tanh()?)?.tanh()?;
        Ok(LstmState { h, c })
    }

    fn advance_masked(&self, prepared: &Tensor, state: &LstmState, mask: &Tensor) -> Result<LstmState> {
        advance_on_masked_h(self, prepared, state, mask)
    }

    fn parameters(&self) -> Vec<Tensor> {
        [&self.weight_ih, &self.weight_hh].into_iter().chain(&self.bias_hh).cloned().collect()
    }

    fn with_parameters(&self, parameters: &[Tensor]) -> Result<Self> {
        match parameters {
            [weight_ih, weight_hh, bias @ ..] if bias.len() == usize::from(self.bias_hh.is_some()) => {
                Ok(Self { weight_ih: weight_ih.clone(), weight_hh: weight_hh.clone(), bias_hh: bias.first().cloned() })
            }
            other => candle_core::bail!("nas: wants two weights and its bias, got {} parameters", other.len()),
        }
    }

    fn recurrent_weights(&self) -> Vec<usize> {
        vec![1]
    }
}
