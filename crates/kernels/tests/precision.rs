//! What products in bf16 do to operations and their gradients. The precision is one for the whole process: so this is a file of
//! its own, and one test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod compare;
mod shapes;

use candle_core::{Result, Tensor};
use candlewick_kernels::attention_lstm::{Options, Weights, attention_lstm};
use candlewick_kernels::channels_last;
use candlewick_kernels::conv::{Conv2d, conv2d};
use candlewick_kernels::linear::linear;
use candlewick_kernels::precision::{Precision, available, float32_matmul_precision, set_float32_matmul_precision};
use candlewick_kernels::recurrence::{Input, Nonlinearity, gru, lstm, rnn};
use compare::{assert_close, gradients, random, values};

/// What an error in bf16 is bounded by, in parts of the sum of the terms' sizes; and that of f32's sums.
const BOUND: f64 = 1.0 / 128.0 + 1.0 / 65536.0 + 1e-5;

type Run<'a> = &'a dyn Fn(&[Tensor]) -> Result<Tensor>;

fn in_precision(precision: Precision, inputs: &[Tensor], run: Run) -> Vec<Tensor> {
    set_float32_matmul_precision(precision);
    let (ys, gradients) = gradients(inputs, None, run);
    set_float32_matmul_precision(Precision::Highest);
    [ys].into_iter().chain(gradients).collect()
}

/// Products alone: each value errs by no more than the bound times the same product of the sizes of its factors.
fn check_product(name: &str, shapes: &[&[usize]], run: Run) {
    let inputs: Vec<Tensor> = shapes.iter().zip(1..).map(|(shape, seed)| random(shape, seed)).collect();
    let full = in_precision(Precision::Highest, &inputs, run);
    let rounded = in_precision(Precision::Medium, &inputs, run);
    let sizes: Vec<Tensor> = inputs.iter().map(|input| input.abs().unwrap()).collect();
    let weights = random(full[0].dims(), 99).abs().unwrap();
    let (ys, of_inputs) = gradients(&sizes, Some(&weights), run);
    let sizes = [ys].into_iter().chain(of_inputs);
    let mut differs = false;
    for (i, ((full, rounded), size)) in full.iter().zip(&rounded).zip(sizes).enumerate() {
        for ((full, rounded), size) in values(full).iter().zip(values(rounded)).zip(values(&size)) {
            differs |= *full != rounded;
            assert!((full - rounded).abs() <= BOUND * size, "{name} {i}: {rounded} for {full}, of {size}");
        }
    }
    assert_eq!(differs, available(), "{name}");
}

/// A whole computation: its values and gradients stay within a fiftieth of the largest one.
fn check_sequence(name: &str, shapes: &[&[usize]], run: Run) {
    let inputs = shapes.iter().zip(1..).map(|(shape, seed)| {
        let width = if shape.len() == 2 { shape[1] as f64 } else { 1.0 };
        (random(shape, seed) / width.sqrt()).unwrap()
    });
    let inputs: Vec<Tensor> = inputs.collect();
    let full = in_precision(Precision::Highest, &inputs, run);
    let rounded = in_precision(Precision::Medium, &inputs, run);
    for (i, (full, rounded)) in full.iter().zip(&rounded).enumerate() {
        assert_close(rounded, full, 0.02, &format!("{name} {i}"));
    }
    let differs = full.iter().zip(&rounded).any(|(full, rounded)| values(full) != values(rounded));
    assert_eq!(differs, available(), "{name}");
}

/// All outputs, one after the other.
fn joined(outputs: &[&Tensor]) -> Result<Tensor> {
    let flat = outputs.iter().map(|output| output.flatten_all()).collect::<Result<Vec<_>>>()?;
    Tensor::cat(&flat, 0)
}

fn input(x: &[Tensor]) -> Input<'_> {
    Input::Sequence { xs: &x[0], weight: &x[1], bias: None }
}

/// Rows that end at different steps.
const LENGTHS: [usize; 19] = [6, 1, 3, 6, 5, 0, 4, 4, 6, 2, 6, 6, 3, 1, 5, 6, 2, 4, 6];

