//! What layers without a state check and mask.

use crate::cell::check_lengths;
use candle_core::{Result, Tensor};

/// Checks what a layer without a state is given: no state, and a length of at most T for each row.
pub(super) fn check_stateless(
    name: &str,
    xs: &Tensor,
    state: Option<&[Vec<Tensor>]>,
    lengths: Option<&[usize]>,
) -> Result<()> {
    if let Some(state) = state.filter(|state| !state.is_empty()) {
        candle_core::bail!("{name}: carries no state, got that of {} cells", state.len())
    }
    check_lengths(name, xs, lengths)
}

/// 1 for each step that a row has and 0 for the others: (N, T).
pub(super) fn mask_of(xs: &Tensor, lengths: Option<&[usize]>) -> Result<Option<Tensor>> {
    let Some(lengths) = lengths else { return Ok(None) };
    let t = xs.dim(1)?;
    let values: Vec<f32> = lengths.iter().flat_map(|&l| (0..t).map(move |t| if t < l { 1.0 } else { 0.0 })).collect();
    Ok(Some(Tensor::from_vec(values, (lengths.len(), t), xs.device())?.to_dtype(xs.dtype())?))
}

/// xs (N, T, ·) with zeros at the steps where the mask (N, T) is 0.
pub(super) fn masked(xs: &Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
    mask.map_or(Ok(xs.clone()), |mask| xs.broadcast_mul(&mask.unsqueeze(2)?))
}
