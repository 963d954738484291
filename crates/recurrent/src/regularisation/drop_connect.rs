//! Dropout of weights instead of units.
//!
//! W̃ = W ⊙ m / (1 − p) with m ~ Bernoulli(1 − p) for each weight: one mask for all steps and rows of a call, so that the
//! recurrence is regularised without noise from step to step.
//!
//! Wan et al. 2013, "Regularization of neural networks using DropConnect"; on the matrices from state to state Merity et al. 2018,
//! "Regularizing and optimizing LSTM language models" (AWD-LSTM).

use crate::cell::Cell;
use candle_core::Result;
use candlewick_parameters::Mode;

/// The cell with weights dropped from its [`Cell::recurrent_weights`]; in evaluation the cell as it is.
///
/// Gradients reach the weights that stayed.
///
/// # Errors
/// When p lies outside [0, 1], or is above 0 for a cell that names no recurrent weights.
pub fn drop_connect(cell: &dyn Cell, p: f64, mode: &mut Mode) -> Result<Box<dyn Cell>> {
    let (mut parameters, places) = (cell.parameters(), cell.recurrent_weights());
    if p > 0.0 && places.is_empty() {
        candle_core::bail!("drop_connect: the cell names no weights from state to state; set weight_dropout to 0")
    }
    for place in places {
        match parameters.get_mut(place) {
            Some(weight) => *weight = mode.dropout(weight, p)?,
            None => candle_core::bail!("drop_connect: the cell has no parameter {place}"),
        }
    }
    cell.with_parameters(&parameters)
}
