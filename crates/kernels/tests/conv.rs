//! Convolution against PyTorch, finite differences and the reference path.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod compare;

use candle_core::{DType, Tensor};
use candlewick_kernels::conv::{Conv2d, conv2d};
use compare::*;
use proptest::prelude::*;

fn convolve(inputs: &[Tensor], options: &Conv2d) -> candle_core::Result<Tensor> {
    conv2d(&inputs[0], &inputs[1], inputs.get(2), options)
}

#[test]
fn values_and_gradients_are_those_of_pytorch() {
    for (i, case) in cases("conv").iter().enumerate() {
        let o = options(case);
        let options = Conv2d { stride: (o[0], o[1]), padding: (o[2], o[3]), dilation: (o[4], o[5]), groups: o[6] };
        check_case(case, &["xs", "weight", "bias"], &format!("conv2d {i}"), |x| convolve(x, &options));
    }
}

#[test]
fn gradients_are_finite_differences() {
    let options = Conv2d { stride: (2, 1), padding: (1, 2), dilation: (1, 2), groups: 2 };
    let inputs = [random(&[2, 4, 5, 6], 1), random(&[4, 2, 3, 2], 2), random(&[4], 3)];
    check_differences(&inputs, |x| convolve(x, &options));
    check_differences_f32(&inputs, |x| convolve(x, &options));
}

#[test]
fn one_picture_on_several_threads_is_the_same_as_many() {
    for (shape, kernel, groups) in [([5, 6, 9, 9], [8, 3, 3, 3], 2), ([2, 32, 24, 23], [48, 32, 3, 3], 1)] {
        let (xs, weight) = (random(&shape, 1), random(&kernel, 2));
        let options = Conv2d { groups, padding: (1, 1), ..Conv2d::default() };
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| gradients(&[xs.clone(), weight.clone()], None, |x| convolve(x, &options)))
        };
        let (one, three) = (on(1), on(3));
        assert_eq!(values(&one.0), values(&three.0));
        one.1.iter().zip(&three.1).for_each(|(a, b)| assert_eq!(values(a), values(b), "threads differ"));
        for n in 0..shape[0] {
            let alone = conv2d(&xs.narrow(0, n, 1).unwrap(), &weight, None, &options).unwrap();
            assert_close(&alone, &one.0.narrow(0, n, 1).unwrap(), 1e-5, "one picture");
        }
    }
}

/// Sizes at which sums are taken in parts, outputs are split, and small maps are taken several at a time.
#[test]
fn large_maps_and_many_channels_are_the_reference() {
    for (n, channels, outputs, (h, w), kernel, stride, padding) in [
        (2, 130, 30, (20, 21), 3, 2, 1),
        (3, 700, 13, (7, 7), 1, 1, 0),
        (9, 5, 7, (7, 7), 3, 1, 1),
        (1, 3, 20, (61, 40), 7, 2, 3),
        (1, 4, 600, (9, 9), 1, 1, 0),
        (2, 3, 5, (20, 40), 1, 1, 0),
        (1, 2, 3, (3, 700), 3, 1, 1),
        (2, 40, 26, (15, 14), 3, 1, 1),
        // Four outputs at a time.
        (2, 64, 36, (33, 31), 3, 1, 1),
        (1, 256, 256, (7, 7), 3, 1, 1),
        (3, 32, 33, (1, 2), 3, 1, 1),
        // Weights' gradients four outputs at a time, of a panel and a half and of more tiles than are held.
        (3, 48, 80, (17, 16), 3, 1, 1),
        (1, 32, 32, (100, 89), 3, 1, 1),
        // A few channels, whose gradient has a way of its own.
        (2, 3, 40, (23, 19), 7, 2, 3),
        (1, 4, 32, (9, 12), 3, 3, 0),
        (1, 1, 64, (6, 6), 5, 1, 2),
    ] {
        let options = Conv2d { stride: (stride, stride), padding: (padding, padding), ..Conv2d::default() };
        let inputs =
            [random(&[n, channels, h, w], 1), random(&[outputs, channels, kernel, kernel], 2), random(&[outputs], 3)];
        let wide: Vec<Tensor> = inputs.iter().map(|x| x.to_dtype(DType::F64).unwrap()).collect();
        let (ys, dys) = gradients(&wide, None, |x| convolve(x, &options));
        let (found, dfound) = gradients(&inputs, None, |x| convolve(x, &options));
        assert_close(&found, &ys, 1e-5, "values");
        dfound.iter().zip(&dys).for_each(|(found, expected)| assert_close(found, expected, 1e-5, "gradient"));
    }
}

/// Channels in blocks of 32 and what is left, taps and positions in fours and what is left, pictures in shares, edges narrower than the kernel.
#[test]
fn a_kernel_for_each_channel_is_the_reference() {
    for (n, channels, (h, w), kernel, stride, padding, dilation) in [
        (2, 37, (11, 13), 3, 1, 1, 1),
        (1, 16, (9, 30), 7, 1, 3, 1),
        (3, 21, (12, 7), 5, 2, 2, 1),
        (1, 33, (3, 2), 7, 1, 3, 1),
        (2, 20, (17, 16), 3, 3, 0, 2),
        (1, 4, (8, 8), 2, 2, 3, 1),
        (3, 64, (5, 6), 3, 1, 1, 1),
        (19, 3, (4, 5), 3, 2, 1, 1),
    ] {
        let pair = |n: usize| (n, n);
        let options =
            Conv2d { stride: pair(stride), padding: pair(padding), dilation: pair(dilation), groups: channels };
        let inputs =
            [random(&[n, channels, h, w], 1), random(&[channels, 1, kernel, kernel], 2), random(&[channels], 3)];
        let wide: Vec<Tensor> = inputs.iter().map(|x| x.to_dtype(DType::F64).unwrap()).collect();
        let (ys, dys) = gradients(&wide, None, |x| convolve(x, &options));
        let (found, dfound) = gradients(&inputs, None, |x| convolve(x, &options));
        assert_close(&found, &ys, 1e-5, "values");
        dfound.iter().zip(&dys).for_each(|(found, expected)| assert_close(found, expected, 1e-5, "gradient"));
    }
}

