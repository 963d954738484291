//! What a CUDA driver is asked for. `tests/driver/run.sh` runs this with a driver that counts and computes nothing.
#![cfg(feature = "cuda")]
#![allow(clippy::unwrap_used, clippy::panic)]

use candle_core::{DType, Device, Result, Tensor, Var};
use candlewick_kernels::attention_lstm::{Options, Weights, attention_lstm};
use candlewick_kernels::channels_last;
use candlewick_kernels::conv::Conv2d;
use candlewick_kernels::device;
use candlewick_kernels::node::backward;
use candlewick_kernels::optimizer::{self, Checks, Rule, Update};
use candlewick_kernels::precision::{Precision, set_float32_matmul_precision};
use candlewick_kernels::recurrence::{Input, Nonlinearity, gru, lstm, rnn, set_whole_sequences};
use candlewick_kernels::top_k::top_k;
use counts::{Counts, DRIVER, asked, hurry};

use std::sync::Mutex;

#[path = "../../../tests/driver/counts.rs"]
mod counts;
mod shapes;

fn var(shape: &[usize], device: &Device) -> Var {
    Var::zeros(shape, DType::F32, device).unwrap()
}

#[test]
fn a_recurrent_layer_asks_for_two_launches_a_step_each_way() {
    let _turn = DRIVER.lock();
    let device = &device::cuda(0).unwrap();
    let (n, t, d, h) = (64, 64, 512, 512);
    let lengths: Vec<usize> = (0..n).map(|row| t - row % 8).collect();
    for (name, gates) in [("rnn", 1), ("lstm", 4), ("gru", 3)] {
        let wide = gates * h;
        let vars = [&[n, t, d][..], &[wide, d], &[wide], &[wide, h], &[wide], &[n, h], &[n, h]]
            .map(|shape| var(shape, device));
        // In half precision one launch more rounds both weights.
        let cases = [
            (None, Precision::Highest),
            (Some(&lengths[..]), Precision::Medium),
            (None, Precision::Bf16),
            (None, Precision::F16),
        ];
        for (lengths, precision) in cases {
            set_float32_matmul_precision(precision);
            let more = i64::from([Precision::Bf16, Precision::F16].contains(&precision));
            let layer = |x: &[Tensor; 7]| -> Result<Tensor> {
                let input = Input::Sequence { xs: &x[0], weight: &x[1], bias: Some(&x[2]) };
                Ok(match name {
                    "rnn" => rnn(input, &x[3], &x[5], Nonlinearity::Tanh, lengths, false)?.0,
                    "lstm" => lstm(input, &x[3], &x[5], &x[6], lengths, false)?.0,
                    _ => gru(input, &x[3], Some(&x[4]), &x[5], lengths, false)?.0,
                })
            };
            let detached = vars.each_ref().map(Var::as_detached_tensor);
            let tracked = vars.each_ref().map(|var| var.as_tensor().clone());
            let inference = asked(|| layer(&detached));
            // The loss itself, which is not the layer's.
            let xs = var(&[n, t, h], device);
            let loss = asked(|| backward(&xs.sqr()?.mean_all()?));
            let training = asked(|| backward(&layer(&tracked)?.sqr()?.mean_all()?));
            println!(
                "{name} {}: inference {inference:?}\n  training {training:?}\n  of which the loss {loss:?}",
                lengths.is_some()
            );
            let all = |counts: Counts| counts.launches + counts.products;
            assert!(all(inference) <= 2 * t as i64 + 4 + more, "{name}: {inference:?}");
            let training = training.without(loss);
            assert!(all(training) <= 4 * t as i64 + 12 + more, "{name}: {training:?}");
            assert_eq!((inference.downloads, training.downloads, training.copies), (0, 0, 0), "{name}: {training:?}");
        }
        set_float32_matmul_precision(Precision::Highest);
    }
}

