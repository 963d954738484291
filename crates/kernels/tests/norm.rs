//! Normalisations against PyTorch, finite differences and the reference path; candle's own faults.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod compare;

use candle_core::{DType, Module, Result, Tensor, Var};
use candlewick_kernels::norm::{batch_norm_eval, batch_norm_train, group_norm, layer_norm};
use compare::*;
use proptest::prelude::*;

const EPS: f64 = 1e-5;

fn train(x: &[Tensor]) -> Result<Tensor> {
    Ok(batch_norm_train(&x[0], &x[1], &x[2], EPS)?.0)
}

#[test]
fn values_and_gradients_are_those_of_pytorch() {
    for (i, case) in cases("norm").iter().enumerate() {
        let o = options(case);
        check_case(case, &["xs", "weight", "bias"], &format!("norm {i} {o:?}"), |x| match o[0] {
            0 => layer_norm(&x[0], x.get(1), x.get(2), EPS),
            1 => group_norm(&x[0], o[1], x.get(1), x.get(2), EPS),
            2 => train(x),
            _ => {
                let statistic = |name: &str| case[name].to_dtype(x[0].dtype());
                batch_norm_eval(&x[0], &x[1], &x[2], &statistic("mean")?, &statistic("variance")?, EPS)
            }
        });
        if o[0] == 2 {
            let xs = &case["xs"];
            let count = (xs.elem_count() / xs.dims()[1]) as f64;
            for dtype in [DType::F32, DType::F64] {
                let x: Vec<Tensor> =
                    ["xs", "weight", "bias"].iter().map(|name| case[*name].to_dtype(dtype).unwrap()).collect();
                let (_, mean, variance) = batch_norm_train(&x[0], &x[1], &x[2], EPS).unwrap();
                assert_close(&mean, &case["mean"], 1e-6, "mean");
                assert_close(&(variance * (count / (count - 1.0))).unwrap(), &case["unbiased"], 1e-5, "variance");
            }
        }
    }
}

#[test]
fn gradients_are_finite_differences() {
    let inputs = [random(&[3, 4, 2, 3], 1), random(&[4], 2), random(&[4], 3)];
    let (mean, variance) = (random(&[4], 4), (random(&[4], 5) + 1.5).unwrap());
    let eval = |x: &[Tensor]| {
        let dtype = x[0].dtype();
        batch_norm_eval(&x[0], &x[1], &x[2], &mean.to_dtype(dtype)?, &variance.to_dtype(dtype)?, EPS)
    };
    let group = |x: &[Tensor]| group_norm(&x[0], 2, Some(&x[1]), Some(&x[2]), EPS);
    let layer = |x: &[Tensor]| layer_norm(&x[0], Some(&x[1]), Some(&x[2]), EPS);
    for f in [&train as &dyn Fn(&[Tensor]) -> Result<Tensor>, &eval, &group] {
        check_differences(&inputs, f);
        check_differences_f32(&inputs, f);
    }
    let rows = [random(&[3, 6], 1), random(&[6], 2), random(&[6], 3)];
    check_differences(&rows, layer);
    check_differences_f32(&rows, layer);
}

#[test]
fn a_mean_far_from_zero_keeps_the_variance() {
    let xs = (random(&[8, 2, 16, 16], 1) + 1000.0).unwrap();
    let (one, zero) =
        (Tensor::ones(2, DType::F32, xs.device()).unwrap(), Tensor::zeros(2, DType::F32, xs.device()).unwrap());
    let (_, mean, variance) = batch_norm_train(&xs, &one, &zero, EPS).unwrap();
    let [xs, one, zero] = [xs, one, zero].map(|x| x.to_dtype(DType::F64).unwrap());
    let (_, mean64, variance64) = batch_norm_train(&xs, &one, &zero, EPS).unwrap();
    assert_close(&mean, &mean64, 1e-6, "mean");
    assert_close(&variance, &variance64, 1e-5, "variance");
}

