//! Linear (fully connected) layer as one autograd node, whose weight gradients may be deferred.
//!
//! candle's own product computes the gradient of both sides, wanted or not, and copies what is transposed.

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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::node::{Gradients, backward};
    use candle_core::{DType, Device, Var};

    fn variables(dtype: DType) -> Vec<Var> {
        let make = |shape: &[usize], factor: f64| {
            let count = shape.iter().product::<usize>();
            let values: Vec<f64> = (0..count).map(|i| ((i as f64 + 1.0) * factor).sin()).collect();
            let tensor = Tensor::from_vec(values, shape, &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
            Var::from_tensor(&tensor).unwrap()
        };
        vec![make(&[5, 3], 0.7), make(&[4, 3], 1.3), make(&[4], 2.1)]
    }

    fn outcome(variables: &[Var], ys: &Tensor) -> Vec<Vec<f64>> {
        let flat = |tensor: &Tensor| -> Vec<f64> {
            tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
        };
        let store = ys.sqr().unwrap().sum_all().unwrap().backward().unwrap();
        let gradients = variables.iter().filter_map(|var| store.get(var.as_tensor())).map(flat);
        [flat(ys)].into_iter().chain(gradients).collect()
    }

    #[test]
    fn values_and_gradients_are_those_of_candles_product() {
        for (dtype, tolerance) in [(DType::F32, 1e-5), (DType::F64, 1e-12)] {
            for bias in [true, false] {
                let variables = variables(dtype);
                let (x, w, b) = (variables[0].as_tensor(), variables[1].as_tensor(), variables[2].as_tensor());
                let ours = linear(x, w, bias.then_some(b)).unwrap();
                let product = x.matmul(&w.t().unwrap()).unwrap();
                let plain = if bias { product.broadcast_add(b).unwrap() } else { product };
                let (ours, plain) = (outcome(&variables, &ours), outcome(&variables, &plain));
                assert_eq!((ours.len(), plain.len()), (if bias { 4 } else { 3 }, if bias { 4 } else { 3 }));
                for (ours, plain) in ours.iter().flatten().zip(plain.iter().flatten()) {
                    assert!((ours - plain).abs() < tolerance, "{ours} instead of {plain}");
                }
            }
        }
    }

    /// Some steps with few rows, whose gradients are formed together, and one with more rows than W has.
    fn steps(x: &Tensor, w: &Tensor) -> Tensor {
        let few = (0..3).try_fold(x.clone(), |h, _| linear(&h, w, None)?.tanh()).unwrap();
        let many = linear(&few.repeat((4, 1)).unwrap(), w, None).unwrap();
        (few.sqr().unwrap().sum_all().unwrap() + many.sqr().unwrap().sum_all().unwrap()).unwrap()
    }

    #[test]
    fn the_gradient_of_a_weight_that_many_steps_share_is_the_sum_of_theirs() {
        for (dtype, tolerance) in [(DType::F32, 1e-5), (DType::F64, 1e-12)] {
            let make = |shape: &[usize], factor: f64| {
                let values = (0..shape.iter().product()).map(|i: usize| (i as f64 * factor + 0.3).sin()).collect();
                let tensor = Tensor::from_vec(values, shape, &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
                Var::from_tensor(&tensor).unwrap()
            };
            let (x, w) = (make(&[2, 5], 0.9), make(&[5, 5], 1.7));
            let values = |tensor: &Tensor| -> Vec<f64> {
                tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
            };
            let loss = steps(&x, &w);
            // candle's backward pass collects nothing, so that each step's product is formed by itself.
            let (ours, candles) = (backward(&loss).unwrap(), loss.backward().unwrap());
            let mut twice = Gradients::default();
            twice.backward(&loss).unwrap();
            twice.backward(&loss).unwrap();
            for var in [&x, &w] {
                let wanted = values(candles.get(var).unwrap());
                let twice = values(&twice.take(var).unwrap().unwrap());
                for ((found, twice), wanted) in values(ours.get(var).unwrap()).iter().zip(&twice).zip(&wanted) {
                    assert!((found - wanted).abs() < tolerance && (twice - 2.0 * wanted).abs() < tolerance);
                }
            }
            assert!(twice.take(&w).unwrap().is_none(), "it is forgotten");
        }
    }

    #[test]
    fn the_bias_of_many_rows_has_an_exact_gradient() {
        let (rows, output) = (20_000, 3);
        let xs = Tensor::zeros((rows, 1), DType::F32, &Device::Cpu).unwrap();
        let weight = Tensor::zeros((output, 1), DType::F32, &Device::Cpu).unwrap();
        let bias = Var::zeros(output, DType::F32, &Device::Cpu).unwrap();
        let loss = (linear(&xs, &weight, Some(&bias)).unwrap() * 0.1).unwrap().sum_all().unwrap();
        let found = backward(&loss).unwrap().get(&bias).unwrap().to_vec1::<f32>().unwrap();
        let wanted = rows as f64 * f64::from(0.1f32);
        found.iter().for_each(|&sum| assert!((f64::from(sum) / wanted - 1.0).abs() < 1e-5, "{sum}, not {wanted}"));
    }

    #[test]
    fn strided_inputs_serve_and_wrong_shapes_are_named() {
        let variables = variables(DType::F32);
        let (x, w) = (variables[0].as_tensor(), variables[1].as_tensor());
        let strided = x.t().unwrap().contiguous().unwrap().t().unwrap();
        let (a, b) = (linear(&strided, w, None).unwrap(), linear(x, w, None).unwrap());
        assert_eq!(a.to_vec2::<f32>().unwrap(), b.to_vec2::<f32>().unwrap());
        assert!(linear(w, &x.t().unwrap(), None).unwrap_err().to_string().contains("do not fit"));
    }
}
