//! What a CUDA driver is asked for. `tests/driver/run.sh` runs this with a driver that counts and computes nothing.
#![cfg(feature = "cuda")]
#![allow(clippy::unwrap_used, clippy::panic)]

use candle_core::{DType, Device, Result, Tensor, Var};
use candlewick_kernels::device;
use candlewick_kernels::node::backward;
use candlewick_kernels::recurrence::{Input, Nonlinearity, gru, lstm, rnn};

/// What was asked since the last time.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    launches: i64,
    products: i64,
    allocations: i64,
    uploads: i64,
    downloads: i64,
    copies: i64,
    fills: i64,
    events: i64,
    waits: i64,
}

unsafe extern "C" {
    fn driver_counts(into: *mut Counts);
}

fn counts() -> Counts {
    let mut counts = Counts::default();
    // SAFETY: it writes nine numbers.
    unsafe { driver_counts(&raw mut counts) };
    counts
}

/// What the second call asks for: the first one loads kernels.
fn asked<T>(work: impl Fn() -> Result<T>) -> Counts {
    work().unwrap();
    counts();
    drop(work().unwrap());
    counts()
}

fn var(shape: &[usize], device: &Device) -> Var {
    Var::zeros(shape, DType::F32, device).unwrap()
}

#[test]
fn a_recurrent_layer_asks_for_two_launches_a_step_each_way() {
    let device = &device::cuda(0).unwrap();
    let (n, t, d, h) = (64, 64, 512, 512);
    let lengths: Vec<usize> = (0..n).map(|row| t - row % 8).collect();
    for (name, gates) in [("rnn", 1), ("lstm", 4), ("gru", 3)] {
        let wide = gates * h;
        let vars = [&[n, t, d][..], &[wide, d], &[wide], &[wide, h], &[wide], &[n, h], &[n, h]]
            .map(|shape| var(shape, device));
        for lengths in [None, Some(&lengths[..])] {
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
            assert!(all(inference) <= 2 * t as i64 + 4, "{name}: {inference:?}");
            assert!(all(training) - all(loss) <= 4 * t as i64 + 12, "{name}: {training:?} without {loss:?}");
            assert_eq!((inference.downloads, training.downloads - loss.downloads), (0, 0), "{name}");
        }
    }
}