#[test]
fn a_whole_sequence_is_one_launch_each_way() {
    let _turn = DRIVER.lock();
    let device = &device::cuda(0).unwrap();
    for h in [512, 1024] {
        let (n, t, wide) = (64, 256, 4 * h);
        let vars = [&[n, t, h][..], &[wide, h], &[wide], &[wide, h], &[n, h], &[n, h]].map(|shape| var(shape, device));
        set_float32_matmul_precision(Precision::Bf16);
        set_whole_sequences(true);
        let training = asked(|| {
            let input = Input::Sequence { xs: &vars[0], weight: &vars[1], bias: Some(&vars[2]) };
            backward(&lstm(input, &vars[3], &vars[4], &vars[5], None, false)?.0.sum_all()?)
        });
        set_whole_sequences(false);
        set_float32_matmul_precision(Precision::Highest);
        println!("H {h}: {training:?}");
        assert!(training.launches + training.products <= 30, "{training:?}");
    }
}

#[test]
fn a_soft_attention_decoder_asks_for_five_launches_a_step_each_way() {
    let _turn = DRIVER.lock();
    let device = &device::cuda(0).unwrap();
    let (n, t, e, c, a, h) = (32, 20, 512, 2048, 512, 512);
    for p in [49, 196] {
        let vars = shapes::attention_lstm((n, t, e), (p, a, c), h).map(|shape| var(&shape, device));
        let lengths: Vec<usize> = (0..n).map(|row| t - row % 8).collect();
        let training = asked(|| {
            let x = vars.each_ref().map(Var::as_tensor);
            // What a frozen encoder saw.
            let annotations = x[2].detach();
            let weights = Weights {
                input: x[5],
                hidden: x[6],
                bias: x[7],
                query: (x[8], x[9]).into(),
                v: x[10],
                beta: Some((x[11], x[12]).into()),
            };
            let options = Options { lengths: Some(&lengths), ..Options::default() };
            let out = attention_lstm(x[0], x[1], &annotations, x[3], x[4], weights, options)?;
            backward(&(out.hidden.sum_all()? + out.alpha.sum_all()?)?)
        });
        let outputs = [var(&[n, t, h], device), var(&[n, t, p], device)];
        let loss = asked(|| backward(&(outputs[0].sum_all()? + outputs[1].sum_all()?)?));
        println!("P {p}: {training:?}\n  of which the loss {loss:?}");
        let training = training.without(loss);
        assert!(training.launches + training.products <= 12 * t as i64 + 40, "{training:?}");
        assert!(training.allocations <= 60 && training.uploads <= 3, "{training:?}");
        assert_eq!((training.copies, training.downloads, training.waits), (0, 0, 0), "{training:?}");
    }
}

#[test]
fn an_optimizer_asks_for_three_launches_over_all_parameters() {
    let _turn = DRIVER.lock();
    let device = &device::cuda(0).unwrap();
    let vars: Vec<Var> = (1..40).map(|i| var(&[i, 100 * i], device)).collect();
    let gradients: Vec<Tensor> = vars.iter().map(|var| var.as_detached_tensor()).collect();
    let states: Vec<Vec<Tensor>> = gradients.iter().map(|g| vec![g.copy().unwrap(), g.copy().unwrap()]).collect();
    let rule = Rule::Adam { betas: (0.9, 0.999), eps: 1e-8, weight_decay: 0.0, decoupled: false };
    let kept = Mutex::new(None);
    let step = asked(|| {
        let mut states = states.clone();
        let all = vars.iter().zip(&gradients).zip(&mut states);
        let update = |((parameter, gradient), state)| Update {
            parameter,
            gradient: Some(gradient),
            state,
            average: None,
            learning_rate: 0.1,
            step: 1,
        };
        let checks = Checks { max_norm: Some(5.0), ..Checks::default() };
        let outcome = optimizer::checked_step(rule, &mut all.map(update).collect::<Vec<_>>(), &checks)?;
        Ok(kept.lock().unwrap().replace(outcome))
    });
    let told = kept.lock().unwrap().take().unwrap().wait().unwrap();
    // The driver's memory is 0 as nothing is computed, and what it gives to copy into is not.
    assert_eq!((told.norm, told.numbers.len()), (0.0, 0));
    println!("{step:?}");
    assert_eq!((step.launches, step.uploads, step.downloads, step.copies, step.fills), (3, 1, 1, 0, 0), "{step:?}");
    assert_eq!(step.waits, 0, "the norm is not waited for: {step:?}");
}

