//! Additive attention in candle's tensor operations, with its gradient by hand: any type of float, any device.

use super::{NAME, Rows};
use crate::activation::reference::tanh_grad;
use crate::node::{Call, Operation, Value, apply_array};
use crate::softmax::softmax;
use candle_core::{D, Result, Tensor};

/// [`super::additive_rows`].
pub fn additive(
    keys: &Tensor,
    query: &Tensor,
    v: &Tensor,
    annotations: &Tensor,
    Rows { source, counts }: Rows,
) -> Result<(Tensor, Tensor)> {
    let (mut keys, mut annotations, mut mask) =
        (keys.clone(), annotations.clone(), counts.map(|all| all.mask().clone()));
    if let Some(source) = source {
        (keys, annotations) = (keys.index_select(source, 0)?, annotations.index_select(source, 0)?);
        mask = mask.map(|mask| mask.index_select(source, 0)).transpose()?;
    }
    apply_array(Additive { mask }, &[&keys, query, v, &annotations]).map(|[context, alpha]| (context, alpha))
}

/// On keys, query, v and annotations, a source a row.
struct Additive {
    /// Which of P annotations each row has, (N, P).
    mask: Option<Tensor>,
}

/// `tensor` (N, P) or (N, P, ·) with `value` at the annotations that a row does not have, which may be NaN.
fn with(value: f64, mask: Option<&Tensor>, tensor: &Tensor) -> Result<Tensor> {
    let Some(mask) = mask else { return Ok(tensor.clone()) };
    let mask = if tensor.rank() > 2 { mask.unsqueeze(2)? } else { mask.clone() };
    mask.broadcast_as(tensor.shape())?.where_cond(tensor, &(tensor.zeros_like()? + value)?)
}

/// tanh(keys + query) of shape (N, P, A).
fn hidden(inputs: &[Tensor], mask: Option<&Tensor>) -> Result<Tensor> {
    with(0.0, mask, &inputs[0])?.broadcast_add(&inputs[1].unsqueeze(1)?)?.tanh()
}

impl Operation for Additive {
    const NAME: &'static str = NAME;
    type Saved = ();

    fn forward(&self, inputs: &[Tensor], _: bool) -> Result<(Vec<Value>, ())> {
        let mask = self.mask.as_ref();
        let energies = hidden(inputs, mask)?.broadcast_mul(&inputs[2])?.sum(D::Minus1)?;
        let alpha = softmax(&with(f64::NEG_INFINITY, mask, &energies)?, D::Minus1)?;
        let annotations = with(0.0, mask, &inputs[3])?.contiguous()?;
        let context = alpha.unsqueeze(1)?.matmul(&annotations)?.squeeze(1)?;
        Ok((vec![context.into(), alpha.into()], ()))
    }

    fn backward(&self, call: &Call<()>, gradients: &[Tensor]) -> Result<Vec<Option<Tensor>>> {
        let (v, alpha, d_context) = (&call.inputs[2], &call.outputs[1], &gradients[0]);
        let mask = self.mask.as_ref();
        let annotations = with(0.0, mask, &call.inputs[3])?.contiguous()?;
        let from_context = annotations.matmul(&d_context.unsqueeze(2)?)?.squeeze(2)?;
        let d_alpha = (with(0.0, mask, &gradients[1])? + from_context)?;
        let mean = (alpha * &d_alpha)?.sum_keepdim(1)?;
        let d_energies = (alpha * d_alpha.broadcast_sub(&mean)?)?.unsqueeze(2)?;
        let hidden = hidden(call.inputs, mask)?;
        let d_v = hidden.broadcast_mul(&d_energies)?.sum((0, 1))?;
        let d_keys = tanh_grad(&hidden)?.broadcast_mul(v)?.broadcast_mul(&d_energies)?;
        let d_query = d_keys.sum(1)?;
        let d_annotations = match call.wanted[3] {
            true => Some(alpha.unsqueeze(2)?.matmul(&d_context.unsqueeze(1)?)?),
            false => None,
        };
        Ok(vec![Some(d_keys), Some(d_query), Some(d_v), d_annotations])
    }
}
