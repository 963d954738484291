//! The attentive LSTM step by step, on any device and in any type of float; its gradient is candle's.

use super::{Sequence, Weights};
use crate::activation::sigmoid;
use crate::{attend, recurrence};
use candle_core::{Result, Tensor};

/// [`super::attentive_lstm`] with a length for each row.
pub fn attentive_lstm(
    xs: &Tensor,
    keys: &Tensor,
    annotations: &Tensor,
    (h, c): (&Tensor, &Tensor),
    weights: Weights,
    lengths: &[usize],
) -> Result<Sequence> {
    let (steps, e) = (xs.dim(1)?, xs.dim(2)?);
    let c_size = annotations.dim(2)?;
    let linear =
        |x: &Tensor, (weight, bias): (&Tensor, &Tensor)| x.contiguous()?.matmul(&weight.t()?)?.broadcast_add(bias);
    let (of_words, of_context) = (weights.input.narrow(1, 0, e)?, weights.input.narrow(1, e, c_size)?);
    let (mut h, mut c) = (h.clone(), c.clone());
    let (mut hidden, mut contexts, mut alphas) = (Vec::new(), Vec::new(), Vec::new());
    for t in 0..steps {
        let query = linear(&h, weights.query)?;
        let (mut context, alpha) = attend::additive(keys, &query, weights.v, annotations)?;
        if let Some(gate) = weights.gate {
            context = (context * sigmoid(&linear(&h, gate)?)?)?;
        }
        let x = xs.narrow(1, t, 1)?.squeeze(1)?;
        let projected = (linear(&x, (&of_words, weights.bias))? + context.matmul(&of_context.t()?)?)?;
        (_, h, c) = recurrence::lstm(&projected.unsqueeze(1)?, weights.hidden, &h, &c, None, false)?;
        hidden.push(h.clone());
        contexts.push(context);
        alphas.push(alpha);
    }
    let mask: Vec<f32> =
        lengths.iter().flat_map(|&length| (0..steps).map(move |t| if t < length { 1.0 } else { 0.0 })).collect();
    let mask = Tensor::from_vec(mask, (lengths.len(), steps, 1), xs.device())?.to_dtype(xs.dtype())?;
    let stack = |steps: &[Tensor]| Tensor::stack(steps, 1)?.broadcast_mul(&mask);
    Ok(Sequence { hidden: stack(&hidden)?, context: stack(&contexts)?, alpha: stack(&alphas)? })
}
