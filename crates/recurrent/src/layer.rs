//! What a layer over sequences is.

use crate::gradient_flow::GradientFlow;
use candle_core::{Result, Tensor};
use candlewick_parameters::Mode;

/// The state of a layer: a list of tensors (N, ·) for each cell, the output first; empty where nothing is carried.
///
/// Cells stand layer by layer and forwards before backwards, which is PyTorch's order.
pub type LayerState = Vec<Vec<Tensor>>;

/// A layer that reads sequences (N, T, D) and gives sequences (N, T, [`Self::output_size`]).
pub trait SequenceLayer: Send + Sync {
    /// The size of the outputs: for a recurrent layer H, or P where it is projected, for each direction; else H.
    fn output_size(&self) -> usize;

    /// The widths of the state's tensors, cell by cell; none where nothing is carried.
    fn state_sizes(&self) -> Vec<Vec<usize>>;

    /// Reads xs (N, T, D) from a state, or from zeros; gives the outputs and the state after the last step.
    ///
    /// With `lengths`, row n has `lengths[n]` steps: outputs beyond are 0, its states are those of its own last step, and backwards
    /// starts there, as with PyTorch's packed sequences.
    ///
    /// # Errors
    /// When shapes do not fit together, a length exceeds T, or the state is that of another layer.
    fn forward(
        &self,
        xs: &Tensor,
        state: Option<&[Vec<Tensor>]>,
        lengths: Option<&[usize]>,
        mode: &mut Mode,
    ) -> Result<(Tensor, LayerState)>;

    /// How the gradient of a loss at the last step of xs (N, T, D) goes back through each cell, in the order of the states; with
    /// `clip`, [clipped](mod@crate::gradient_flow) at that norm at each step.
    ///
    /// Each cell is measured alone, in evaluation, from a state of zeros, on the inputs it has in the layer; one that reads backwards in its
    /// own order, so that its last step is step 0. A layer that is not recurrent has no cells.
    ///
    /// # Errors
    /// When shapes do not fit together, there is no step, or `clip` is not above 0.
    fn gradient_flow(&self, xs: &Tensor, clip: Option<f64>) -> Result<Vec<GradientFlow>>;
}

/// Checks what the types of a layer's configuration allow and no layer can be.
///
/// # Errors
/// When there is no layer, or a probability lies outside [0, 1]; the message names it.
pub(crate) fn check(num_layers: usize, probabilities: &[(&str, f64)]) -> Result<()> {
    if num_layers == 0 {
        candle_core::bail!("stack: num_layers is 0, wants at least 1")
    }
    match probabilities.iter().find(|(_, p)| !(0.0..=1.0).contains(p)) {
        Some((name, p)) => candle_core::bail!("stack: {name} is {p}, wants a probability in [0, 1]"),
        None => Ok(()),
    }
}
