//! Dropout of the recurrent state, of the same units at all steps.
//!
//! Where a cell's matrices from state to state read h_{t−1}, they read h_{t−1} ⊙ m / (1 − p) with one m ~ Bernoulli(1 − p) (H) for each
//! row, drawn once for all steps and the same for all gates. What the cell carries past its matrices, such as c or the GRU's z ⊙ h, stays
//! whole.
//!
//! Gal and Ghahramani 2016, "A theoretically grounded application of dropout in recurrent neural networks"; `recurrent_dropout`
//! in Keras. With [`crate::variational_dropout`] on the inputs it is the paper's network.

use crate::cell::{Cell, CellConfig, CellState, looped};
use candle_core::{DType, Device, Result, Tensor};
use candlewick_parameters::{Mode, VarBuilder};

/// A cell whose matrices from state to state read h ⊙ mask; without a mask the cell itself, with its kernels.
#[derive(Clone, Debug)]
pub struct MaskedCell<C> {
    cell: C,
    mask: Option<Tensor>,
}

/// The cell with units of its h dropped for as many rows as this state has; in evaluation the cell as it is.
///
/// A whole sequence then goes step by step, since the kernels know no mask; its input product is still done for all steps at once.
///
/// # Errors
/// When p lies outside [0, 1], or is above 0 for a cell that names no [`Cell::recurrent_weights`].
pub fn recurrent_dropout<C: Cell>(cell: &C, p: f64, state: &C::State, mode: &mut Mode) -> Result<MaskedCell<C>> {
    if p > 0.0 && cell.recurrent_weights().is_empty() {
        candle_core::bail!("recurrent_dropout: the cell names no weights from state to state; set it to 0")
    }
    let ones = state.tensors().first().map(Tensor::ones_like).transpose()?;
    let mask = ones.map(|ones| mode.dropout(&ones, p)).transpose()?;
    Ok(MaskedCell { cell: cell.clone(), mask: mask.filter(|_| p > 0.0 && mode.is_training()) })
}

impl<C> MaskedCell<C> {
    /// A cell with this mask (N, H), or (N, P) where h is projected, for N rows.
    pub fn with_mask(cell: C, mask: Tensor) -> Self {
        Self { cell, mask: Some(mask) }
    }

    /// What h is multiplied by: 0 or 1 / (1 − p) for each unit (N, H).
    pub fn mask(&self) -> Option<&Tensor> {
        self.mask.as_ref()
    }
}

impl<C: Cell> Cell for MaskedCell<C> {
    type State = C::State;

    fn with_suffix(
        input_size: usize,
        hidden_size: usize,
        config: &CellConfig,
        suffix: &str,
        vb: VarBuilder,
    ) -> Result<Self> {
        Ok(Self { cell: C::with_suffix(input_size, hidden_size, config, suffix, vb)?, mask: None })
    }

    fn hidden_size(&self) -> usize {
        self.cell.hidden_size()
    }

    fn output_size(&self) -> usize {
        self.cell.output_size()
    }

    fn zero_state(&self, n: usize, dtype: DType, device: &Device) -> Result<C::State> {
        self.cell.zero_state(n, dtype, device)
    }

    fn step(&self, x: &Tensor, state: &C::State) -> Result<C::State> {
        self.advance(&self.prepare(x)?, state)
    }

    fn prepare(&self, xs: &Tensor) -> Result<Tensor> {
        self.cell.prepare(xs)
    }

    fn advance(&self, prepared: &Tensor, state: &C::State) -> Result<C::State> {
        match &self.mask {
            Some(mask) => self.cell.advance_masked(prepared, state, mask),
            None => self.cell.advance(prepared, state),
        }
    }

    fn advance_masked(&self, prepared: &Tensor, state: &C::State, mask: &Tensor) -> Result<C::State> {
        match &self.mask {
            Some(own) => self.cell.advance_masked(prepared, state, &(own * mask)?),
            None => self.cell.advance_masked(prepared, state, mask),
        }
    }

    fn parameters(&self) -> Vec<Tensor> {
        self.cell.parameters()
    }

    fn with_parameters(&self, parameters: &[Tensor]) -> Result<Self> {
        Ok(Self { cell: self.cell.with_parameters(parameters)?, mask: self.mask.clone() })
    }

    fn recurrent_weights(&self) -> Vec<usize> {
        self.cell.recurrent_weights()
    }

    fn sequence(
        &self,
        xs: &Tensor,
        state: &C::State,
        lengths: Option<&[usize]>,
        reverse: bool,
    ) -> Result<(Tensor, C::State)> {
        match self.mask {
            Some(_) => looped(self, xs, state, lengths, reverse),
            None => self.cell.sequence(xs, state, lengths, reverse),
        }
    }
}
