//! The long short-term memory.
//!
//! i = σ(W_ii x + b_ii + W_hi h + b_hi), f = σ(W_if x + …), g = tanh(W_ig x + …), o = σ(W_io x + …);
//! c' = f ⊙ c + i ⊙ g, h' = o ⊙ tanh(c').
//!
//! Hochreiter and Schmidhuber 1997, "Long short-term memory"; Gers et al. 2000, "Learning to forget".

use crate::cell::{Cell, CellConfig, CellState, Weights};
use crate::decoding::Rows;
use candle_core::{DType, Device, Result, Tensor};
use candlewick_kernels::recurrence::{self, Input};
use candlewick_parameters::VarBuilder;

/// The cell of torch.nn.LSTM and torch.nn.LSTMCell; the gates lie in the order i, f, g, o.
#[derive(Clone, Debug)]
pub struct LstmCell {
    weights: Weights,
}

/// What an LSTM carries from step to step.
#[derive(Clone, Debug)]
pub struct LstmState {
    /// The output (N, H).
    pub h: Tensor,
    /// The memory (N, H).
    pub c: Tensor,
}

impl CellState for LstmState {
    fn tensors(&self) -> Vec<Tensor> {
        vec![self.h.clone(), self.c.clone()]
    }

    fn from_tensors(tensors: &[Tensor]) -> Result<Self> {
        match tensors {
            [h, c] => Ok(Self { h: h.clone(), c: c.clone() }),
            other => candle_core::bail!("lstm: wants the state's h and c, got {} tensors", other.len()),
        }
    }
}

impl Rows for LstmState {
    fn select(&self, rows: &Tensor) -> Result<Self> {
        Ok(Self { h: self.h.select(rows)?, c: self.c.select(rows)? })
    }
}

impl Cell for LstmCell {
    type State = LstmState;

    fn with_suffix(
        input_size: usize,
        hidden_size: usize,
        config: &CellConfig,
        suffix: &str,
        vb: VarBuilder,
    ) -> Result<Self> {
        Ok(Self { weights: Weights::new(4, (input_size, hidden_size), config, Some(1), suffix, &vb)? })
    }

    fn hidden_size(&self) -> usize {
        self.weights.hidden_size()
    }

    fn zero_state(&self, n: usize, dtype: DType, device: &Device) -> Result<LstmState> {
        let zeros = Tensor::zeros((n, self.hidden_size()), dtype, device)?;
        Ok(LstmState { h: zeros.clone(), c: zeros })
    }

    fn step(&self, x: &Tensor, state: &LstmState) -> Result<LstmState> {
        Ok(self.sequence(&x.unsqueeze(1)?, state, None, false)?.1)
    }

    fn parameters(&self) -> Vec<Tensor> {
        self.weights.tensors()
    }

    fn with_parameters(&self, parameters: &[Tensor]) -> Result<Self> {
        Ok(Self { weights: Weights::from_tensors(parameters)? })
    }

    fn sequence(
        &self,
        xs: &Tensor,
        state: &LstmState,
        lengths: Option<&[usize]>,
        reverse: bool,
    ) -> Result<(Tensor, LstmState)> {
        let bias = self.weights.bias()?;
        let input = Input::Sequence { xs, weight: &self.weights.weight_ih, bias: bias.as_ref() };
        let (out, h, c) = recurrence::lstm(input, &self.weights.weight_hh, &state.h, &state.c, lengths, reverse)?;
        Ok((out, LstmState { h, c }))
    }
}
