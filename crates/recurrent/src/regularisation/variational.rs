//! Dropout that takes the same units at all steps of a sequence.
//!
//! y_t = x_t ⊙ m / (1 − p) with one m ~ Bernoulli(1 − p) (D) for each row, drawn once for all steps.
//!
//! Gal and Ghahramani 2016, "A theoretically grounded application of dropout in recurrent neural networks"; their dropout of the
//! recurrent state is [`mod@super::recurrent_dropout`], that of whole words [`crate::Embedding::word_dropout`].

use candle_core::{Result, Tensor};
use candlewick_parameters::Mode;

/// Dropout on xs (N, T, D) with one mask (N, D) for all steps in training; xs itself in evaluation.
///
/// # Errors
/// When p lies outside [0, 1], or xs is not (N, T, D).
pub fn variational_dropout(xs: &Tensor, p: f64, mode: &mut Mode) -> Result<Tensor> {
    let (n, _, d) = xs.dims3()?;
    if p == 0.0 || !mode.is_training() {
        return mode.dropout(xs, p);
    }
    xs.broadcast_mul(&mode.dropout(&Tensor::ones((n, 1, d), xs.dtype(), xs.device())?, p)?)
}

/// Dropout on sequences xs (N, T, D), of the same units at all steps where it is `variational`.
pub(crate) fn dropout(xs: &Tensor, p: f64, variational: bool, mode: &mut Mode) -> Result<Tensor> {
    if variational { variational_dropout(xs, p, mode) } else { mode.dropout(xs, p) }
}
