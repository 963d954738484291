//! Cross-entropy against PyTorch, finite differences and the reference path.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod compare;

use candle_core::{DType, Device, Tensor, Var};
use candlewick_kernels::loss::{CrossEntropy, Reduction, cross_entropy};
use compare::*;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

const REDUCTIONS: [Reduction; 3] = [Reduction::Mean, Reduction::Sum, Reduction::None];

#[test]
fn values_and_gradients_are_those_of_pytorch() {
    for (i, case) in cases("loss").iter().enumerate() {
        let o = options(case);
        let options = CrossEntropy {
            ignore_index: Some(o[0] as i64),
            label_smoothing: o[1] as f64 / 10.0,
            reduction: REDUCTIONS[o[2]],
        };
        check_case(case, &["xs"], &format!("loss {i}"), |x| cross_entropy(&x[0], &case["targets"], &options, None));
    }
}

fn targets(values: &[u32]) -> Tensor {
    Tensor::new(values, &Device::Cpu).unwrap()
}

#[test]
fn targets_of_i64_are_those_of_u32_and_may_be_ignored_below_zero() {
    let signed = Tensor::new(&[4i64, 1, -100, 0], &Device::Cpu).unwrap();
    for dtype in [DType::F32, DType::F64, DType::BF16] {
        for reduction in REDUCTIONS {
            let options = CrossEntropy { ignore_index: Some(-100), label_smoothing: 0.1, reduction };
            let logits = (random(&[4, 5], 1) * 3.0).unwrap();
            let found = loss_and_gradient(&logits, dtype, |x| cross_entropy(x, &signed, &options, None));
            let options = CrossEntropy { ignore_index: Some(3), ..options };
            let wanted =
                loss_and_gradient(&logits, dtype, |x| cross_entropy(x, &targets(&[4, 1, 3, 0]), &options, None));
            assert_eq!(found, wanted, "{dtype:?} {reduction:?}");
        }
    }
}

#[test]
fn gradients_are_finite_differences_under_a_mask() {
    let logits = [(random(&[4, 5], 1) * 3.0).unwrap()];
    let mask = Tensor::new(&[1f32, 0.0, 0.5, 2.0], &Device::Cpu).unwrap();
    for reduction in REDUCTIONS {
        let options = CrossEntropy { ignore_index: Some(3), label_smoothing: 0.2, reduction };
        let f = |x: &[Tensor]| cross_entropy(&x[0], &targets(&[4, 1, 3, 0]), &options, Some(&mask));
        check_differences(&logits, f);
        check_differences_f32(&logits, f);
    }
}

#[test]
fn a_mean_divides_by_the_mask_of_the_counted_targets() {
    let logits = (random(&[4, 5], 1) * 3.0).unwrap();
    let loss = |options: CrossEntropy, mask: Option<&Tensor>| {
        values(&cross_entropy(&logits, &targets(&[4, 1, 3, 0]), &options, mask).unwrap())
    };
    let each = loss(CrossEntropy { reduction: Reduction::None, ..CrossEntropy::default() }, None);
    let mask = Tensor::new(&[1f32, 0.0, 0.5, 2.0], &Device::Cpu).unwrap();
    let ignore = CrossEntropy { ignore_index: Some(3), ..CrossEntropy::default() };
    assert!((loss(ignore, Some(&mask))[0] - (each[0] + 2.0 * each[3]) / 3.0).abs() < 1e-6);
    assert!((loss(ignore, None)[0] - (each[0] + each[1] + each[3]) / 3.0).abs() < 1e-6);
}

#[test]
fn large_logits_do_not_overflow() {
    for dtype in [DType::F32, DType::F64] {
        let logits = Tensor::new(&[[1e4f32, -1e4, 0.0], [-300.0, -300.0, -300.0]], &Device::Cpu).unwrap();
        let f = |x: &[Tensor]| cross_entropy(&x[0], &targets(&[0, 1]), &CrossEntropy::default(), None);
        let (loss, gradient) =
            gradients(&[logits.to_dtype(dtype).unwrap()], Some(&Tensor::new(1f32, &Device::Cpu).unwrap()), f);
        assert!((values(&loss)[0] - 3f64.ln() / 2.0).abs() < 1e-6);
        let third = 1.0 / 6.0;
        let expected = [0.0, 0.0, 0.0, third, third - 0.5, third];
        values(&gradient[0]).iter().zip(expected).for_each(|(a, b)| assert!((a - b).abs() < 1e-6, "{a} {b}"));
    }
}

