//! The long short-term memory.
//!
//! i = σ(W_ii x + b_ii + W_hi h + b_hi), f = σ(W_if x + …), g = tanh(W_ig x + …), o = σ(W_io x + …);
//! c' = f ⊙ c + i ⊙ g, h' = o ⊙ tanh(c'); with a projection h' = W_hr (o ⊙ tanh(c')).
//!
//! Hochreiter and Schmidhuber 1997, "Long short-term memory"; Gers et al. 2000, "Learning to forget"; the projection is of
//! Sak et al. 2014, "Long short-term memory recurrent neural network architectures for large scale acoustic modeling".

use super::weights::{ForgetBias, GateOptions, GateWeights};
use crate::cell::{BuildCell, Cell, SuffixedBuilder, dropped, state_of, step_of_sequence, unroll};
use crate::linear::project;
use candle_core::{D, Result, Tensor};
use candlewick_kernels::activation::{sigmoid, tanh};
use candlewick_kernels::recurrence::{self, Input};
use candlewick_parameters::Initial;
use serde::{Deserialize, Serialize};

/// The place of the output h (N, H), or (N, P) where it is projected, in the state.
pub const H: usize = 0;

/// The place of the memory c (N, H) in the state.
pub const C: usize = 1;

/// What can be chosen about an [`LstmCell`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LstmConfig {
    /// Whether there are `bias_ih` and `bias_hh`.
    pub bias: bool,
    /// What the forget gate's biases sum to at the start, instead of PyTorch's uniform values.
    ///
    /// Jozefowicz et al. 2015, "An empirical exploration of recurrent network architectures", recommend 1.
    pub forget_bias: Option<f64>,
    /// Whether each gate's part of `weight_hh` starts orthogonal instead of uniform.
    pub orthogonal: bool,
    /// P, the size to which the output is projected; without one it has size H.
    pub proj_size: Option<usize>,
}

impl Default for LstmConfig {
    fn default() -> Self {
        Self { bias: true, forget_bias: None, orthogonal: false, proj_size: None }
    }
}

/// The cell of torch.nn.LSTM and torch.nn.LSTMCell; the gates lie in the order i, f, g, o, and the state is h and c.
///
/// With `proj_size` P there is `weight_hr` (P, H), as with torch.nn.LSTM: outputs and h are (N, P), `weight_hh` is
/// (4H, P), and the sequence runs without kernels of its own.
#[derive(Clone, Debug)]
pub struct LstmCell {
    weights: GateWeights,
    /// W_hr (P, H).
    projection: Option<Tensor>,
}

impl BuildCell for LstmCell {
    type Config = LstmConfig;

    fn named(input_size: usize, hidden_size: usize, config: &LstmConfig, vb: &SuffixedBuilder) -> Result<Self> {
        let &LstmConfig { bias, forget_bias, orthogonal, proj_size } = config;
        if let Some(size) = proj_size.filter(|&size| size == 0 || size >= hidden_size) {
            candle_core::bail!("lstm: proj_size is {size}; wanted 1 to below the hidden size {hidden_size}, or none")
        }
        let (input, hidden, output) = (input_size, hidden_size, proj_size.unwrap_or(hidden_size));
        let forget = ForgetBias::new("lstm", 1, forget_bias, bias)?;
        let options = GateOptions { gates: 4, input, hidden, output, bias, orthogonal, forget };
        let weights = GateWeights::new(options, vb)?;
        let projection = |size| vb.parameter((size, hidden_size), "weight_hr", Initial::fan_in(hidden_size));
        Ok(Self { weights, projection: proj_size.map(projection).transpose()? })
    }
}

impl Cell for LstmCell {
    fn state_sizes(&self) -> Vec<usize> {
        let rows = self.weights.weight_hh.dims().first().copied().unwrap_or(0);
        vec![self.weights.output_size(), rows / 4]
    }

    fn step(&self, x: &Tensor, state: &[Tensor]) -> Result<Vec<Tensor>> {
        self.step_projected(&self.project_input(x)?, state, None)
    }

    /// W_ih x + b_ih + b_hh of the four gates.
    fn project_input(&self, xs: &Tensor) -> Result<Tensor> {
        project(xs, &self.weights.weight_ih, self.weights.bias()?.as_ref())
    }

    fn step_projected(&self, from_x: &Tensor, state: &[Tensor], mask: Option<&Tensor>) -> Result<Vec<Tensor>> {
        let [h, c] = state_of("lstm", state)?;
        let gates = (from_x + project(&dropped(h, mask)?, &self.weights.weight_hh, None)?)?.chunk(4, D::Minus1)?;
        let (i, f) = (sigmoid(&gates[0])?, sigmoid(&gates[1])?);
        let (g, o) = (tanh(&gates[2])?, sigmoid(&gates[3])?);
        let c = ((f * c)? + (i * g)?)?;
        let h = (o * tanh(&c)?)?;
        let h = self.projection.as_ref().map_or(Ok(h.clone()), |w_hr| project(&h, w_hr, None))?;
        Ok(vec![h, c])
    }

    fn sequence(
        &self,
        xs: &Tensor,
        state: &[Tensor],
        lengths: Option<&[usize]>,
        reverse: bool,
    ) -> Result<(Tensor, Vec<Tensor>)> {
        if self.projection.is_some() {
            return unroll(Box::new(self.clone()), xs, state, lengths, reverse);
        }
        let ([h, c], bias) = (state_of("lstm", state)?, self.weights.bias()?);
        let input = Input::Sequence { xs, weight: &self.weights.weight_ih, bias: bias.as_ref() };
        let (out, h, c) = recurrence::lstm(input, &self.weights.weight_hh, h, c, lengths, reverse)?;
        Ok((out, vec![h, c]))
    }

    fn fused_step(&self, x: &Tensor, state: &[Tensor]) -> Result<Vec<Tensor>> {
        match self.projection {
            Some(_) => self.step(x, state),
            None => step_of_sequence(self, x, state),
        }
    }

    fn parameters_mut(&mut self) -> Vec<&mut Tensor> {
        self.weights.parameters_mut().into_iter().chain(&mut self.projection).collect()
    }

    fn recurrent_weights(&self) -> Vec<usize> {
        vec![GateWeights::WEIGHT_HH]
    }
}
