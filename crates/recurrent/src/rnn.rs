//! The plain recurrent network.
//!
//! h' = φ(W_ih x + b_ih + W_hh h + b_hh) with φ = tanh or ReLU.
//!
//! Elman 1990, "Finding structure in time".

use crate::cell::{Cell, CellConfig, Weights, advance_on_masked_h};
use crate::linear::project;
use candle_core::{DType, Device, Result, Tensor};
use candlewick_kernels::recurrence::{self, Input, Nonlinearity};
use candlewick_parameters::VarBuilder;

/// The cell of torch.nn.RNN and torch.nn.RNNCell; its state is h (N, H).
#[derive(Clone, Debug)]
pub struct RnnCell {
    weights: Weights,
    nonlinearity: Nonlinearity,
}

impl Cell for RnnCell {
    type State = Tensor;

    fn with_suffix(
        input_size: usize,
        hidden_size: usize,
        config: &CellConfig,
        suffix: &str,
        vb: VarBuilder,
    ) -> Result<Self> {
        let weights = Weights::new(1, (input_size, hidden_size, hidden_size), config, None, suffix, &vb)?;
        Ok(Self { weights, nonlinearity: config.nonlinearity })
    }

    fn hidden_size(&self) -> usize {
        self.weights.output_size()
    }

    fn zero_state(&self, n: usize, dtype: DType, device: &Device) -> Result<Tensor> {
        Tensor::zeros((n, self.hidden_size()), dtype, device)
    }

    fn step(&self, x: &Tensor, state: &Tensor) -> Result<Tensor> {
        Ok(self.sequence(&x.unsqueeze(1)?, state, None, false)?.1)
    }

    fn prepare(&self, xs: &Tensor) -> Result<Tensor> {
        project(xs, &self.weights.weight_ih, self.weights.bias()?.as_ref())
    }

    fn advance(&self, prepared: &Tensor, state: &Tensor) -> Result<Tensor> {
        let input = &prepared.unsqueeze(1)?;
        Ok(recurrence::rnn(input, &self.weights.weight_hh, state, self.nonlinearity, None, false)?.1)
    }

    fn recurrent_weights(&self) -> Vec<usize> {
        vec![1]
    }

    fn advance_masked(&self, prepared: &Tensor, state: &Tensor, mask: &Tensor) -> Result<Tensor> {
        advance_on_masked_h(self, prepared, state, mask)
    }

    fn parameters(&self) -> Vec<Tensor> {
        self.weights.tensors()
    }

    fn with_parameters(&self, parameters: &[Tensor]) -> Result<Self> {
        Ok(Self { weights: Weights::from_tensors(parameters)?, nonlinearity: self.nonlinearity })
    }

    fn sequence(
        &self,
        xs: &Tensor,
        state: &Tensor,
        lengths: Option<&[usize]>,
        reverse: bool,
    ) -> Result<(Tensor, Tensor)> {
        let bias = self.weights.bias()?;
        let input = Input::Sequence { xs, weight: &self.weights.weight_ih, bias: bias.as_ref() };
        recurrence::rnn(input, &self.weights.weight_hh, state, self.nonlinearity, lengths, reverse)
    }
}
