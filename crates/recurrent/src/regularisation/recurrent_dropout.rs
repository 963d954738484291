//! Dropout of the recurrent state, of the same units at all steps.
//!
//! Where a cell's matrices from state to state read h_{t−1}, they read h_{t−1} ⊙ m / (1 − p) with one m ~ Bernoulli(1 − p) (H) for each
//! row, drawn once for all steps and the same for all gates. What the cell carries past its matrices, such as c or the GRU's z ⊙ h, stays
//! whole.
//!
//! Gal and Ghahramani 2016, "A theoretically grounded application of dropout in recurrent neural networks"; `recurrent_dropout`
//! in Keras. With [`crate::variational_dropout`] on the inputs it is the paper's network.

use crate::cell::Cell;
use candle_core::{Result, Tensor};
use candlewick_parameters::Mode;

/// A cell whose matrices from state to state read h ⊙ mask.
///
/// A whole sequence goes step by step, since the kernels know no mask; its input product is still done for all steps at once.
#[derive(Clone, Debug)]
pub struct MaskedCell {
    cell: Box<dyn Cell>,
    mask: Tensor,
}

/// The cell with units of its h dropped for as many rows as this state has; nothing in evaluation, or where p is 0.
///
/// # Errors
/// When p lies outside [0, 1], or is above 0 for a cell that names no [`Cell::recurrent_weights`].
pub fn recurrent_dropout(cell: &dyn Cell, p: f64, state: &[Tensor], mode: &mut Mode) -> Result<Option<MaskedCell>> {
    if p > 0.0 && cell.recurrent_weights().is_empty() {
        candle_core::bail!("recurrent_dropout: the cell names no weights from state to state; set it to 0")
    }
    let ones = state.first().map(Tensor::ones_like).transpose()?;
    let mask = ones.map(|ones| mode.dropout(&ones, p)).transpose()?;
    let mask = mask.filter(|_| p > 0.0 && mode.is_training());
    Ok(mask.map(|mask| MaskedCell::new(cell.clone_cell(), mask)))
}

impl MaskedCell {
    /// A cell with this mask (N, H), or (N, P) where h is projected, for N rows.
    pub fn new(cell: Box<dyn Cell>, mask: Tensor) -> Self {
        Self { cell, mask }
    }

    /// What h is multiplied by: 0 or 1 / (1 − p) for each unit (N, H).
    pub fn mask(&self) -> &Tensor {
        &self.mask
    }
}

impl Cell for MaskedCell {
    fn state_sizes(&self) -> Vec<usize> {
        self.cell.state_sizes()
    }

    fn step(&self, x: &Tensor, state: &[Tensor]) -> Result<Vec<Tensor>> {
        self.step_projected(&self.project_input(x)?, state, None)
    }

    fn project_input(&self, xs: &Tensor) -> Result<Tensor> {
        self.cell.project_input(xs)
    }

    fn step_projected(&self, projected: &Tensor, state: &[Tensor], mask: Option<&Tensor>) -> Result<Vec<Tensor>> {
        match mask {
            Some(mask) => self.cell.step_projected(projected, state, Some(&(&self.mask * mask)?)),
            None => self.cell.step_projected(projected, state, Some(&self.mask)),
        }
    }

    fn parameters_mut(&mut self) -> Vec<&mut Tensor> {
        self.cell.parameters_mut()
    }

    fn recurrent_weights(&self) -> Vec<usize> {
        self.cell.recurrent_weights()
    }
}
