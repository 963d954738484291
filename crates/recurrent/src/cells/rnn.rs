//! The plain recurrent network.
//!
//! h' = φ(W_ih x + b_ih + W_hh h + b_hh) with φ = tanh or ReLU.
//!
//! Elman 1990, "Finding structure in time".

use super::weights::{GateOptions, GateWeights};
use crate::cell::{BuildCell, Cell, SuffixedBuilder, dropped, state_of, step_of_sequence};
use crate::linear::project;
use candle_core::{Result, Tensor};
use candlewick_kernels::activation::{relu, tanh};
use candlewick_kernels::recurrence::{self, Input, Nonlinearity};
use serde::{Deserialize, Serialize};

/// What can be chosen about an [`RnnCell`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RnnConfig {
    /// Whether there are `bias_ih` and `bias_hh`.
    pub bias: bool,
    /// φ: `"tanh"` or `"relu"`.
    #[serde(with = "nonlinearity")]
    pub nonlinearity: Nonlinearity,
    /// Whether `weight_hh` starts orthogonal instead of uniform.
    pub orthogonal: bool,
}

impl Default for RnnConfig {
    fn default() -> Self {
        Self { bias: true, nonlinearity: Nonlinearity::Tanh, orthogonal: false }
    }
}

/// torch.nn.RNN's words for the nonlinearity.
mod nonlinearity {
    use super::Nonlinearity;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(value: &Nonlinearity, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match value {
            Nonlinearity::Tanh => "tanh",
            Nonlinearity::Relu => "relu",
        })
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Nonlinearity, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "tanh" => Ok(Nonlinearity::Tanh),
            "relu" => Ok(Nonlinearity::Relu),
            other => Err(D::Error::custom(format!("nonlinearity: wants \"tanh\" or \"relu\", got {other:?}"))),
        }
    }
}

/// The cell of torch.nn.RNN and torch.nn.RNNCell; its state is h (N, H).
#[derive(Clone, Debug)]
pub struct RnnCell {
    weights: GateWeights,
    nonlinearity: Nonlinearity,
}

impl BuildCell for RnnCell {
    type Config = RnnConfig;

    fn named(input_size: usize, hidden_size: usize, config: &RnnConfig, vb: &SuffixedBuilder) -> Result<Self> {
        let &RnnConfig { bias, nonlinearity, orthogonal } = config;
        let (input, hidden, output) = (input_size, hidden_size, hidden_size);
        let options = GateOptions { gates: 1, input, hidden, output, bias, orthogonal, forget: None };
        Ok(Self { weights: GateWeights::new(options, vb)?, nonlinearity })
    }
}

impl Cell for RnnCell {
    fn state_sizes(&self) -> Vec<usize> {
        vec![self.weights.output_size()]
    }

    fn step(&self, x: &Tensor, state: &[Tensor]) -> Result<Vec<Tensor>> {
        self.step_projected(&self.project_input(x)?, state, None)
    }

    /// W_ih x + b_ih + b_hh.
    fn project_input(&self, xs: &Tensor) -> Result<Tensor> {
        project(xs, &self.weights.weight_ih, self.weights.bias()?.as_ref())
    }

    fn step_projected(&self, from_x: &Tensor, state: &[Tensor], mask: Option<&Tensor>) -> Result<Vec<Tensor>> {
        let [h] = state_of("rnn", state)?;
        let sum = (from_x + project(&dropped(h, mask)?, &self.weights.weight_hh, None)?)?;
        let nonlinearity = if self.nonlinearity == Nonlinearity::Tanh { tanh } else { relu };
        Ok(vec![nonlinearity(&sum)?])
    }

    fn sequence(
        &self,
        xs: &Tensor,
        state: &[Tensor],
        lengths: Option<&[usize]>,
        reverse: bool,
    ) -> Result<(Tensor, Vec<Tensor>)> {
        let ([h], bias) = (state_of("rnn", state)?, self.weights.bias()?);
        let input = Input::Sequence { xs, weight: &self.weights.weight_ih, bias: bias.as_ref() };
        let (out, h) = recurrence::rnn(input, &self.weights.weight_hh, h, self.nonlinearity, lengths, reverse)?;
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
