#![allow(clippy::unwrap_used)]
use super::*;
use crate::cuda::emulator::emulated_in;
use crate::node::{Gradients, backward};
use crate::precision::Precision;
use crate::test_values::test_values;
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

#[test]
fn cuda_kernels_and_products_give_what_the_cpu_gives() {
    for (seed, (m, k, n)) in [(1, 1, 1), (7, 33, 10), (64, 30, 128), (3, 200, 5)].into_iter().enumerate() {
        for bias in [true, false] {
            let variables: Vec<Var> = [&[m, k][..], &[n, k], &[n]]
                .into_iter()
                .enumerate()
                .map(|(i, shape)| {
                    let values = test_values((10 * seed + i) as u64, shape.iter().product());
                    Var::from_tensor(&(Tensor::from_vec(values, shape, &Device::Cpu).unwrap() * 0.3).unwrap()).unwrap()
                })
                .collect();
            let run = || {
                let [x, w, b] = [0, 1, 2].map(|i| variables[i].as_tensor());
                let ys = linear(x, w, bias.then_some(b)).unwrap();
                // A second use of the weight, so that its gradient is a sum.
                let twice = linear(&(x * 2.0).unwrap(), w, None).unwrap();
                let loss = (ys.sqr().unwrap().sum_all().unwrap() + twice.sqr().unwrap().sum_all().unwrap()).unwrap();
                let gradients = backward(&loss).unwrap();
                let found = variables[..if bias { 3 } else { 2 }].iter().map(|var| gradients.get(var).unwrap().clone());
                [ys].into_iter()
                    .chain(found)
                    .map(|tensor| tensor.flatten_all().unwrap().to_vec1().unwrap())
                    .collect::<Vec<Vec<f32>>>()
            };
            let wanted = run();
            for (precision, tolerance) in [(Precision::Highest, 1e-5), (Precision::Bf16, 2e-2), (Precision::F16, 3e-3)]
            {
                let Some(found) = emulated_in(precision, seed as u64, run).unwrap() else { return };
                for (i, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
                    let largest = wanted.iter().fold(0.1f32, |largest, value| largest.max(value.abs()));
                    for (f, w) in found.iter().zip(wanted) {
                        assert!(
                            (f - w).abs() <= tolerance * largest,
                            "{m}×{k}×{n} in {precision}, tensor {i}: {f} instead of {w}"
                        );
                    }
                }
            }
        }
    }
}
