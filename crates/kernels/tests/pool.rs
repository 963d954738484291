//! Pooling against PyTorch, finite differences and the reference path; candle's own faults.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod compare;

use candle_core::{DType, Device, Result, Tensor, Var};
use candlewick_kernels::pool::{Pool2d, adaptive_avg_pool2d, avg_pool2d, max_pool2d};
use compare::*;
use proptest::prelude::*;

#[test]
fn values_and_gradients_are_those_of_pytorch() {
    for (i, case) in cases("pool").iter().enumerate() {
        let o = options(case);
        let what = format!("pool {i} {o:?}");
        if o[0] == 2 {
            check_case(case, &["xs"], &what, |x| adaptive_avg_pool2d(&x[0], (o[1], o[2])));
            continue;
        }
        let pool = Pool2d {
            kernel: (o[1], o[2]),
            stride: (o[3], o[4]),
            padding: (o[5], o[6]),
            ceil_mode: o[7] == 1,
            count_include_pad: o[8] == 1,
        };
        check_case(
            case,
            &["xs"],
            &what,
            |x| if o[0] == 0 { max_pool2d(&x[0], &pool) } else { avg_pool2d(&x[0], &pool) },
        );
    }
}

/// Values far enough from each other that a small step changes no maximum.
fn distinct(shape: &[usize]) -> Tensor {
    let count: usize = shape.iter().product();
    let values: Vec<f32> = (0..count).map(|i| (i * 37 % count) as f32 * 0.1 - 3.0).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

#[test]
fn gradients_are_finite_differences() {
    let pool = Pool2d { padding: (1, 1), ceil_mode: true, count_include_pad: false, ..Pool2d::new((3, 2), (2, 2)) };
    let xs = [distinct(&[1, 2, 5, 6])];
    let functions: [&dyn Fn(&[Tensor]) -> Result<Tensor>; 3] =
        [&|x| max_pool2d(&x[0], &pool), &|x| avg_pool2d(&x[0], &pool), &|x| adaptive_avg_pool2d(&x[0], (2, 4))];
    for f in functions {
        check_differences(&xs, f);
        check_differences_f32(&xs, f);
    }
}

#[test]
fn nan_is_the_largest_value_with_and_without_a_gradient() {
    let row = [[1f32, f32::NAN, 3.0, 2.0, f32::INFINITY, 1.0], [0.0, 5.0, f32::NEG_INFINITY, -1.0, f32::NAN, f32::NAN]];
    let pool = Pool2d::new((2, 2), (2, 2));
    for dtype in [DType::F32, DType::F64] {
        let xs = Tensor::new(&[[row]], &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
        let plain = max_pool2d(&xs, &pool).unwrap();
        let (tracked, found) = gradients(&[xs], None, |x| max_pool2d(&x[0], &pool));
        for ys in [plain, tracked] {
            let ys = values(&ys);
            assert!(ys[0].is_nan() && ys[1] == 3.0 && ys[2].is_nan(), "{ys:?}");
        }
        let places: Vec<usize> = (0..12).filter(|&at| values(&found[0])[at] != 0.0).collect();
        assert_eq!(places, [1, 2, 10], "{dtype:?}");
    }
}

#[test]
fn no_pictures_give_no_maps() {
    for dtype in [DType::F32, DType::F64] {
        let xs = random(&[0, 2, 4, 6], 1).to_dtype(dtype).unwrap();
        let pool = Pool2d::new((2, 2), (2, 2));
        let functions: [&dyn Fn(&[Tensor]) -> Result<Tensor>; 3] =
            [&|x| max_pool2d(&x[0], &pool), &|x| avg_pool2d(&x[0], &pool), &|x| adaptive_avg_pool2d(&x[0], (2, 3))];
        for f in functions {
            let (ys, found) = gradients(std::slice::from_ref(&xs), None, f);
            assert_eq!((ys.dims(), found[0].dims()), (&[0, 2, 2, 3][..], &[0, 2, 4, 6][..]));
        }
    }
}

#[test]
fn errors_name_the_operation() {
    let xs = random(&[1, 1, 4, 4], 1);
    let plain = Pool2d::new((2, 2), (2, 2));
    for (result, parts) in [
        (max_pool2d(&random(&[4, 4], 1), &plain), ["max_pool2d", "[4, 4]"]),
        (max_pool2d(&xs, &Pool2d { stride: (0, 1), ..plain }), ["max_pool2d", "stride: (0, 1)"]),
        (avg_pool2d(&xs, &Pool2d { padding: (2, 0), ..plain }), ["avg_pool2d", "padding: (2, 0)"]),
        (avg_pool2d(&xs, &Pool2d::new((5, 5), (1, 1))), ["avg_pool2d", "window of 5"]),
        (max_pool2d(&xs, &Pool2d { padding: (1 << 63, 0), ..plain }), ["max_pool2d", "padding: (9223372036854775808"]),
        (
            max_pool2d(&xs, &Pool2d { padding: (usize::MAX / 2, 0), ..Pool2d::new((usize::MAX, 2), (1, 1)) }),
            ["max_pool2d", "does not fit"],
        ),
        (adaptive_avg_pool2d(&xs, (0, 2)), ["adaptive_avg_pool2d", "0×2"]),
    ] {
        let message = result.unwrap_err().to_string();
        parts.iter().for_each(|part| assert!(message.contains(part), "{message:?} lacks {part:?}"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_fast_path_is_the_reference(
        (n, c, h, w) in (1usize..3, 1usize..3, 1usize..12, 1usize..12),
        kernel in (1usize..6, 1usize..6), stride in (1usize..5, 1usize..5), padding in (0usize..3, 0usize..3),
        ceil_mode: bool, count_include_pad: bool, scatter: bool, size in (1usize..6, 1usize..6),
    ) {
        let padding = (padding.0.min(kernel.0 / 2), padding.1.min(kernel.1 / 2));
        let pool = Pool2d { kernel, stride, padding, ceil_mode, count_include_pad };
        prop_assume!(h + 2 * padding.0 >= kernel.0 && w + 2 * padding.1 >= kernel.1);
        let xs = random(&[n, c, h, w], 1);
        let layout = |x: &Tensor| if scatter { scattered(x) } else { x.clone() };
        let functions: [&dyn Fn(&Tensor) -> Result<Tensor>; 3] =
            [&|x| max_pool2d(x, &pool), &|x| avg_pool2d(x, &pool), &|x| adaptive_avg_pool2d(x, size)];
        for f in functions {
            let (ys, dys) = gradients(&[xs.to_dtype(DType::F64).unwrap()], None, |x| f(&x[0]));
            let (found, dfound) = gradients(std::slice::from_ref(&xs), None, |x| f(&layout(&x[0])));
            assert_close(&found, &ys, 1e-5, "values");
            assert_close(&dfound[0], &dys[0], 1e-5, "gradient");
            assert_close(&f(&layout(&xs)).unwrap(), &ys, 1e-5, "values without a gradient");
        }
    }
}

/// The gradient of the sum of `f` at `xs`, or candle's error.
fn gradient_of_sum(xs: &Tensor, f: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Vec<f64>> {
    let xs = Var::from_tensor(xs)?;
    let found = f(xs.as_tensor())?.sum_all()?.backward()?;
    Ok(values(found.get(&xs).expect("a gradient")))
}

/// candle divides the gradient of a maximum by the window's size.
#[test]
fn candle_max_pool_gradient_is_too_small() {
    let xs = distinct(&[1, 1, 4, 4]);
    let candle = gradient_of_sum(&xs, |x| x.max_pool2d(2)).unwrap();
    let ours = gradient_of_sum(&xs, |x| max_pool2d(x, &Pool2d::new((2, 2), (2, 2)))).unwrap();
    assert_eq!(ours.iter().sum::<f64>(), 4.0);
    assert_eq!(candle.iter().sum::<f64>(), 1.0, "candle's max_pool2d has been mended");
}

/// Where the window does not divide the map, candle's gradients are wrong for both pools.
#[test]
fn candle_pool_gradients_are_wrong_for_maps_that_the_window_does_not_divide() {
    let xs = distinct(&[1, 1, 7, 7]);
    let pool = Pool2d::new((2, 2), (2, 2));
    let ours = [
        gradient_of_sum(&xs, |x| max_pool2d(x, &pool)).unwrap(),
        gradient_of_sum(&xs, |x| avg_pool2d(x, &pool)).unwrap(),
    ];
    let candle = [gradient_of_sum(&xs, |x| x.max_pool2d(2)), gradient_of_sum(&xs, |x| x.avg_pool2d(2))];
    for (ours, candle) in ours.iter().zip(candle) {
        assert!((ours.iter().sum::<f64>() - 9.0).abs() < 1e-5);
        let agree = candle.is_ok_and(|candle| ours.iter().zip(&candle).all(|(a, b)| (a - b).abs() < 1e-3));
        assert!(!agree, "candle's pools have been mended");
    }
}

/// candle's pools whose stride is not their kernel have no gradient: https://github.com/huggingface/candle/issues/1593
#[test]
fn candle_overlapping_pools_have_no_gradient() {
    let xs = distinct(&[1, 1, 7, 7]);
    let pool = Pool2d::new((3, 3), (2, 2));
    assert!(gradient_of_sum(&xs, |x| x.max_pool2d_with_stride(3, 2)).is_err(), "candle's max_pool2d has been mended");
    assert!(gradient_of_sum(&xs, |x| x.avg_pool2d_with_stride(3, 2)).is_err(), "candle's avg_pool2d has been mended");
    assert!((gradient_of_sum(&xs, |x| max_pool2d(x, &pool)).unwrap().iter().sum::<f64>() - 9.0).abs() < 1e-5);
    assert!((gradient_of_sum(&xs, |x| avg_pool2d(x, &pool)).unwrap().iter().sum::<f64>() - 9.0).abs() < 1e-5);
}
