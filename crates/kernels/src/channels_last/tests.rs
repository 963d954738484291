#![allow(clippy::unwrap_used)]
use super::*;
use crate::activation::{self, Activation};
use crate::cuda::emulator::emulated;
use crate::norm::batch_norm_train;

use crate::test_values::test_values;
use candle_core::{DType, Device, Var};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

fn var(seed: u64, shape: &[usize], dtype: DType) -> Var {
    let values = test_values(seed, shape.iter().product());
    let tensor = Tensor::from_vec(values, shape, &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
    Var::from_tensor(&tensor).unwrap()
}

fn flat(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// The result and the gradients of all inputs, under a loss of each value.
fn outcome(vars: &[Var], ys: &Tensor) -> Vec<Vec<f64>> {
    let weights = var(99, ys.dims(), ys.dtype());
    let store = (ys * weights.as_tensor()).unwrap().sum_all().unwrap().backward().unwrap();
    std::iter::once(flat(ys)).chain(vars.iter().map(|var| flat(store.get(var.as_tensor()).unwrap()))).collect()
}

fn assert_close(found: &[Vec<f64>], wanted: &[Vec<f64>]) {
    for (i, (found, wanted)) in found.iter().zip(wanted).enumerate() {
        let largest = wanted.iter().fold(0.1f64, |largest, value| largest.max(value.abs()));
        assert_eq!(found.len(), wanted.len());
        for (found, wanted) in found.iter().zip(wanted) {
            assert!((found - wanted).abs() <= 1e-5 * largest, "{i}: {found} instead of {wanted}");
        }
    }
}

/// Whether a packed convolution gives `ys` of `xs`, and its epilogue is what it would be by itself.
fn assert_ends_well(prepared: &PackedConv2d, xs: &Tensor, ys: &Tensor) {
    let add = var(7, ys.dims(), DType::F32);
    let ends = [Activation::Relu, Activation::Sigmoid, Activation::Tanh, Activation::Gelu, Activation::Silu];
    for then in ends.map(Some).into_iter().chain([None]) {
        for add in [None, Some(add.as_tensor())] {
            let wanted = add.map_or(Ok(ys.clone()), |add| ys + add).unwrap();
            let wanted = then.map_or(Ok(wanted.clone()), |then| then.of(&wanted)).unwrap();
            assert_close(&[flat(&prepared.forward(xs, add, then).unwrap())], &[flat(&wanted)]);
        }
    }
}

#[test]
fn batch_norm_on_cuda_is_that_of_the_cpu() {
    // More rows than one part of a sum has, and more channels than a block.
    for (seed, shape) in [[2, 3, 2, 5], [3, 11, 13, 40], [1, 1, 2, 1]].into_iter().enumerate() {
        let c = shape[3];
        let vars = [
            var(1, &shape, DType::F32),
            var(2, &[c], DType::F32),
            var(3, &[c], DType::F32),
            var(4, &shape, DType::F32),
        ];
        // Far from zero, where squares would lose all digits.
        let vars = [
            Var::from_tensor(&(vars[0].as_tensor() + 100.0).unwrap()).unwrap(),
            vars[1].clone(),
            vars[2].clone(),
            vars[3].clone(),
        ];
        let variance = var(5, &[c], DType::F32).abs().unwrap();
        let given = (vars[2].as_detached_tensor(), variance);
        for (statistics, add, relu) in
            [(None, false, false), (None, true, true), (Some(&given), true, false), (Some(&given), false, true)]
        {
            let statistics = statistics.map(|(mean, variance)| (mean, variance));
            let norm = BatchNorm { weight: &vars[1], bias: &vars[2], statistics, eps: 1e-5 };
            let add = add.then(|| vars[3].as_tensor());
            let count = if add.is_some() { 4 } else { 3 };
            let run = || {
                let (ys, mean, variance) = batch_norm(&vars[0], &norm, add, relu).unwrap();
                [outcome(&vars[..count], &ys), vec![flat(&mean), flat(&variance)]].concat()
            };
            let (wanted, Some(found)) = (run(), emulated(seed as u64, run).unwrap()) else { return };
            for (i, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
                let largest = wanted.iter().fold(0.1f64, |largest, value| largest.max(value.abs()));
                for (f, w) in found.iter().zip(wanted) {
                    assert!((f - w).abs() <= 3e-5 * largest, "{shape:?} tensor {i}: {f} instead of {w}");
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 40, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn convolutions_are_those_of_maps_apart(
        n in 1usize..3, c in 1usize..40, o in 1usize..40, h in 3usize..9, w in 3usize..9, kernel in 1usize..4,
        stride in 1usize..3, padding in 0usize..2, groups in 1usize..3, bias: bool, seed in 0u64..1000,
    ) {
        let options = Conv2d { stride: (stride, stride), padding: (padding, padding), groups, ..Conv2d::default() };
        let shapes: [&[usize]; 3] = [&[n, groups * c, h, w], &[groups * o, c, kernel, kernel], &[groups * o]];
        let mut vars: Vec<Var> = shapes.iter().enumerate().map(|(i, s)| var(seed + i as u64, s, DType::F32)).collect();
        vars.truncate(if bias { 3 } else { 2 });
        let bias = bias.then(|| vars[2].as_tensor());
        let (xs, weight) = (vars[0].as_tensor(), vars[1].as_tensor());
        let wanted = conv::conv2d(xs, weight, bias, &options).unwrap();
        let found = to_nchw(&conv2d(&to_nhwc(xs).unwrap(), weight, bias, &options).unwrap()).unwrap();
        assert_close(&outcome(&vars, &found.contiguous().unwrap()), &outcome(&vars, &wanted));
        let then_relu = |ys: &Tensor| activation::relu(ys).unwrap();
        let with_relu = conv2d_relu(&to_nhwc(xs).unwrap(), weight, bias, &options).unwrap();
        let in_two = then_relu(&conv2d(&to_nhwc(xs).unwrap(), weight, bias, &options).unwrap());
        assert_close(&outcome(&vars, &with_relu), &outcome(&vars, &in_two));
        let prepared = PackedConv2d::new(weight, bias, &options).unwrap();
        assert_ends_well(&prepared, &to_nhwc(xs).unwrap(), &to_nhwc(&wanted).unwrap());
    }

    #[test]
    fn maps_beside_each_other_are_candles_concatenation(
        n in 1usize..3, channels in prop::collection::vec(1usize..40, 1..5), h in 1usize..15, w in 1usize..15,
        frozen in 0usize..5, seed in 0u64..1000,
    ) {
        let one = |(i, &c): (usize, &usize)| var(seed + i as u64, &[n, h, w, c], DType::F32);
        let vars: Vec<Var> = channels.iter().enumerate().map(one).collect();
        let constants: Vec<Tensor> = vars.iter().map(|var| var.as_detached_tensor()).collect();
        let maps: Vec<&Tensor> =
            vars.iter().enumerate().map(|(i, var)| if i == frozen { &constants[i] } else { var.as_tensor() }).collect();
        let trained: Vec<Var> = vars.iter().enumerate().filter(|&(i, _)| i != frozen).map(|(_, var)| var.clone()).collect();
        let (found, wanted) = (concat_channels(&maps).unwrap(), Tensor::cat(&maps, 3).unwrap());
        prop_assert_eq!(flat(&found), flat(&wanted));
        if !trained.is_empty() {
            prop_assert_eq!(outcome(&trained, &found), outcome(&trained, &wanted));
        }
    }

    #[test]
    fn scaled_channels_are_candles_products(
        n in 1usize..4, c in 1usize..40, h in 1usize..25, w in 1usize..25, seed in 0u64..1000,
    ) {
        let vars = [var(seed, &[n, h, w, c], DType::F32), var(seed + 1, &[n, c], DType::F32)];
        let wanted = vars[0].broadcast_mul(&vars[1].reshape((n, 1, 1, c)).unwrap()).unwrap();
        assert_close(&outcome(&vars, &scale_channels(&vars[0], &vars[1]).unwrap()), &outcome(&vars, &wanted));
    }

    #[test]
    fn a_kernel_for_each_channel_is_that_of_maps_apart(
        n in 1usize..3, c in 2usize..40, h in 3usize..9, w in 3usize..9, kernel in 1usize..6, stride in 1usize..3, seed in 0u64..1000,
    ) {
        let options =
            Conv2d { stride: (stride, stride), padding: (kernel / 2, kernel / 2), groups: c, ..Conv2d::default() };
        let (weight, bias) = (var(seed + 1, &[c, 1, kernel, kernel], DType::F32), var(seed + 2, &[c], DType::F32));
        let vars = [var(seed, &[n, c, h, w], DType::F32), weight, bias];
        let (xs, weight, bias) = (vars[0].as_tensor(), vars[1].as_tensor(), Some(vars[2].as_tensor()));
        let wanted = conv::conv2d(xs, weight, bias, &options).unwrap();
        let found = to_nchw(&conv2d(&to_nhwc(xs).unwrap(), weight, bias, &options).unwrap()).unwrap();
        assert_close(&outcome(&vars, &found.contiguous().unwrap()), &outcome(&vars, &wanted));
        let prepared = PackedConv2d::new(weight, bias, &options).unwrap();
        assert_ends_well(&prepared, &to_nhwc(xs).unwrap(), &to_nhwc(&wanted).unwrap());
    }

    #[test]
    fn pools_are_those_of_maps_apart(
        n in 1usize..3, c in 1usize..40, h in 3usize..9, w in 3usize..9, kernel in 1usize..4, stride in 1usize..3,
        ceil_mode: bool, count_include_pad: bool, seed in 0u64..1000,
    ) {
        let padding = (kernel / 2, kernel / 2);
        let pool = Pool2d { ceil_mode, padding, count_include_pad, ..Pool2d::new((kernel, kernel), (stride, stride)) };
        let vars = [var(seed, &[n, c, h, w], DType::F32)];
        let wanted = pool::max_pool2d(&vars[0], &pool).unwrap();
        let found = to_nchw(&max_pool2d(&to_nhwc(&vars[0]).unwrap(), &pool).unwrap()).unwrap();
        // Where no gradient is asked for, nobody asks for the places either.
        let alone = max_pool2d(&to_nhwc(&vars[0].detach()).unwrap(), &pool).unwrap();
        assert_close(&[flat(&to_nchw(&alone).unwrap())], &[flat(&wanted)]);
        assert_close(&outcome(&vars, &found.contiguous().unwrap()), &outcome(&vars, &wanted));
        let wanted = pool::avg_pool2d(&vars[0], &pool).unwrap();
        let found = to_nchw(&avg_pool2d(&to_nhwc(&vars[0]).unwrap(), &pool).unwrap()).unwrap();
        assert_close(&outcome(&vars, &found.contiguous().unwrap()), &outcome(&vars, &wanted));
        let wanted = vars[0].flatten_from(2).unwrap().mean(2).unwrap();
        assert_close(&outcome(&vars, &mean(&to_nhwc(&vars[0]).unwrap()).unwrap()), &outcome(&vars, &wanted));
    }

    #[test]
    fn batch_norms_are_those_of_maps_apart(
        n in 1usize..4, c in 1usize..40, h in 2usize..30, w in 1usize..30, own: bool, add: bool, with_relu: bool,
        seed in 0u64..1000,
    ) {
        let shapes: [&[usize]; 4] = [&[n, c, h, w], &[c], &[c], &[n, c, h, w]];
        // Wide, so that no value lies so near to zero that rounding decides what ReLU does.
        let both = |dtype| {
            let mut vars: Vec<Var> = shapes.iter().enumerate().map(|(i, s)| var(seed + i as u64, s, dtype)).collect();
            vars.truncate(if add { 4 } else { 3 });
            let turned: Vec<Tensor> = [0, 3].iter().filter_map(|&i| vars.get(i)).map(|v| to_nhwc(v).unwrap()).collect();
            let (mean, variance) = (var(8, &[c], dtype), var(9, &[c], dtype).sqr().unwrap());
            let norm = BatchNorm {
                weight: &vars[1], bias: &vars[2], statistics: (!own).then_some((&mean, &variance)), eps: 1e-3,
            };
            let (ys, mean, variance) = batch_norm(&turned[0], &norm, turned.get(1), with_relu).unwrap();
            let mut found = outcome(&vars, &ys);
            found.extend([flat(&mean), flat(&variance)]);
            found
        };
        assert_close(&both(DType::F32), &both(DType::F64));
    }
}

#[test]
fn a_mean_far_from_zero_keeps_the_variance_of_the_batch() {
    let values: Vec<f32> = test_values(3, 2 * 400 * 300).iter().map(|value| 1000.0 + value).collect();
    let xs = Tensor::from_vec(values, (2, 20, 20, 300), &Device::Cpu).unwrap();
    let ones = Tensor::ones(300, DType::F32, &Device::Cpu).unwrap();
    let norm = BatchNorm { weight: &ones, bias: &ones, statistics: None, eps: 1e-5 };
    let (_, mean, variance) = batch_norm(&xs, &norm, None, false).unwrap();
    let wide = to_nchw(&xs).unwrap().contiguous().unwrap().to_dtype(DType::F64).unwrap();
    let ones = ones.to_dtype(DType::F64).unwrap();
    let (_, wanted_mean, wanted) = batch_norm_train(&wide, &ones, &ones, 1e-5).unwrap();
    flat(&mean).iter().zip(flat(&wanted_mean)).for_each(|(found, wanted)| assert!((found - wanted).abs() < 1e-3));
    flat(&variance).iter().zip(flat(&wanted)).for_each(|(found, wanted)| assert!((found / wanted - 1.0).abs() < 1e-3));
}

#[test]
fn errors_name_the_operation_and_the_shapes() {
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
    let norm = |xs: &Tensor, c: usize, statistics: bool| {
        let of_channels = zeros(&[c]);
        let statistics = statistics.then_some((&of_channels, &of_channels));
        let norm = BatchNorm { weight: &of_channels, bias: &of_channels, statistics, eps: 1e-5 };
        batch_norm(xs, &norm, None, false).unwrap_err().to_string()
    };
    assert!(norm(&zeros(&[1, 2, 2, 3]), 4, true).contains("[1, 2, 2, 3], weight [4]"));
    assert!(norm(&zeros(&[1, 2, 2, 0]), 0, true).contains("batch_norm"));
    assert!(norm(&zeros(&[1, 1, 1, 3]), 3, false).contains("at least two values"));
    for dtype in [DType::F32, DType::F64] {
        let zeros = |shape: &[usize]| zeros(shape).to_dtype(dtype).unwrap();
        let of_channels = zeros(&[4]);
        for (mean, variance) in [(3, 3), (4, 2), (0, 4), (8, 8)] {
            let statistics =
                Some((&zeros(&[mean]), &zeros(&[variance]))).map(|(mean, variance)| (mean.clone(), variance.clone()));
            let statistics = statistics.as_ref().map(|(mean, variance)| (mean, variance));
            let norm = BatchNorm { weight: &of_channels, bias: &of_channels, statistics, eps: 1e-5 };
            let message = batch_norm(&zeros(&[1, 2, 2, 4]), &norm, None, false).unwrap_err().to_string();
            assert!(message.contains("batch_norm") && message.contains(&format!("[{mean}]")), "{message}");
        }
    }
    let layer = PackedConv2d::new(&zeros(&[4, 3, 3, 3]), None, &Conv2d::default()).unwrap();
    let message = |result: Result<Tensor>| result.unwrap_err().to_string();
    assert!(message(layer.forward(&zeros(&[1, 5, 5, 2]), None, None)).contains("weight (O, 2"));
    assert!(message(layer.forward(&zeros(&[1, 5, 5, 3]), Some(&zeros(&[1, 5, 5, 4])), None)).contains("[1, 5, 5, 4]"));
    let wide = layer.forward(&zeros(&[1, 5, 5, 3]).to_dtype(DType::F64).unwrap(), None, None);
    assert!(message(wide).contains("f32 on the CPU"));
    for other in [&[1, 5, 4, 2][..], &[1, 5, 5, 2, 1]] {
        assert!(
            message(concat_channels(&[&zeros(&[1, 5, 5, 3]), &zeros(other)]))
                .contains("differ in more than their channels")
        );
    }
    assert!(message(concat_channels(&[])).contains("there are no maps"));
}

#[test]
fn a_nan_is_the_largest_value_and_stays_after_relu() {
    let channels = 20;
    let of =
        |position: usize, c: usize| if (position + c).is_multiple_of(3) { f32::NAN } else { position as f32 - 9.0 };
    let values: Vec<f32> = (0..2 * channels).map(|at| of(at / channels, at % channels)).collect();
    let xs = Tensor::from_vec(values, (1, 1, 2, channels), &Device::Cpu).unwrap();
    let pool = Pool2d::new((1, 2), (1, 2));
    let tracked = Var::from_tensor(&xs).unwrap();
    for found in [max_pool2d(&xs, &pool).unwrap(), max_pool2d(&tracked, &pool).unwrap()] {
        for (c, found) in flat(&found).into_iter().enumerate() {
            let wanted = if c % 3 == 1 { -8.0 } else { f64::NAN };
            assert!(found == wanted || (found.is_nan() && wanted.is_nan()), "{found} in channel {c}");
        }
    }
    let one = Tensor::ones(channels, DType::F32, &Device::Cpu).unwrap();
    let zero = one.zeros_like().unwrap();
    let norm = BatchNorm { weight: &one, bias: &zero, statistics: Some((&zero, &one)), eps: 0.0 };
    let (ys, ..) = batch_norm(&xs, &norm, None, true).unwrap();
    for (x, y) in flat(&xs).into_iter().zip(flat(&ys)) {
        assert!(if x.is_nan() { y.is_nan() } else { y == 0.0 }, "{y} for {x}");
    }
}

#[test]
fn a_gradient_passes_a_relu_where_it_gave_nan() {
    for dtype in [DType::F32, DType::F64] {
        let of = |values: &[f32], shape: &[usize]| {
            let tensor = Tensor::from_vec(values.to_vec(), shape, &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
            Var::from_tensor(&tensor).unwrap()
        };
        let (xs, add) = (of(&[f32::NAN, -1.0, 2.0], &[1, 3, 1, 1]), of(&[0.0; 3], &[1, 3, 1, 1]));
        let (one, zero) = (of(&[1.0], &[1]), of(&[0.0], &[1]));
        let norm = BatchNorm { weight: &one, bias: &zero, statistics: Some((&zero, &one)), eps: 0.0 };
        for add in [None, Some(add.as_tensor())] {
            let (ys, ..) = batch_norm(&xs, &norm, add, true).unwrap();
            let store = ys.sum_all().unwrap().backward().unwrap();
            assert_eq!(flat(store.get(&xs).unwrap())[1..], [0.0, 1.0]);
            assert_eq!(flat(store.get(&zero).unwrap()), [2.0]);
            if let Some(add) = add {
                assert_eq!(flat(store.get(add).unwrap()), [1.0, 0.0, 1.0]);
            }
        }
    }
}

/// Four outputs at a time, with what comes after them.
#[test]
fn a_prepared_convolution_of_many_channels_ends_well() {
    let options = Conv2d { padding: (1, 1), ..Conv2d::default() };
    let (xs, weight) = (var(1, &[2, 9, 7, 32], DType::F32), var(2, &[36, 32, 3, 3], DType::F32));
    let bias = var(3, &[36], DType::F32);
    let prepared = PackedConv2d::new(&weight, Some(bias.as_tensor()), &options).unwrap();
    let wide = |var: &Var| var.to_dtype(DType::F64).unwrap();
    let ys = conv2d(&wide(&xs), &wide(&weight), Some(&wide(&bias)), &options).unwrap();
    assert_ends_well(&prepared, &xs, &ys.to_dtype(DType::F32).unwrap());
}

/// Positions so far apart in memory that they are copied together first.
#[test]
fn a_thousand_channels_are_those_of_f64() {
    let both = |dtype| {
        let vars = [var(1, &[2, 9, 11, 1024], dtype), var(2, &[40, 1024, 1, 1], dtype), var(3, &[40], dtype)];
        let ys = conv2d(&vars[0], &vars[1], Some(vars[2].as_tensor()), &Conv2d::default()).unwrap();
        outcome(&vars, &ys)
    };
    assert_close(&both(DType::F32), &both(DType::F64));
}
