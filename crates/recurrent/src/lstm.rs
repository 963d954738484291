//! The long short-term memory.
//!
//! i = σ(W_ii x + b_ii + W_hi h + b_hi), f = σ(W_if x + …), g = tanh(W_ig x + …), o = σ(W_io x + …);
//! c' = f ⊙ c + i ⊙ g, h' = o ⊙ tanh(c'); with a projection h' = W_hr (o ⊙ tanh(c')).
//!
//! Hochreiter and Schmidhuber 1997, "Long short-term memory"; Gers et al. 2000, "Learning to forget"; the projection is of
//! Sak et al. 2014, "Long short-term memory recurrent neural network architectures for large scale acoustic modeling".

use crate::cell::{Cell, CellConfig, CellState, Weights, advance_on_masked_h, block, looped, zeros};
use crate::linear::project;
use candle_core::{DType, Device, Result, Tensor};
use candle_nn::ops::sigmoid;
use candlewick_generation::SelectRows;
use candlewick_kernels::recurrence::{self, Input};
use candlewick_parameters::{Initial, ParameterBuilder, VarBuilder};

/// The cell of torch.nn.LSTM and torch.nn.LSTMCell; the gates lie in the order i, f, g, o.
///
/// With `proj_size` P there is `weight_hr` (P, H), as with torch.nn.LSTM: outputs and h are (N, P), `weight_hh` is
/// (4H, P), and the sequence runs without kernels of its own.
#[derive(Clone, Debug)]
pub struct LstmCell {
    weights: Weights,
    /// W_hr (P, H).
    projection: Option<Tensor>,
}

/// What an LSTM carries from step to step.
#[derive(Clone, Debug)]
pub struct LstmState {
    /// The output (N, H), or (N, P) where it is projected.
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

impl SelectRows for LstmState {
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
        if config.proj_size.is_some_and(|size| size == 0 || size >= hidden_size) {
            let size = config.proj_size.unwrap_or_default();
            candle_core::bail!("lstm: proj_size is {size}; wanted 1 to below the hidden size {hidden_size}, or none")
        }
        let output_size = config.proj_size.unwrap_or(hidden_size);
        let weights = Weights::new(4, (input_size, hidden_size, output_size), config, Some(1), suffix, &vb)?;
        let project =
            |size| vb.parameter((size, hidden_size), &format!("weight_hr{suffix}"), Initial::fan_in(hidden_size));
        Ok(Self { weights, projection: config.proj_size.map(project).transpose()? })
    }

    fn hidden_size(&self) -> usize {
        self.weights.weight_hh.dims().first().map_or(0, |rows| rows / 4)
    }

    fn output_size(&self) -> usize {
        self.weights.output_size()
    }

    fn zero_state(&self, n: usize, dtype: DType, device: &Device) -> Result<LstmState> {
        let c = zeros(n, self.hidden_size(), dtype, device)?;
        Ok(LstmState { h: zeros(n, self.output_size(), dtype, device)?, c })
    }

    fn step(&self, x: &Tensor, state: &LstmState) -> Result<LstmState> {
        match self.projection {
            Some(_) => self.advance(&self.prepare(x)?, state),
            None => Ok(self.sequence(&x.unsqueeze(1)?, state, None, false)?.1),
        }
    }

    fn prepare(&self, xs: &Tensor) -> Result<Tensor> {
        project(xs, &self.weights.weight_ih, self.weights.bias()?.as_ref())
    }

    fn advance(&self, prepared: &Tensor, state: &LstmState) -> Result<LstmState> {
        let Some(projection) = &self.projection else {
            let (input, LstmState { h, c }) = (&prepared.unsqueeze(1)?, state);
            let (_, h, c) = recurrence::lstm(input, &self.weights.weight_hh, h, c, None, false)?;
            return Ok(LstmState { h, c });
        };
        let gates = (prepared + project(&state.h, &self.weights.weight_hh, None)?)?;
        let size = self.hidden_size();
        let gate = |k| block(&gates, k, size);
        let kept = (sigmoid(&gate(1)?)? * &state.c)?;
        let c = (kept + (sigmoid(&gate(0)?)? * gate(2)?.tanh()?)?)?;
        let h = project(&(sigmoid(&gate(3)?)? * c.tanh()?)?, projection, None)?;
        Ok(LstmState { h, c })
    }

    fn advance_masked(&self, prepared: &Tensor, state: &LstmState, mask: &Tensor) -> Result<LstmState> {
        advance_on_masked_h(self, prepared, state, mask)
    }

    fn parameters(&self) -> Vec<Tensor> {
        self.weights.tensors().into_iter().chain(self.projection.clone()).collect()
    }

    fn with_parameters(&self, parameters: &[Tensor]) -> Result<Self> {
        let (weights, projection) = match (&self.projection, parameters) {
            (Some(_), [weights @ .., projection]) => (weights, Some(projection.clone())),
            (_, weights) => (weights, None),
        };
        Ok(Self { weights: Weights::from_tensors(weights)?, projection })
    }

    fn recurrent_weights(&self) -> Vec<usize> {
        vec![1]
    }

    fn sequence(
        &self,
        xs: &Tensor,
        state: &LstmState,
        lengths: Option<&[usize]>,
        reverse: bool,
    ) -> Result<(Tensor, LstmState)> {
        if self.projection.is_some() {
            return looped(self, xs, state, lengths, reverse);
        }
        let bias = self.weights.bias()?;
        let input = Input::Sequence { xs, weight: &self.weights.weight_ih, bias: bias.as_ref() };
        let (out, h, c) = recurrence::lstm(input, &self.weights.weight_hh, &state.h, &state.c, lengths, reverse)?;
        Ok((out, LstmState { h, c }))
    }
}