#[test]
fn candle_cross_entropy_takes_no_sequences() {
    let (logits, targets) = (random(&[2, 3, 5], 1), targets(&[0, 1, 2, 3, 4, 0]).reshape((2, 3)).unwrap());
    assert!(candle_nn::loss::cross_entropy(&logits, &targets).is_err(), "candle's cross_entropy has been mended");
    assert!(cross_entropy(&logits, &targets, &CrossEntropy::default(), None).is_ok());
}

#[test]
fn errors_name_the_operation() {
    let logits = random(&[2, 5], 1);
    let plain = CrossEntropy::default();
    let two = targets(&[0, 1]);
    for (result, parts) in [
        (cross_entropy(&logits, &targets(&[0, 1, 2]), &plain, None), ["targets of shape [2]", "[3]"]),
        (cross_entropy(&logits, &two, &plain, Some(&random(&[1], 1))), ["mask of shape [2]", "[1]"]),
        (cross_entropy(&logits, &targets(&[0, 5]), &plain, None), ["target 5 of row 1", "classes 5"]),
        (
            cross_entropy(&logits.to_dtype(DType::F64).unwrap(), &targets(&[5, 0]), &plain, None),
            ["target 5 of row 0", "classes 5"],
        ),
        (
            cross_entropy(&logits, &Tensor::new(&[0i64, -1], &Device::Cpu).unwrap(), &plain, None),
            ["target -1 of row 1", "classes 5"],
        ),
        (
            cross_entropy(&logits, &two, &CrossEntropy { label_smoothing: 1.5, ..plain }, None),
            ["label_smoothing", "1.5"],
        ),
        (cross_entropy(&logits, &random(&[2], 1), &plain, None), ["u32", "F32"]),
    ] {
        let message = result.unwrap_err().to_string();
        ["cross_entropy"]
            .iter()
            .chain(&parts)
            .for_each(|part| assert!(message.contains(part), "{message:?} lacks {part:?}"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_fast_path_is_the_reference(
        (n, t, v) in (1usize..5, 1usize..6, 1usize..80), scale in 0.0f64..60.0, seed in 0u64..1000,
        smoothing in 0.0f64..1.0, ignore: bool, masked: bool, scatter: bool, reduction in 0usize..3,
    ) {
        let logits = (random(&[n, t, v], seed) * scale).unwrap();
        let targets = Tensor::from_vec((0..n * t).map(|i| (i * 31 % v) as u32).collect::<Vec<_>>(), (n, t), &Device::Cpu).unwrap();
        let options = CrossEntropy {
            ignore_index: (ignore && v > 1 && n * t > 1).then_some(0),
            label_smoothing: smoothing,
            reduction: REDUCTIONS[reduction],
        };
        let mask = masked.then(|| (random(&[n, t], seed + 1) + 1.5).unwrap());
        let f = |x: &Tensor| cross_entropy(x, &targets, &options, mask.as_ref());
        let (ys, dys) = gradients(&[logits.to_dtype(DType::F64).unwrap()], None, |x| f(&x[0]));
        let layout = |x: &Tensor| if scatter { scattered(x) } else { x.clone() };
        let (found, dfound) = gradients(std::slice::from_ref(&logits), None, |x| f(&layout(&x[0])));
        assert_close(&found, &ys, 1e-5, "values");
        assert_close(&dfound[0], &dys[0], 1e-5, "gradient");
    }
}

#[test]
fn a_mean_over_nothing_is_nan() {
    let options = CrossEntropy { ignore_index: Some(1), ..CrossEntropy::default() };
    let logits = Var::from_tensor(&random(&[2, 5], 1)).unwrap();
    assert!(values(&cross_entropy(&logits, &targets(&[1, 1]), &options, None).unwrap())[0].is_nan());
}

/// The loss and its gradient, of logits in a type.
fn loss_and_gradient(
    logits: &Tensor,
    dtype: DType,
    f: impl Fn(&Tensor) -> candle_core::Result<Tensor>,
) -> (Vec<f64>, Vec<f64>) {
    let (loss, gradient) = gradients(&[logits.to_dtype(dtype).unwrap()], None, |x| f(&x[0]));
    assert_eq!(loss.dtype(), dtype);
    (values(&loss), values(&gradient[0]))
}

#[test]
fn impossible_classes_and_rows_that_do_not_count_spoil_nothing() {
    let (never, nan) = (f32::NEG_INFINITY, f32::NAN);
    let logits = Tensor::new(&[[never, 0f32], [never, never], [nan, f32::INFINITY]], &Device::Cpu).unwrap();
    let mask = Tensor::new(&[2f32, 0.0, 1.0], &Device::Cpu).unwrap();
    for dtype in [DType::F32, DType::F64, DType::BF16] {
        for reduction in REDUCTIONS {
            let options = CrossEntropy { ignore_index: Some(0), reduction, ..CrossEntropy::default() };
            let f = |x: &Tensor| cross_entropy(x, &targets(&[1, 1, 0]), &options, Some(&mask));
            let (loss, gradient) = loss_and_gradient(&logits, dtype, f);
            assert!(loss.iter().all(|&loss| loss == 0.0), "{dtype:?}: {loss:?}");
            assert!(gradient.iter().all(|&slope| slope.abs() < 1e-30), "{dtype:?}: {gradient:?}");
        }
    }
}

#[test]
fn many_classes_and_rows_in_half_precision_are_those_of_f32() {
    let logits = Tensor::zeros((600, 1000), DType::F32, &Device::Cpu).unwrap();
    for dtype in [DType::BF16, DType::F16] {
        let options = CrossEntropy { label_smoothing: 0.1, ..CrossEntropy::default() };
        let f = |x: &Tensor| cross_entropy(x, &targets(&[7; 600]), &options, None);
        let (loss, _) = loss_and_gradient(&logits, dtype, f);
        assert!((loss[0] / 1000f64.ln() - 1.0).abs() < 0.004, "{dtype:?}: {loss:?}");
    }
}

#[test]
fn no_rows_have_a_mean_that_is_nan_and_a_sum_of_nothing() {
    for dtype in [DType::F32, DType::F64] {
        for reduction in REDUCTIONS {
            let options = CrossEntropy { reduction, label_smoothing: 0.1, ..CrossEntropy::default() };
            let (loss, gradient) =
                loss_and_gradient(&random(&[0, 5], 1), dtype, |x| cross_entropy(x, &targets(&[]), &options, None));
            assert!(gradient.is_empty());
            match reduction {
                Reduction::Mean => assert!(loss[0].is_nan(), "{dtype:?}: {loss:?}"),
                Reduction::Sum => assert_eq!(loss, [0.0]),
                Reduction::None => assert!(loss.is_empty()),
            }
        }
    }
}

#[test]
fn a_mean_of_f64_divides_in_f64() {
    let logits = random(&[3, 5], 1).to_dtype(DType::F64).unwrap();
    let loss = |reduction, mask: Option<&Tensor>| {
        values(
            &cross_entropy(&logits, &targets(&[0, 3, 1]), &CrossEntropy { reduction, ..CrossEntropy::default() }, mask)
                .unwrap(),
        )
    };
    let each = loss(Reduction::None, None);
    assert!((loss(Reduction::Mean, None)[0] - each.iter().sum::<f64>() / 3.0).abs() < 1e-14);
    let mask = Tensor::new(&[0.1f64, 0.2, 0.3], &Device::Cpu).unwrap();
    assert!((loss(Reduction::Sum, Some(&mask))[0] - (0.1 * each[0] + 0.2 * each[1] + 0.3 * each[2])).abs() < 1e-14);
}