#[test]
fn half_precision_is_widened_within() {
    for dtype in [DType::BF16, DType::F16] {
        let of = |shape: &[usize], seed: u64| random(shape, seed).to_dtype(dtype).unwrap();
        let (xs, weight, bias, mean) = (of(&[4, 3, 5, 5], 1), of(&[3], 2), of(&[3], 3), of(&[3], 4));
        let variance = (random(&[3], 5) + 1.3).unwrap().to_dtype(dtype).unwrap();
        let found = batch_norm_eval(&xs, &weight, &bias, &mean, &variance, 0.01).unwrap();
        let [a, b, c, d, e] = [&xs, &weight, &bias, &mean, &variance].map(|x| x.to_dtype(DType::F32).unwrap());
        let wanted = batch_norm_eval(&a, &b, &c, &d, &e, 0.01).unwrap().to_dtype(dtype).unwrap();
        // Only the last bit, and that rarely: f32's own rounding may decide it.
        let differ = values(&found).iter().zip(values(&wanted)).filter(|(found, wanted)| **found != *wanted).count();
        assert!(differ <= 3, "{dtype:?}: {differ} of {} differ", xs.elem_count());
    }
}

#[test]
fn errors_name_the_operation_and_the_shapes() {
    let (xs, two, three) = (random(&[1, 3], 1), random(&[2], 2), random(&[3], 3));
    for (result, parts) in [
        (layer_norm(&xs, Some(&two), None, EPS), ["layer_norm", "weight of shape [3]", "[2]"]),
        (group_norm(&xs, 2, None, None, EPS), ["group_norm", "3 channels", "2 groups"]),
        (train(&[xs.clone(), three.clone(), two.clone()]), ["batch_norm", "bias of shape [3]", "[2]"]),
        (train(&[xs.clone(), three.clone(), three.clone()]), ["batch_norm", "two values", "[1, 3]"]),
        (batch_norm_eval(&xs, &three, &three, &three, &two, EPS), ["batch_norm", "variance of shape [3]", "[2]"]),
    ] {
        let message = result.unwrap_err().to_string();
        parts.iter().for_each(|part| assert!(message.contains(part), "{message:?} lacks {part:?}"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_fast_path_is_the_reference(n in 2usize..6, c in 1usize..6, h in 1usize..7, w in 1usize..7, flat: bool, scatter: bool) {
        let shape = if flat { vec![n, c] } else { vec![n, c, h, w] };
        let inputs = [(random(&shape, 1) * 2.0).unwrap(), random(&[c], 2), random(&[c], 3)];
        let statistics = [random(&[c], 4), (random(&[c], 5) + 1.5).unwrap()];
        let eval = |x: &[Tensor]| {
            let [mean, variance] = [&statistics[0], &statistics[1]].map(|s| s.to_dtype(x[0].dtype()).unwrap());
            batch_norm_eval(&x[0], &x[1], &x[2], &mean, &variance, EPS)
        };
        // A large eps keeps tiny batches of nearly equal values from blowing up f32's rounding.
        let train = |x: &[Tensor]| Ok(batch_norm_train(&x[0], &x[1], &x[2], 0.1)?.0);
        for f in [&train as &dyn Fn(&[Tensor]) -> Result<Tensor>, &eval] {
            let wide: Vec<Tensor> = inputs.iter().map(|x| x.to_dtype(DType::F64).unwrap()).collect();
            let (ys, dys) = gradients(&wide, None, f);
            let layout = |x: &Tensor| if scatter && x.rank() > 1 { scattered(x) } else { x.clone() };
            let (found, dfound) = gradients(&inputs, None, |x| f(&x.iter().map(layout).collect::<Vec<_>>()));
            assert_close(&found, &ys, 1e-5, "values");
            dfound.iter().zip(&dys).for_each(|(found, expected)| assert_close(found, expected, 1e-5, "gradient"));
        }
    }
}

/// candle's layer norm gives contiguous inputs no gradient: https://github.com/huggingface/candle/issues/2977
#[test]
fn candle_layer_norm_cuts_the_gradient() {
    let (weight, bias) = (random(&[6], 2), random(&[6], 3));
    let reaches = |f: &dyn Fn(&Tensor) -> Result<Tensor>| {
        let xs = Var::from_tensor(&random(&[3, 6], 1)).unwrap();
        let ys = f(xs.as_tensor()).unwrap();
        let found = ys.sqr().unwrap().sum_all().unwrap().backward().unwrap();
        found.get(&xs).is_some_and(|gradient| values(gradient).iter().any(|value| value.abs() > 1e-6))
    };
    assert!(reaches(&|xs| layer_norm(xs, Some(&weight), Some(&bias), EPS)));
    let candle = candle_nn::LayerNorm::new(weight.clone(), bias.clone(), EPS);
    assert!(!reaches(&|xs| candle.forward(xs)), "candle's LayerNorm has been mended");
}