#[test]
fn a_convolution_asks_for_ten_launches() {
    let _turn = DRIVER.lock();
    let device = &device::cuda(0).unwrap();
    let (xs, weight, bias) = (var(&[8, 56, 56, 64], device), var(&[64, 64, 3, 3], device), var(&[64], device));
    let options = Conv2d { padding: (1, 1), ..Conv2d::default() };
    let convolve = |xs: &Tensor, weight: &Tensor, bias: &Tensor| {
        channels_last::conv2d_relu(xs, weight, Some(bias), &options)?.sum_all()
    };
    let training = asked(|| backward(&convolve(&xs, &weight, &bias)?));
    let ys = var(&[8, 56, 56, 64], device);
    let training = training.without(asked(|| backward(&ys.sum_all()?)));
    println!("{training:?}");
    assert!(training.launches + training.products <= 10, "{training:?}");
    assert_eq!((training.uploads, training.downloads, training.copies), (0, 0, 0), "{training:?}");
}

#[test]
fn a_depthwise_convolution_asks_for_five_launches() {
    let _turn = DRIVER.lock();
    let device = &device::cuda(0).unwrap();
    let (xs, weight, bias) = (var(&[8, 28, 28, 96], device), var(&[96, 1, 7, 7], device), var(&[96], device));
    let options = Conv2d { padding: (3, 3), groups: 96, ..Conv2d::default() };
    let training = asked(|| backward(&channels_last::conv2d(&xs, &weight, Some(&bias), &options)?.sum_all()?));
    let ys = var(&[8, 28, 28, 96], device);
    let training = training.without(asked(|| backward(&ys.sum_all()?)));
    println!("{training:?}");
    // One of them spreads the loss's gradient, which is a single number.
    assert!(training.launches + training.products <= 5, "{training:?}");
}

#[test]
fn a_search_brings_only_the_best_words_to_the_host() {
    let _turn = DRIVER.lock();
    let device = &device::cuda(0).unwrap();
    let logits = var(&[320, 2500], device);
    let best = asked(|| top_k(&logits, 10));
    println!("{best:?}");
    assert_eq!((best.launches, best.downloads, best.allocations), (1, 1, 1), "{best:?}");
}

/// Through two slots, of sizes that differ: whether copies come at once or as late as they may, each tensor has its own
/// values, and the host waits only for the copy before the last.
#[test]
fn batches_arrive_by_a_stream_of_their_own() {
    let _turn = DRIVER.lock();
    let device = &device::cuda(0).unwrap();
    let batch = |at: usize| {
        // The third does not fit where the others do.
        let count = [20_000, 20_700, 300_000][at % 3];
        Tensor::arange(at as f32, (at + count) as f32, &Device::Cpu).unwrap()
    };
    for early in [false, true] {
        hurry(early);
        let arrived = || (0..7).map(|at| device::upload(&batch(at), device)).collect::<Result<Vec<_>>>();
        let Counts { uploads, copies, allocations, waits, .. } = asked(arrived);
        // Two copies may be on their way.
        assert_eq!((uploads, copies, allocations, waits), (7, 7, 7, if early { 0 } else { 5 }));
        for (at, tensor) in arrived().unwrap().iter().enumerate() {
            let (found, wanted) = (tensor.to_vec1::<f32>().unwrap(), batch(at).to_vec1::<f32>().unwrap());
            assert!(found == wanted, "batch {at} starts with {:?}", &found[..3]);
        }
    }
    hurry(false);
    let part = batch(0).reshape((100, 200)).unwrap().t().unwrap().narrow(0, 10, 180).unwrap();
    let there = device::upload(&part, device).unwrap();
    assert!(there.to_vec2::<f32>().unwrap() == part.to_vec2::<f32>().unwrap());
}
