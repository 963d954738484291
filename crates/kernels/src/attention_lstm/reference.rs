//! The attention LSTM step by step, by additive attention and an LSTM of one step: any type of float, any device.

use super::{Options, Sequence, Weights, positions};
use crate::activation::sigmoid;
use crate::recurrence::steps::{Steps, at, in_place};
use crate::{additive_attention, recurrence};
use candle_core::{Result, Tensor};

/// [`super::attention_lstm`] over the steps that each row has.
pub fn attention_lstm(
    xs: &Tensor,
    keys: &Tensor,
    annotations: &Tensor,
    (h, c): (&Tensor, &Tensor),
    weights: Weights,
    (given, Options { counts, draws, .. }): (&Steps, Options),
) -> Result<Sequence> {
    let xs = given.present(xs)?;
    let (e, (n, p, c_size)) = (xs.dim(2)?, annotations.dims3()?);
    let linear =
        |x: &Tensor, (weight, bias): (&Tensor, &Tensor)| x.contiguous()?.matmul(&weight.t()?)?.broadcast_add(bias);
    // CUDA multiplies no columns cut out of a wider matrix.
    let of_words = weights.input.narrow(1, 0, e)?.contiguous()?;
    let of_context = weights.input.narrow(1, e, c_size)?.contiguous()?;
    let (mut h, mut c) = (h.clone(), c.clone());
    let (mut hidden, mut contexts, mut alphas) = (Vec::new(), Vec::new(), Vec::new());
    let total = xs.dim(1)?;
    for t in given.order() {
        let query = linear(&h, weights.query)?;
        let rows = additive_attention::Rows { source: None, counts };
        let (mut context, alpha) = additive_attention::additive_rows(keys, &query, weights.v, annotations, rows)?;
        if let Some(draws) = draws {
            let draws: Vec<f32> = draws.iter().skip(t).step_by(total).copied().collect();
            context = additive_attention::gather_position(annotations, &positions(&alpha, &draws)?, None)?;
        }
        if let Some(gate) = weights.gate {
            context = (context * sigmoid(&linear(&h, gate)?)?)?;
        }
        let x = at(&xs, t)?;
        let projected = (linear(&x, (&of_words, weights.bias))? + context.matmul(&of_context.t()?)?)?;
        (_, h, c) = recurrence::lstm(&projected.unsqueeze(1)?, weights.hidden, &h, &c, None, false)?;
        let mask = given.mask(t, xs.device())?;
        for (all, value) in [(&mut hidden, &h), (&mut contexts, &context), (&mut alphas, &alpha)] {
            all.push(mask.as_ref().map_or(Ok(value.clone()), |mask| mask.kept(value))?);
        }
    }
    let place = |values: &[Tensor], width: usize| {
        in_place(given, given.order(), values, &Tensor::zeros((n, width), xs.dtype(), xs.device())?)
    };
    let (hidden, context, alpha) = (place(&hidden, h.dim(1)?)?, place(&contexts, c_size)?, place(&alphas, p)?);
    let positions = draws.map(|draws| positions(&alpha, draws)).transpose()?;
    Ok(Sequence { hidden, context, alpha, positions })
}
