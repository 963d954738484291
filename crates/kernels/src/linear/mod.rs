//! Linear (fully connected) layer as one autograd node, whose weight gradients may be deferred.
//!
//! candle's own product computes the gradient of both sides, wanted or not, and copies what is transposed.

pub(crate) mod cuda;
#[cfg(test)]
mod tests;

use crate::backend::{Backend, Op};
use crate::cpu::gemm::{GemmShape, Strided, gemm};
use crate::cpu::reduce::column_sums;
use crate::node::{Call, Operation, Value, apply_one, with_all_f32, with_f32, with_f32s};
use candle_core::{Device, Result, Tensor};

const NAME: &str = "linear";

/// y = x Wᵀ + b: `xs` (M, in), `weight` (out, in) and `bias` (out) give (M, out).
///
/// # Errors
/// When the shapes do not fit together.
pub fn linear(xs: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let ((rows, input), (output, wanted)) = (xs.dims2()?, weight.dims2()?);
    if input != wanted || bias.is_some_and(|bias| bias.dims() != [output]) {
        let bias = bias.map(|bias| bias.dims());
        candle_core::bail!("{NAME}: inputs ({rows}, {input}), weight ({output}, {wanted}) and bias {bias:?} do not fit")
    }
    let inputs: Vec<&Tensor> = [xs, weight].into_iter().chain(bias).collect();
    if let Some(gpu) = Backend::gpu(Op::Linear, &inputs) {
        return cuda::linear(gpu, &inputs);
    }
    apply_one(Linear(Backend::choose(Op::Linear, &inputs)), &inputs)
}

struct Linear(Backend);

impl Operation for Linear {
    const NAME: &'static str = NAME;
    type Saved = ();

    fn forward(&self, inputs: &[Tensor], _: bool) -> Result<(Vec<Value>, ())> {
        let ys = match self.0 {
            Backend::Reference => reference(&inputs[0], &inputs[1], inputs.get(2))?.into(),
            Backend::Cpu => {
                let ((m, k), n) = (inputs[0].dims2()?, inputs[1].dim(0)?);
                let product = |values: &[&[f32]]| {
                    let (xs, weight) = (Strided::rows(values[0], k), Strided::columns(values[1], k));
                    gemm(xs, weight, GemmShape { m, n, k }, values.get(2).copied())
                };
                Value::new(with_all_f32(NAME, inputs, product)?, (m, n))
            }
        };
        Ok((vec![ys], ()))
    }

    fn backward(&self, call: &Call<()>, gradients: &[Tensor]) -> Result<Vec<Option<Tensor>>> {
        let (xs, weight, dys) = (&call.inputs[0], &call.inputs[1], &gradients[0]);
        if call.wants(1) {
            call.defer_matmul_gradient(1, dys.clone(), xs.contiguous()?);
        }
        let of_xs = || match self.0 {
            Backend::Reference => dys.matmul(weight),
            Backend::Cpu => {
                let ((m, k), n) = (dys.dims2()?, weight.dim(1)?);
                let dxs = with_f32s(NAME, [dys, weight], |[dys, weight]| {
                    gemm(Strided::rows(dys, k), Strided::rows(weight, n), GemmShape { m, n, k }, None)
                })?;
                Tensor::from_vec(dxs, (m, n), &Device::Cpu)
            }
        };
        let of_bias = || match self.0 {
            Backend::Reference => dys.sum(0),
            Backend::Cpu => {
                let n = dys.dim(1)?;
                Tensor::from_vec(with_f32(NAME, dys, |dys| column_sums(dys, n, n))?, n, &Device::Cpu)
            }
        };
        // Without a bias the third has no input to go to.
        Ok(vec![call.wants(0).then(of_xs).transpose()?, None, call.wants(2).then(of_bias).transpose()?])
    }
}

/// [`linear`] in candle's tensor operations.
fn reference(xs: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let ys = xs.contiguous()?.matmul(&weight.t()?)?;
    bias.map_or(Ok(ys.clone()), |bias| ys.broadcast_add(bias))
}
