//! Activations and softmax against PyTorch and finite differences; candle's own faults.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod compare;

use candle_core::{DType, Device, Result, Tensor, Var};
use candlewick_kernels::activation::{gelu, relu, sigmoid, silu, softplus, tanh};
use candlewick_kernels::residual::residual_add;
use candlewick_kernels::scale::scale_rows;
use candlewick_kernels::softmax::{log_softmax, softmax};
use compare::*;

#[test]
fn values_and_gradients_are_those_of_pytorch() {
    for (i, case) in cases("pointwise").iter().enumerate() {
        let o = options(case);
        check_case(case, &["xs"], &format!("pointwise {i} {o:?}"), |x| match o[0] {
            0 => relu(&x[0]),
            1 => sigmoid(&x[0]),
            2 => tanh(&x[0]),
            3 => softmax(&x[0], o[1]),
            4 => log_softmax(&x[0], o[1]),
            5 => gelu(&x[0]),
            6 => silu(&x[0]),
            _ => softplus(&x[0]),
        });
    }
}

#[test]
fn gradients_are_finite_differences_on_any_layout() {
    let functions: [&dyn Fn(&Tensor) -> Result<Tensor>; 8] =
        [&relu, &sigmoid, &tanh, &gelu, &silu, &softplus, &|x| softmax(x, 1), &|x| log_softmax(x, 0)];
    // No value near 0, where relu has no derivative.
    let xs = random(&[4, 5], 1);
    let xs = (&xs + xs.sign().unwrap()).unwrap();
    for f in functions {
        check_differences(std::slice::from_ref(&xs), |x| f(&x[0]));
        check_differences_f32(std::slice::from_ref(&xs), |x| f(&scattered(&x[0])));
    }
}

#[test]
fn a_residual_sum_weighs_whole_rows() {
    let inputs = [random(&[3, 4, 5], 1), random(&[3, 4, 5], 2)];
    for factors in [None, Some([0.0f32, 1.25, -2.0])] {
        let factors = factors.as_ref().map(|factors| &factors[..]);
        check_differences(&inputs, |x| residual_add(&x[0], &x[1], factors));
        check_differences_f32(&inputs, |x| residual_add(&scattered(&x[0]), &scattered(&x[1]), factors));
    }
    // More than a thread takes at a time.
    let [xs, branch] = [3, 4].map(|seed| random(&[2, 40_000], seed));
    let found = values(&residual_add(&xs, &branch, Some(&[0.5, 3.0])).unwrap());
    for (i, ((y, x), f)) in found.into_iter().zip(values(&xs)).zip(values(&branch)).enumerate() {
        assert!((y - x - [0.5, 3.0][i / 40_000] * f).abs() < 1e-6);
    }
    let fault = residual_add(&xs, &branch, Some(&[1.0])).unwrap_err().to_string();
    assert!(fault.contains("wants 2 factors, got 1"), "{fault}");
    let fault = residual_add(&xs, &inputs[0], None).unwrap_err().to_string();
    assert!(fault.contains("not of one shape"), "{fault}");
}

#[test]
fn rows_are_scaled_by_a_factor_each() {
    let inputs = [random(&[3, 35, 2], 1), random(&[3], 2)];
    check_differences(&inputs, |x| scale_rows(&x[0], &x[1]));
    check_differences_f32(&inputs, |x| scale_rows(&scattered(&x[0]), &x[1]));
    let fault = scale_rows(&inputs[0], &random(&[2], 1)).unwrap_err().to_string();
    assert!(fault.contains("wants a factor for each row, got [2]"), "{fault}");
}

#[test]
fn many_elements_are_those_of_f64() {
    let xs = (random(&[3, 40_000], 1) * 20.0).unwrap();
    for f in [relu, sigmoid, tanh, gelu, silu, softplus] {
        assert_close(&f(&xs).unwrap(), &f(&xs.to_dtype(DType::F64).unwrap()).unwrap(), 1e-6, "activation");
    }
}

#[test]
fn gelu_is_as_exact_as_its_page_says() {
    let xs = (random(&[100_000], 1) * 8.0).unwrap();
    let exact = values(&gelu(&xs.to_dtype(DType::F64).unwrap()).unwrap());
    for ((found, exact), x) in values(&gelu(&xs).unwrap()).into_iter().zip(exact).zip(values(&xs)) {
        assert!((found - exact).abs() <= 3e-7 * x.abs(), "gelu({x}) is {found}, not {exact}");
    }
    let ends = Tensor::new(&[-1e30f32, -9.0, 9.0, 1e30, f32::NAN], &Device::Cpu).unwrap();
    let found = values(&gelu(&ends).unwrap());
    assert_eq!(found[..4], [0.0, 0.0, 9.0, f64::from(1e30f32)]);
    assert!(found[4].is_nan());
}

fn gradient_of_squares(xs: &Tensor, f: impl Fn(&Tensor) -> Result<Tensor>) -> Option<Vec<f64>> {
    let xs = Var::from_tensor(xs).unwrap();
    let found = f(xs.as_tensor()).and_then(|ys| ((&ys + &ys.sqr()?)?.sum_all()?).backward()).unwrap();
    found.get(&xs).map(values)
}

