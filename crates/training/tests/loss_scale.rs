//! Training with products of f16, as on a CUDA device: its loss is scaled, which changes nothing but what would overflow.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod toy;

use candlewick_kernels::emulated_in;
use candlewick_kernels::precision::Precision;
use candlewick_training::*;
use serde_json::Value;
use std::cell::Cell;
use std::path::Path;
use toy::{Toy, config};

/// An epoch's log, the weights, and the overflows that were told; nothing without a C++ compiler.
type Trained = (Vec<Value>, Vec<(String, Vec<u32>)>, Vec<(usize, f64)>);

fn trained(precision: Precision, poison: Option<f64>, config: &FitConfig, out: &Path) -> Option<Trained> {
    let mut task = Toy::new(32);
    task.poison = poison.map(|factor| (5..6, factor));
    let mut overflows = Vec::new();
    let mut observer = |event: &Event| {
        if let Event::Overflowed { step, loss_scale } = event {
            overflows.push((*step, *loss_scale));
        }
    };
    let run = || fit(&mut task, config, out, &mut observer).map(|_| ());
    emulated_in(precision, 1, run).unwrap()?.unwrap();
    Some((toy::log(out), task.weights(), overflows))
}

/// Stops a run after so many steps.
struct After(Cell<usize>);

impl Observer for After {
    fn event(&mut self, _: &Event) {}

    fn stops(&self) -> bool {
        self.0.set(self.0.get() - 1);
        self.0.get() == 0
    }
}

fn an_epoch() -> FitConfig {
    FitConfig { epochs: 1, ..config() }
}

#[test]
fn a_scaled_loss_takes_the_same_steps() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let Some(plain) = trained(Precision::Highest, None, &an_epoch(), folders[0].path()) else { return };
    // No product of this network is rounded, and a power of two changes no digit.
    assert_eq!(trained(Precision::F16, None, &an_epoch(), folders[1].path()).unwrap(), plain);
    let trainer = std::fs::read_to_string(folders[1].path().join("checkpoint-10/trainer.json")).unwrap();
    let state: Value = serde_json::from_str(&trainer).unwrap();
    let scale = &state["loss_scale"];
    assert_eq!((scale["factor"].as_f64(), scale["calm"].as_u64()), (Some(65_536.0), Some(10)));
}

#[test]
fn a_gradient_that_overflows_is_left_out_and_told() {
    for clip_value in [None, Some(0.5)] {
        let out = tempfile::tempdir().unwrap();
        // The loss is finite, its gradient times the scale is not.
        let config = FitConfig { clip_value, ..an_epoch() };
        let Some((log, _, overflows)) = trained(Precision::F16, Some(1e36), &config, out.path()) else { return };
        assert_eq!(overflows, [(5, 32_768.0)]);
        let steps = log.iter().filter(|line| line["loss"].is_number()).filter_map(|line| line["step"].as_u64());
        assert_eq!(steps.collect::<Vec<_>>(), [1, 2, 3, 4, 6, 7, 8, 9, 10]);
        assert!(log.iter().any(|line| line["overflowed_at"] == 5 && line["loss_scale"] == 32_768.0), "{log:?}");
        assert!(log.iter().all(|line| line["recovery"].is_null()), "{log:?}");
    }
}

#[test]
fn a_run_that_stops_at_an_overflow_goes_on_as_if_it_had_not() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let config = FitConfig { checkpoint_every: 0, ..an_epoch() };
    let Some((_, wanted, _)) = trained(Precision::F16, Some(1e36), &config, folders[0].path()) else { return };
    let out = folders[1].path();
    let mut task = Toy::new(32);
    task.poison = Some((5..6, 1e36));
    let run = || fit(&mut task, &config, out, &mut After(Cell::new(5))).map(|report| report.reason);
    let reason = emulated_in(Precision::F16, 1, run).unwrap().unwrap().unwrap();
    assert_eq!(reason, StopReason::Interrupted);
    let (_, found, overflows) = trained(Precision::F16, None, &config, out).unwrap();
    assert_eq!((found, overflows), (wanted, vec![]));
}

#[test]
fn where_no_scale_is_small_enough_the_run_goes_back_to_before_the_first_overflow() {
    let out = tempfile::tempdir().unwrap();
    let mut task = Toy::new(32);
    // From the fifth batch on every gradient is infinite at any scale; it is finite again some steps after the run has gone back.
    task.poison = Some((5..60, 0.0));
    let (mut overflows, mut recovered) = (Vec::new(), Vec::new());
    let mut observer = |event: &Event| match event {
        Event::Overflowed { step, loss_scale } => overflows.push((*step, *loss_scale)),
        Event::Recovered { step, what, back_to, factor, .. } => {
            recovered.push((overflows.len(), *step, *what, *back_to, *factor));
        }
        _ => (),
    };
    let run = || fit(&mut task, &config(), out.path(), &mut observer);
    let Some(report) = emulated_in(Precision::F16, 1, run).unwrap() else { return };
    assert_eq!(report.unwrap().steps, 50);
    let [(told, 5, "norm of the gradients", 3, 0.5)] = recovered[..] else { panic!("{recovered:?}") };
    let (before, after) = overflows.split_at(told);
    assert_eq!((before[0], before[told - 1].1), ((5, 32_768.0), 1.0));
    // With the state the scale is the one of then.
    assert_eq!(after[0], (4, 32_768.0));
}
