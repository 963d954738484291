//! Additive attention by candle's operations, on any device and in any type of float.

use crate::node::{Call, Operation, Value};
use candle_core::{D, Result, Tensor};
use candle_nn::ops::softmax;

/// [`super::additive_of`] on keys, query, v and annotations, a picture a row.
pub struct Additive {
    pub counts: Option<Vec<u32>>,
}

impl Additive {
    /// 0 at the annotations that each row has and −∞ at the others, (N, P).
    fn mask(&self, energies: &Tensor) -> Result<Option<Tensor>> {
        let Some(counts) = &self.counts else { return Ok(None) };
        let p = energies.dim(1)? as u32;
        let place = |count: u32| (0..p).map(move |place| if place < count { 0f32 } else { f32::NEG_INFINITY });
        let mask = counts.iter().flat_map(|&count| place(count)).collect();
        Ok(Some(Tensor::from_vec(mask, energies.shape(), energies.device())?.to_dtype(energies.dtype())?))
    }
}

/// tanh(keys + query) of shape (N, P, A).
fn hidden(inputs: &[Tensor]) -> Result<Tensor> {
    inputs[0].broadcast_add(&inputs[1].unsqueeze(1)?)?.tanh()
}

impl Operation for Additive {
    type Saved = ();

    fn name(&self) -> &'static str {
        "additive attention"
    }

    fn forward(&self, inputs: &[Tensor], _: bool) -> Result<(Vec<Value>, ())> {
        let mut energies = hidden(inputs)?.broadcast_mul(&inputs[2])?.sum(D::Minus1)?;
        if let Some(mask) = self.mask(&energies)? {
            energies = (energies + mask)?;
        }
        let alpha = softmax(&energies, D::Minus1)?;
        let context = alpha.unsqueeze(1)?.matmul(&inputs[3].contiguous()?)?.squeeze(1)?;
        Ok((vec![context.into(), alpha.into()], ()))
    }

    fn backward(&self, call: &Call<()>, gradients: &[Tensor]) -> Result<Vec<Option<Tensor>>> {
        let (v, annotations, alpha) = (&call.inputs[2], &call.inputs[3], &call.outputs[1]);
        let (d_context, d_alpha) = (&gradients[0], &gradients[1]);
        let from_context = annotations.contiguous()?.matmul(&d_context.unsqueeze(2)?)?.squeeze(2)?;
        let d_alpha = (d_alpha + from_context)?;
        let mean = (alpha * &d_alpha)?.sum_keepdim(1)?;
        let d_energies = (alpha * d_alpha.broadcast_sub(&mean)?)?.unsqueeze(2)?;
        let hidden = hidden(call.inputs)?;
        let d_v = hidden.broadcast_mul(&d_energies)?.sum((0, 1))?;
        let slope = hidden.sqr()?.affine(-1.0, 1.0)?;
        let d_keys = slope.broadcast_mul(v)?.broadcast_mul(&d_energies)?;
        let d_query = d_keys.sum(1)?;
        let d_annotations = match call.wanted[3] {
            true => Some(alpha.unsqueeze(2)?.matmul(&d_context.unsqueeze(1)?)?),
            false => None,
        };
        Ok(vec![Some(d_keys), Some(d_query), Some(d_v), d_annotations])
    }
}