/// candle's relu passes the gradient on at exactly 0.
#[test]
fn candle_relu_has_a_gradient_at_zero() {
    let xs = Tensor::new(&[-1f32, 0.0, 1.0], &Device::Cpu).unwrap();
    assert_eq!(gradient_of_squares(&xs, relu).unwrap(), [0.0, 0.0, 3.0]);
    assert_eq!(gradient_of_squares(&xs, Tensor::relu).unwrap(), [0.0, 1.0, 3.0], "candle's relu has been mended");
    assert_eq!(gradient_of_squares(&xs.to_dtype(DType::F64).unwrap(), relu).unwrap(), [0.0, 0.0, 3.0]);
}

/// candle's fused softmax gives no gradient: https://github.com/huggingface/candle/issues/2168
#[test]
fn candle_softmax_last_dim_cuts_the_gradient() {
    let xs = random(&[2, 5], 1);
    let flows = |found: Option<Vec<f64>>| found.is_some_and(|found| found.iter().any(|value| value.abs() > 1e-6));
    assert!(flows(gradient_of_squares(&xs, |x| softmax(x, 1))));
    assert!(
        !flows(gradient_of_squares(&xs, candle_nn::ops::softmax_last_dim)),
        "candle's softmax_last_dim has been mended"
    );
}

#[test]
fn errors_name_the_operation() {
    let xs = random(&[2, 5], 1);
    assert!(softmax(&xs, 2).unwrap_err().to_string().contains("softmax"));
    assert!(log_softmax(&xs, 2).unwrap_err().to_string().contains("log_softmax"));
    let whole = Tensor::zeros((2, 5), DType::U32, &Device::Cpu).unwrap();
    let functions: [(&str, &dyn Fn(&Tensor) -> Result<Tensor>); 8] = [
        ("relu", &relu),
        ("sigmoid", &sigmoid),
        ("tanh", &tanh),
        ("gelu", &gelu),
        ("silu", &silu),
        ("softplus", &softplus),
        ("softmax", &|x| softmax(x, 1)),
        ("log_softmax", &|x| log_softmax(x, 1)),
    ];
    for (name, f) in functions {
        let message = f(&whole).unwrap_err().to_string();
        assert!(message.contains(&format!("{name}: ")) && message.contains("U32"), "{message}");
    }
}

#[test]
fn a_nan_stays_and_its_gradient_passes() {
    for dtype in [DType::F32, DType::F64, DType::BF16] {
        let xs = Tensor::new(&[f32::NAN, -f32::NAN, -2.0, 0.0, 3.0], &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
        for f in [relu, sigmoid, tanh, gelu, silu, softplus] {
            let ys = values(&f(&xs).unwrap());
            assert!(ys[0].is_nan() && ys[1].is_nan() && ys[2..].iter().all(|y| y.is_finite()), "{dtype:?}: {ys:?}");
        }
        assert_eq!(values(&relu(&xs).unwrap())[2..], [0.0, 0.0, 3.0]);
        let (_, found) = gradients(std::slice::from_ref(&xs), Some(&xs.ones_like().unwrap()), |x| relu(&x[0]));
        assert_eq!(values(&found[0]), [1.0, 1.0, 0.0, 0.0, 1.0], "{dtype:?}");
    }
}

#[test]
fn ends_of_the_line_are_exact() {
    let xs = Tensor::new(&[-3e38f32, -1e38, -1e4, -100.0, 100.0, 1e4, 1e38, 3e38], &Device::Cpu).unwrap();
    for f in [sigmoid, tanh, gelu, silu, softplus] {
        let (ys, found) = gradients(std::slice::from_ref(&xs), Some(&xs.ones_like().unwrap()), |x| f(&x[0]));
        let (wanted, slopes) =
            gradients(&[xs.to_dtype(DType::F64).unwrap()], Some(&xs.ones_like().unwrap()), |x| f(&x[0]));
        for (found, wanted) in [(&ys, &wanted), (&found[0], &slopes[0])] {
            for (found, wanted) in values(found).into_iter().zip(values(wanted)) {
                assert!((found - wanted).abs() <= 1e-6 * wanted.abs() + 1e-30, "{found} instead of {wanted}");
            }
        }
    }
}

#[test]
fn many_equal_values_share_one_in_half_precision() {
    for dtype in [DType::BF16, DType::F16] {
        let xs = Tensor::zeros((2, 1000), dtype, &Device::Cpu).unwrap();
        let (shares, logs) = (softmax(&xs, 1).unwrap(), log_softmax(&xs, 1).unwrap());
        assert_eq!((shares.dtype(), logs.dtype()), (dtype, dtype));
        values(&shares).into_iter().for_each(|share| assert!((share * 1000.0 - 1.0).abs() < 0.004, "{share}"));
        values(&logs).into_iter().for_each(|log| assert!((log / 1000f64.ln() + 1.0).abs() < 0.004, "{log}"));
        let (_, found) = gradients(&[xs], None, |x| log_softmax(&x[0], 1));
        assert_eq!(found[0].dtype(), dtype);
    }
}

#[test]
fn nothing_has_a_softmax_of_nothing() {
    for (shape, dtype) in [([0, 5], DType::F32), ([0, 5], DType::F64), ([3, 0], DType::F32)] {
        let xs = random(&shape, 1).to_dtype(dtype).unwrap();
        for found in [softmax(&xs, 1).unwrap(), log_softmax(&xs, 1).unwrap()] {
            assert_eq!(found.dims(), shape);
        }
    }
}
