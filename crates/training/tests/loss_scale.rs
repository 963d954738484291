//! Training with products of f16, as on a CUDA device: its loss is scaled, which changes nothing but what would overflow.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod toy;

use candlewick_kernels::emulated_in;
use candlewick_kernels::precision::Precision;
use candlewick_training::*;
use serde_json::Value;
use std::path::Path;
use toy::{Toy, config};

/// An epoch's log, the weights, and the overflows that were told; nothing without a C++ compiler.
type Trained = (Vec<Value>, Vec<(String, Vec<u32>)>, Vec<(usize, f64)>);

fn trained(precision: Precision, poison: Option<f64>, out: &Path) -> Option<Trained> {
    let mut task = Toy::new(32);
    task.poison = poison.map(|factor| (5..6, factor));
    let mut overflows = Vec::new();
    let mut observer = |event: &Event| {
        if let Event::Overflowed { step, loss_scale } = event {
            overflows.push((*step, *loss_scale));
        }
    };
    let config = FitConfig { epochs: 1, ..config() };
    let run = || fit(&mut task, &config, out, &mut observer).map(|_| ());
    emulated_in(precision, 1, run).unwrap()?.unwrap();
    Some((toy::log(out), task.weights(), overflows))
}

#[test]
fn a_scaled_loss_takes_the_same_steps() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let Some(plain) = trained(Precision::Highest, None, folders[0].path()) else { return };
    // No product of this network is rounded, and a power of two changes no digit.
    assert_eq!(trained(Precision::F16, None, folders[1].path()).unwrap(), plain);
    let trainer = std::fs::read_to_string(folders[1].path().join("checkpoint-10/trainer.json")).unwrap();
    let state: Value = serde_json::from_str(&trainer).unwrap();
    assert_eq!(
        (state["loss_scale"]["factor"].as_f64(), state["loss_scale"]["calm"].as_u64()),
        (Some(65_536.0), Some(10))
    );
}

#[test]
fn a_gradient_that_overflows_is_left_out_and_told() {
    let out = tempfile::tempdir().unwrap();
    // The loss is finite, its gradient times the scale is not.
    let Some((log, _, overflows)) = trained(Precision::F16, Some(1e36), out.path()) else { return };
    assert_eq!(overflows, [(5, 32_768.0)]);
    let steps: Vec<u64> =
        log.iter().filter(|line| line["loss"].is_number()).filter_map(|line| line["step"].as_u64()).collect();
    assert_eq!(steps, [1, 2, 3, 4, 6, 7, 8, 9, 10]);
    assert!(log.iter().any(|line| line["overflowed_at"] == 5 && line["loss_scale"] == 32_768.0), "{log:?}");
    assert!(log.iter().all(|line| line["recovery"].is_null()), "{log:?}");
}
