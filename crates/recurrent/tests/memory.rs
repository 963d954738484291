//! What truncated backpropagation promises: a million steps take the memory of a few chunks. A file of its own, so that no other test
//! runs in the process that is measured.
#![allow(clippy::unwrap_used)]
#![cfg(target_os = "linux")]

use candle_core::Device;
use candlewick_kernels::node::backward;
use candlewick_parameters::{Mode, Parameters, Rng};
use candlewick_recurrent::{Settings, Truncated, sequence_layer};

/// The memory that the process has now, in MiB.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

#[test]
fn a_million_steps_take_no_more_memory_than_a_hundred_thousand() {
    const STEPS: usize = 50;
    let parameters = Parameters::new(1);
    let layer = sequence_layer("lstm", 4, 8, &Settings::default(), parameters.builder(&Device::Cpu)).unwrap();
    let weight = parameters.trainable().into_iter().find(|(name, _)| name == "weight_hh_l0").unwrap().1;
    let chunks = (0..1_000_000 / STEPS)
        .map(|chunk| Rng::derive(1, "text", chunk as u64).normal_tensor(0.0, 1.0, (1, STEPS, 4), &Device::Cpu));
    let (mut early, mut count) = (0.0, 0);
    for out in Truncated::new(&*layer, chunks, Mode::Eval) {
        let gradients = backward(&out.unwrap().sqr().unwrap().mean_all().unwrap()).unwrap();
        assert!(gradients.get(weight.as_tensor()).is_some());
        count += STEPS;
        if count == 100_000 {
            early = resident();
        }
    }
    let late = resident();
    println!("{early:.1} MiB after 100,000 steps, {late:.1} MiB after 1,000,000");
    assert_eq!(count, 1_000_000);
    assert!(late - early < 2.0, "{early:.1} MiB after 100,000 steps, {late:.1} MiB after 1,000,000");
}