#[test]
fn values_and_gradients_stay_within_their_bounds() {
    assert_eq!(float32_matmul_precision(), Precision::Highest);
    for word in ["highest", "medium", "bf16", "f16"] {
        assert_eq!(word.parse::<Precision>().unwrap().to_string(), word);
    }
    assert!("high".parse::<Precision>().unwrap_err().contains("`high`"));
    products();
    sequences();
    attention();
}

const SAME: Conv2d = Conv2d { stride: (1, 1), padding: (1, 1), dilation: (1, 1), groups: 1 };
const STRIDED: Conv2d = Conv2d { stride: (2, 2), padding: (1, 1), dilation: (1, 1), groups: 2 };

fn products() {
    check_product("linear", &[&[70, 130], &[50, 130], &[50]], &|x| linear(&x[0], &x[1], Some(&x[2])));
    check_product("a large linear", &[&[300, 700], &[620, 700]], &|x| linear(&x[0], &x[1], None));
    check_product("1×1", &[&[3, 40, 7, 7], &[70, 40, 1, 1], &[70]], &|x| {
        conv2d(&x[0], &x[1], Some(&x[2]), &Conv2d::default())
    });
    check_product("1×1 on large maps", &[&[2, 40, 31, 29], &[70, 40, 1, 1]], &|x| {
        conv2d(&x[0], &x[1], None, &Conv2d::default())
    });
    check_product("3×3", &[&[2, 32, 35, 13], &[48, 32, 3, 3]], &|x| conv2d(&x[0], &x[1], None, &SAME));
    check_product("3×3 in groups", &[&[2, 32, 15, 13], &[48, 16, 3, 3]], &|x| conv2d(&x[0], &x[1], None, &STRIDED));
    check_product("1×1 together", &[&[3, 7, 7, 40], &[70, 40, 1, 1]], &|x| {
        channels_last::conv2d(&x[0], &x[1], None, &Conv2d::default())
    });
    check_product("3×3 together", &[&[2, 35, 13, 32], &[48, 32, 3, 3]], &|x| {
        channels_last::conv2d(&x[0], &x[1], None, &SAME)
    });
}

fn sequences() {
    let lstm_case = |x: &[Tensor], reverse| {
        let (out, h, c) = lstm(input(x), &x[2], &x[3], &x[4], Some(&LENGTHS), reverse)?;
        joined(&[&out, &h, &c])
    };
    for h in [64, 37] {
        let (n, t, d) = (LENGTHS.len(), 6, 40);
        let shapes = |gates: usize| [vec![n, t, d], vec![gates * h, d], vec![gates * h, h], vec![n, h], vec![n, h]];
        let check = |name: &str, gates: usize, inputs: usize, run: Run| {
            let shapes = shapes(gates);
            let shapes: Vec<&[usize]> = shapes[..inputs].iter().map(Vec::as_slice).collect();
            check_sequence(&format!("{name} of {h}"), &shapes, run);
        };
        check("lstm", 4, 5, &|x| lstm_case(x, false));
        check("lstm in reverse", 4, 5, &|x| lstm_case(x, true));
        check("gru", 3, 4, &|x| {
            let (out, h) = gru(input(x), &x[2], None, &x[3], None, false)?;
            joined(&[&out, &h])
        });
        check("rnn", 1, 4, &|x| {
            let (out, h) = rnn(input(x), &x[2], &x[3], Nonlinearity::Tanh, None, true)?;
            joined(&[&out, &h])
        });
    }
}

fn attention() {
    for h in [64, 21] {
        let (n, t, p, e, c, a) = (LENGTHS.len(), 6, 9, 24, 70, 33);
        let shapes = shapes::attention_lstm((n, t, e), (p, a, c), h);
        let shapes = shapes.each_ref().map(Vec::as_slice);
        check_sequence(&format!("attentive lstm of {h}"), &shapes, &|x| {
            let weights = Weights {
                input: &x[5],
                hidden: &x[6],
                bias: &x[7],
                query: (&x[8], &x[9]).into(),
                v: &x[10],
                beta: Some((&x[11], &x[12]).into()),
            };
            let found = attention_lstm(
                &x[0],
                &x[1],
                &x[2],
                &x[3],
                &x[4],
                weights,
                Options { lengths: Some(&LENGTHS), ..Options::default() },
            )?;
            joined(&[&found.hidden, &found.context, &found.alpha])
        });
    }
}
