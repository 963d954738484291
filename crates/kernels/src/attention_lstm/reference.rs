//! The attention LSTM step by step, by additive attention and an LSTM of one step: any type of float, any device.

use super::{Options, PositionSampler, Sequence, Sizes};
use crate::activation::sigmoid;
use crate::recurrence::steps::{Steps, stack_steps, step_of};
use crate::{additive_attention, recurrence};
use candle_core::{Result, Tensor};

/// [`super::attention_lstm`] of all inputs in the order of the operation.
pub fn attention_lstm(inputs: &[&Tensor], sizes: Sizes, steps: Steps, options: Options) -> Result<Sequence> {
    let [xs, keys, annotations, h, c, input, w_hh, bias, w_query, b_query, v, beta @ ..] = inputs else {
        candle_core::bail!("attention_lstm: {} inputs", inputs.len())
    };
    let (xs, Options { counts, draws, .. }) = (steps.zero_padding(xs)?, options);
    let affine = |x: &Tensor, weight: &Tensor, bias: &Tensor| x.matmul(&weight.t()?)?.broadcast_add(bias);
    // CUDA multiplies no columns cut out of a wider matrix.
    let w_x = input.narrow(1, 0, sizes.e)?.contiguous()?;
    let w_context = input.narrow(1, sizes.e, sizes.c)?.contiguous()?;
    let (mut h, mut c) = ((*h).clone(), (*c).clone());
    let (mut hidden, mut contexts, mut alphas) = (Vec::new(), Vec::new(), Vec::new());
    let masks = steps.masks(xs.device())?;
    let sampler = draws.map(|_| PositionSampler::new(sizes.p, xs.device())).transpose()?;
    let drawn = draws.zip(sampler.as_ref());
    for t in steps.order() {
        h = h.contiguous()?;
        let query = affine(&h, w_query, b_query)?;
        let rows = additive_attention::Rows { source: None, counts };
        let (mut context, alpha) = additive_attention::additive_rows(keys, &query, v, annotations, rows)?;
        if let Some((draws, sampler)) = drawn {
            let positions = sampler.choose(&alpha, &step_of(draws, t)?)?;
            context = additive_attention::gather_position(annotations, &positions, None)?;
        }
        if let [weight, bias] = beta {
            context = (context * sigmoid(&affine(&h, weight, bias)?)?)?;
        }
        let x = affine(&step_of(&xs, t)?.contiguous()?, &w_x, bias)?;
        let projected = (x + context.matmul(&w_context.t()?)?)?;
        (_, h, c) = recurrence::lstm(&projected.unsqueeze(1)?, w_hh, &h, &c, None, false)?;
        let mask = masks.of(t)?;
        for (all, value) in [(&mut hidden, &h), (&mut contexts, &context), (&mut alphas, &alpha)] {
            all.push(mask.as_ref().map_or(Ok(value.clone()), |mask| mask.present(value))?);
        }
    }
    let place = |values: &[Tensor], width: usize| {
        stack_steps(&steps, steps.order(), values, &Tensor::zeros((sizes.n, width), xs.dtype(), xs.device())?)
    };
    let (hidden, context, alpha) = (place(&hidden, sizes.h)?, place(&contexts, sizes.c)?, place(&alphas, sizes.p)?);
    let positions = drawn.map(|(draws, sampler)| sampler.choose(&alpha, draws)).transpose()?;
    Ok(Sequence { hidden, context, alpha, positions })
}
