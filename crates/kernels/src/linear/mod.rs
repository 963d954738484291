//! Linear (fully connected) layer as one autograd node, whose weight gradients may be deferred.
//!
//! candle's own product computes the gradient of both sides, wanted or not, and copies what is transposed.

mod cpu;
mod reference;
#[cfg(test)]
mod tests;

use crate::backend::{Backend, Op};
use crate::node::{Call, Operation, Value, apply_one};
use candle_core::{Result, Tensor};

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
    apply_one(Linear(Backend::choose(Op::Linear, &inputs)), &inputs)
}

struct Linear(Backend);

impl Operation for Linear {
    const NAME: &'static str = NAME;
    type Saved = ();

    fn forward(&self, inputs: &[Tensor], _: bool) -> Result<(Vec<Value>, ())> {
        let ys = match self.0 {
            Backend::Cpu => cpu::forward(inputs)?,
            Backend::Reference => reference::forward(inputs)?,
        };
        Ok((vec![ys], ()))
    }

    fn backward(&self, call: &Call<()>, gradients: &[Tensor]) -> Result<Vec<Option<Tensor>>> {
        let (xs, weight, dys) = (&call.inputs[0], &call.inputs[1], &gradients[0]);
        if call.wants(1) {
            call.defer_matmul_gradient(1, dys.clone(), xs.contiguous()?);
        }
        let of_xs = || match self.0 {
            Backend::Cpu => cpu::input_gradient(dys, weight),
            Backend::Reference => reference::input_gradient(dys, weight),
        };
        let of_bias = || match self.0 {
            Backend::Cpu => cpu::bias_gradient(dys),
            Backend::Reference => reference::bias_gradient(dys),
        };
        // Without a bias the third has no input to go to.
        Ok(vec![call.wants(0).then(of_xs).transpose()?, None, call.wants(2).then(of_bias).transpose()?])
    }
}
