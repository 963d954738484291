//! The minimal GRU and LSTM: numbers by hand, initial values, rows that have ended.

use super::{D, H, normal};
use candle_core::{DType, Device, Tensor, Var};
use candlewick_parameters::{Parameters, Rng};
use candlewick_recurrent::{BuildCell, Cell, MinGruCell, MinLstmCell, MinLstmConfig};
use candlewick_testing::flat;

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// The outputs of a cell over x (1, T, D) from h, and those of `formula`, which takes a step's sums, unit by unit, and h.
fn check<C: BuildCell>(formula: impl Fn(&[f64], f64) -> f64) {
    let parameters = Parameters::new(1);
    let cell = C::new(D, H, &C::Config::default(), parameters.builder(&Device::Cpu)).unwrap();
    let values = |tensor: &Tensor| flat(tensor).into_iter().map(f64::from).collect::<Vec<f64>>();
    let (weight, bias) = (values(&cell.parameters()[0]), values(&cell.parameters()[1]));
    for steps in [1, 2, 3, 7, 8, 9] {
        let (x, h) = (normal("x", &[1, steps, D]), normal("h", &[1, H]));
        let found = values(&cell.sequence(&x, std::slice::from_ref(&h), None, false).unwrap().0);
        let mut h = values(&h);
        for (t, x) in values(&x).chunks(D).enumerate() {
            let sum = |row: usize| bias[row] + (0..D).map(|k| weight[row * D + k] * x[k]).sum::<f64>();
            for (unit, h) in h.iter_mut().enumerate() {
                let sums: Vec<f64> = (0..bias.len() / H).map(|block| sum(block * H + unit)).collect();
                *h = formula(&sums, *h);
                let found = found[t * H + unit];
                assert!((found - *h).abs() < 1e-5, "step {t} of {steps}: {found} instead of {h}");
            }
        }
    }
}

#[test]
fn the_minimal_networks_have_the_papers_values() {
    check::<MinGruCell>(|sums, h| {
        let z = sigmoid(sums[0]);
        (1.0 - z) * h + z * sums[1]
    });
    check::<MinLstmCell>(|sums, h| {
        let (f, i) = (sigmoid(sums[0]), sigmoid(sums[1]));
        f / (f + i) * h + i / (f + i) * sums[2]
    });
}

#[test]
fn a_scan_is_exact_over_a_thousand_steps_and_blind_to_what_stands_beyond_a_row() {
    let parameters = Parameters::new(1);
    let config = MinLstmConfig { forget_bias: Some(4.0), ..MinLstmConfig::default() };
    let cell = MinLstmCell::new(D, H, &config, parameters.builder(&Device::Cpu)).unwrap();
    assert_eq!(flat(&cell.parameters()[1])[..H], [4.0; H]);
    let h = vec![normal("h", &[2, H])];
    let x = Rng::derive(1, "x", 0).normal_tensor(0.0, 1.0, (2, 1000, D), &Device::Cpu).unwrap();
    let (_, last) = cell.sequence(&x, &h, None, true).unwrap();
    let mut stepped = h.clone();
    for t in (0..1000).rev() {
        stepped = cell.step(&x.narrow(1, t, 1).unwrap().squeeze(1).unwrap(), &stepped).unwrap();
    }
    super::assert_close(&last[0], &stepped[0], "after a thousand steps");
    // A row's padding may be no number.
    let nothing = Tensor::full(f32::NAN, (1, 4, D), &Device::Cpu).unwrap();
    let short = Tensor::cat(&[x.narrow(1, 0, 6).unwrap().narrow(0, 0, 1).unwrap(), nothing], 1).unwrap();
    let x = Var::from_tensor(&Tensor::cat(&[x.narrow(0, 1, 1).unwrap().narrow(1, 0, 10).unwrap(), short], 0).unwrap());
    let x = x.unwrap();
    for reverse in [false, true] {
        let (out, last) = cell.sequence(&x, &h, Some(&[10, 6]), reverse).unwrap();
        let loss = (out.sqr().unwrap().sum_all().unwrap() + last[0].sqr().unwrap().sum_all().unwrap()).unwrap();
        let store = loss.backward().unwrap();
        let gradients = parameters.trainable().into_iter().map(|(_, var)| store.get(&var).unwrap().clone());
        for tensor in gradients.chain([out, last[0].clone(), store.get(&x).unwrap().clone()]) {
            assert!(flat(&tensor).iter().all(|value| value.is_finite()), "reverse {reverse}: {tensor}");
        }
    }
    let empty = Tensor::zeros((2, 0, D), DType::F32, &Device::Cpu).unwrap();
    assert_eq!(flat(&cell.sequence(&empty, &h, None, false).unwrap().1[0]), flat(&h[0]));
}
