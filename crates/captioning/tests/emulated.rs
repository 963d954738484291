//! The training of a captioner on an emulated CUDA device, as it goes on a GPU: the CPU's, step by step.
#![allow(clippy::unwrap_used)]

use candle_core::Device;
use candlewick_captioning::prepare;
use candlewick_kernels::precision::Precision;
use candlewick_kernels::{emulated, emulated_in};
use candlewick_training::{Error, Event, fit};
use serde_json::json;
use small::recipe;

mod small;

/// Step and loss of each of twenty steps, and how they ended.
fn trained(learning_rate: f64) -> (Vec<(usize, f64)>, Option<Error>) {
    let out = tempfile::tempdir().unwrap();
    let optimizer = json!({ "name": "adam", "learning_rate": learning_rate });
    let training =
        json!({ "epochs": 4, "validate_every": 0, "clip_norm": 1.0, "average": 0.9, "optimizer": optimizer });
    let recipe = recipe(&json!({ "training": training }));
    let mut task = prepare(&recipe, out.path(), &Device::Cpu, &mut |_| ()).unwrap();
    let mut steps = Vec::new();
    let mut observer = |event: &Event| {
        if let Event::Step { step, loss, .. } = event {
            steps.push((*step, *loss));
        }
    };
    let ended = fit(&mut task, &recipe.training, out.path(), &mut observer).err();
    (steps, ended)
}

#[test]
fn twenty_steps_are_those_of_the_cpu() {
    let (wanted, _) = trained(0.01);
    assert_eq!(wanted.len(), 20);
    let exact = emulated(1, || trained(0.01)).unwrap();
    let [in_bf16, in_f16] = [Precision::Bf16, Precision::F16].map(|to| emulated_in(to, 2, || trained(0.01)).unwrap());
    for (found, tolerance) in [(exact, 1e-3), (in_bf16, 0.02), (in_f16, 0.004)] {
        let Some((found, ended)) = found else { return };
        assert_eq!(found.len(), 20, "{ended:?}");
        for (&(step, found), &(wanted_step, wanted)) in found.iter().zip(&wanted) {
            assert_eq!(step, wanted_step);
            assert!((found / wanted - 1.0).abs() < tolerance, "step {step}: {found} instead of {wanted}");
        }
    }
}

#[test]
fn numbers_that_are_not_finite_are_told_of_the_step_that_they_came_in() {
    let (steps, ended) = trained(1e30);
    let (Error::NotFinite { step, .. }, Some((found, ended))) =
        (ended.unwrap(), emulated(3, || trained(1e30)).unwrap())
    else {
        return;
    };
    assert_eq!(found.len(), steps.len());
    let Some(Error::NotFinite { step: found, .. }) = ended else { unreachable!("{ended:?}") };
    assert_eq!(found, step);
}
