//! Units that now and then keep what they had a step before.
//!
//! s_t = d ⊙ s_{t−1} + (1 − d) ⊙ s̃_t, where s̃_t is the cell's new state and d ~ Bernoulli(z) for each unit, row and step in
//! training, d = z in evaluation. Unlike dropout's zeros, what is kept lets the gradient through unchanged.
//!
//! Krueger et al. 2017, "Zoneout: regularizing RNNs by randomly preserving hidden activations".

use crate::cell::Cell;
use candle_core::{D, Result, Tensor};
use candlewick_kernels::recurrence::unrolled;
use candlewick_parameters::{Mode, Rng};

/// The probabilities z with which units keep what they had.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Zoneout {
    /// That of the output h.
    pub hidden: f64,
    /// That of the rest of the state, such as c.
    pub cell: f64,
}

impl Zoneout {
    /// [`Cell::sequence`] with zoneout.
    ///
    /// # Errors
    /// When a probability lies outside [0, 1], shapes do not fit together, or a length exceeds T.
    pub fn sequence(
        self,
        cell: &dyn Cell,
        xs: &Tensor,
        state: &[Tensor],
        lengths: Option<&[usize]>,
        reverse: bool,
        mode: &mut Mode,
    ) -> Result<(Tensor, Vec<Tensor>)> {
        if let Some(z) = [self.hidden, self.cell].into_iter().find(|z| !(0.0..=1.0).contains(z)) {
            candle_core::bail!("zoneout: the probability {z} lies outside [0, 1]")
        }
        let widths = cell.state_sizes();
        let rates: Vec<f64> = (0..widths.len()).map(|k| if k == 0 { self.hidden } else { self.cell }).collect();
        let (projected, parameters) = (cell.project_input(xs)?, cell.parameters());
        let d = projected.dim(D::Minus1)?;
        // The masks come in beside x, so that a step that runs again for the backward pass meets the same ones.
        let masked = match mode {
            Mode::Eval => None,
            Mode::Train(rng) => Some(with_masks(&projected, &rates, &widths, rng)?),
        };
        let (cell, random) = (cell.clone_cell(), masked.is_some());
        let step = move |input: &Tensor, old: &[Tensor], parameters: &[Tensor]| {
            let x = if random { input.narrow(1, 0, d)?.contiguous()? } else { input.clone() };
            let new = cell.with_parameters(parameters)?.step_projected(&x, old, None)?;
            let mut at = d;
            let mut mixed = Vec::with_capacity(new.len());
            for (((new, old), &z), &width) in new.iter().zip(old).zip(&rates).zip(&widths) {
                let change = (new - old)?;
                mixed.push(match random {
                    true => (old + (change * input.narrow(1, at, width)?)?)?,
                    false => (old + change.affine(1.0 - z, 0.0)?)?,
                });
                at += width;
            }
            Ok(mixed)
        };
        unrolled(step, masked.as_ref().unwrap_or(&projected), state, &parameters, lengths, reverse)
    }
}

/// xs (N, T, D) with 1 − d beside it for each unit of the state.
fn with_masks(xs: &Tensor, rates: &[f64], widths: &[usize], rng: &mut Rng) -> Result<Tensor> {
    let (n, t, _) = xs.dims3()?;
    let mut parts = vec![xs.clone()];
    for (&z, &width) in rates.iter().zip(widths) {
        let changes: Vec<f32> = (0..n * t * width).map(|_| if rng.chance(z) { 0.0 } else { 1.0 }).collect();
        parts.push(Tensor::from_vec(changes, (n, t, width), xs.device())?.to_dtype(xs.dtype())?);
    }
    Tensor::cat(&parts, 2)
}