#[test]
fn no_pictures_give_no_maps() {
    let ys = conv2d(&random(&[0, 2, 4, 4], 1), &random(&[3, 2, 3, 3], 2), None, &Conv2d::default()).unwrap();
    assert_eq!(ys.dims(), [0, 3, 2, 2]);
    // On the one thread that has just formed sums of something else.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| {
        for groups in [1, 2, 4] {
            let options = Conv2d { groups, ..Conv2d::default() };
            let inputs = |n: usize| [random(&[n, 4, 4, 4], 1), random(&[4, 4 / groups, 3, 3], 2), random(&[4], 3)];
            gradients(&inputs(2), None, |x| convolve(x, &options));
            let (_, found) = gradients(&inputs(0), None, |x| convolve(x, &options));
            assert_eq!(found[0].dims(), [0, 4, 4, 4]);
            assert!(
                found[1..].iter().all(|gradient| values(gradient).iter().all(|&value| value == 0.0)),
                "{groups} groups"
            );
        }
    });
}

#[test]
fn errors_name_the_operation_and_the_shapes() {
    let error = |xs: &[usize], weight: &[usize], bias: Option<usize>, options: Conv2d| {
        let bias = bias.map(|size| random(&[size], 3));
        conv2d(&random(xs, 1), &random(weight, 2), bias.as_ref(), &options).unwrap_err().to_string()
    };
    let plain = Conv2d::default();
    for (message, parts) in [
        (error(&[2, 3, 4], &[2, 3, 1, 1], None, plain), ["conv2d", "[2, 3, 4]", "(N, C, h, w)"]),
        (error(&[2, 3, 4, 4], &[2, 4, 1, 1], None, plain), ["conv2d", "(O, 3, kh, kw)", "[2, 4, 1, 1]"]),
        (
            error(&[2, 4, 4, 4], &[3, 2, 1, 1], None, Conv2d { groups: 2, ..plain }),
            ["conv2d", "multiple of 2", "[3, 2, 1, 1]"],
        ),
        (error(&[2, 3, 4, 4], &[2, 3, 1, 1], Some(3), plain), ["conv2d", "[2]", "[3]"]),
        (error(&[2, 3, 4, 4], &[2, 3, 5, 5], None, plain), ["conv2d", "spans 5", "map of 4"]),
        (
            error(&[2, 3, 4, 4], &[2, 3, 1, 1], None, Conv2d { stride: (0, 1), ..plain }),
            ["conv2d", "stride: (0, 1)", "0"],
        ),
        (
            error(&[2, 3, 4, 4], &[2, 3, 1, 1], None, Conv2d { padding: (0, 1 << 63), ..plain }),
            ["conv2d", "too large", "9223372036854775808"],
        ),
        (
            error(&[2, 3, 4, 4], &[2, 3, 3, 3], None, Conv2d { dilation: (1 << 63, 1), ..plain }),
            ["conv2d", "too large", "9223372036854775808"],
        ),
        (
            error(&[2, 4, 4, 4], &[2, 2, 1, 1], None, Conv2d { groups: (1 << 63) + 2, ..plain }),
            ["conv2d", "groups 9223372036854775810", "[2, 2, 1, 1]"],
        ),
    ] {
        parts.iter().for_each(|part| assert!(message.contains(part), "{message:?} lacks {part:?}"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    /// The f32 path equals the reference path in f64, in value and gradient, whatever the sizes and layouts.
    #[test]
    fn the_fast_path_is_the_reference(
        (n, groups, channels, outputs) in (1usize..5, 1usize..4, 1usize..5, 1usize..5),
        (h, w, kh, kw) in (1usize..14, 1usize..14, 1usize..5, 1usize..5),
        stride in (1usize..4, 1usize..4), padding in (0usize..4, 0usize..4), dilation in (1usize..3, 1usize..3),
        bias: bool, scatter: bool,
    ) {
        let options = Conv2d { stride, padding, dilation, groups };
        let mut inputs = vec![random(&[n, channels * groups, h, w], 1), random(&[outputs * groups, channels, kh, kw], 2)];
        if bias {
            inputs.push(random(&[outputs * groups], 3));
        }
        let fits = h + 2 * padding.0 > dilation.0 * (kh - 1) && w + 2 * padding.1 > dilation.1 * (kw - 1);
        prop_assert_eq!(convolve(&inputs, &options).is_ok(), fits);
        if fits {
            let wide: Vec<Tensor> = inputs.iter().map(|x| x.to_dtype(DType::F64).unwrap()).collect();
            let (ys, dys) = gradients(&wide, None, |x| convolve(x, &options));
            let layout = |x: &Tensor| if scatter && x.rank() > 1 { scattered(x) } else { x.clone() };
            let (found, dfound) = gradients(&inputs, None, |x| convolve(&x.iter().map(layout).collect::<Vec<_>>(), &options));
            assert_close(&found, &ys, 1e-5, "values");
            dfound.iter().zip(&dys).for_each(|(found, expected)| assert_close(found, expected, 1e-5, "gradient"));
        }
    }
}
