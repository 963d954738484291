//! The attention LSTM step by step, by additive attention and an LSTM of one step: any type of float, any device.

use super::{Options, Sequence, Sizes};
use crate::activation::sigmoid;
use crate::recurrence::steps::{Steps, stack_steps, step_of};
use crate::{additive_attention, recurrence};
use candle_core::{D, DType, Result, Tensor};

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
    for t in steps.order() {
        h = h.contiguous()?;
        let query = affine(&h, w_query, b_query)?;
        let rows = additive_attention::Rows { source: None, counts };
        let (mut context, alpha) = additive_attention::additive_rows(keys, &query, v, annotations, rows)?;
        if let Some(draws) = draws {
            let draws: Vec<f32> = draws.iter().skip(t).step_by(sizes.t).copied().collect();
            context = additive_attention::gather_position(annotations, &super::positions(&alpha, &draws)?, None)?;
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
    let positions = draws.map(|draws| super::positions(&alpha, draws)).transpose()?;
    Ok(Sequence { hidden, context, alpha, positions })
}

/// [`super::positions`] of rows (M, P) of f32, without a read on the host.
pub fn positions(alpha: &Tensor, draws: &[f32]) -> Result<Tensor> {
    let (m, p) = alpha.dims2()?;
    let draws = Tensor::from_slice(draws, (m, 1), alpha.device())?;
    // Of as many positions the sum so far does not exceed the number.
    let passed = alpha.cumsum(D::Minus1)?.broadcast_le(&draws)?.to_dtype(DType::F32)?.sum(D::Minus1)?;
    let indices = Tensor::arange(0f32, p as f32, alpha.device())?;
    let last = alpha.gt(0.0)?.to_dtype(DType::F32)?.broadcast_mul(&indices)?.max(D::Minus1)?;
    passed.minimum(&last)?.to_dtype(DType::U32)
}
