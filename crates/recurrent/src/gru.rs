//! The gated recurrent unit.
//!
//! r = σ(W_ir x + b_ir + W_hr h + b_hr), z = σ(W_iz x + …), n = tanh(W_in x + b_in + r ⊙ (W_hn h + b_hn));
//! h' = (1 − z) ⊙ n + z ⊙ h.
//!
//! Cho et al. 2014, "Learning phrase representations using RNN encoder-decoder for statistical machine translation", with
//! the reset gate behind the product as PyTorch and cuDNN have it.

use crate::cell::{Cell, CellConfig, Weights, block};
use crate::linear::project;
use candle_core::{DType, Device, Result, Tensor};
use candle_nn::ops::sigmoid;
use candlewick_kernels::recurrence::{self, Input};
use candlewick_parameters::VarBuilder;

/// The cell of torch.nn.GRU and torch.nn.GRUCell; the gates lie in the order r, z, n, and the state is h (N, H).
#[derive(Clone, Debug)]
pub struct GruCell {
    weights: Weights,
}

impl GruCell {
    /// b_ih and b_hh: b_hn stands within r ⊙ (…), so that they cannot be added beforehand.
    fn biases(&self) -> (Option<&Tensor>, Option<&Tensor>) {
        self.weights.biases.as_ref().map(|(ih, hh)| (ih, hh)).unzip()
    }
}

impl Cell for GruCell {
    type State = Tensor;

    fn with_suffix(
        input_size: usize,
        hidden_size: usize,
        config: &CellConfig,
        suffix: &str,
        vb: VarBuilder,
    ) -> Result<Self> {
        Ok(Self { weights: Weights::new(3, (input_size, hidden_size, hidden_size), config, None, suffix, &vb)? })
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
        project(xs, &self.weights.weight_ih, self.biases().0)
    }

    fn advance(&self, prepared: &Tensor, state: &Tensor) -> Result<Tensor> {
        let input = &prepared.unsqueeze(1)?;
        Ok(recurrence::gru(input, &self.weights.weight_hh, self.biases().1, state, None, false)?.1)
    }

    /// The formula without the kernels, for which what the products read and what z keeps are the same h.
    fn advance_masked(&self, prepared: &Tensor, h: &Tensor, mask: &Tensor) -> Result<Tensor> {
        let products = project(&(h * mask)?, &self.weights.weight_hh, self.biases().1)?;
        let x = |k| block(prepared, k, self.hidden_size());
        let u = |k| block(&products, k, self.hidden_size());
        let (r, z) = (sigmoid(&(x(0)? + u(0)?)?)?, sigmoid(&(x(1)? + u(1)?)?)?);
        let n = (x(2)? + (r * u(2)?)?)?.tanh()?;
        &n + (z * (h - &n)?)?
    }

    fn recurrent_weights(&self) -> Vec<usize> {
        vec![1]
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
        state: &Tensor,
        lengths: Option<&[usize]>,
        reverse: bool,
    ) -> Result<(Tensor, Tensor)> {
        let (b_ih, b_hh) = self.biases();
        let input = Input::Sequence { xs, weight: &self.weights.weight_ih, bias: b_ih };
        recurrence::gru(input, &self.weights.weight_hh, b_hh, state, lengths, reverse)
    }
}
