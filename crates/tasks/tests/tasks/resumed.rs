//! Runs that are stopped and go on.

use candle_core::Device;
use candlewick_training::{Event, Observer, Recipe, Silent, fit};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

/// Stops a run after so many steps of its own.
struct StopsAfter(AtomicUsize);

impl Observer for StopsAfter {
    fn event(&mut self, _: &Event) {}

    fn stops(&self) -> bool {
        self.0.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_err()
    }
}

/// Trains a recipe twice in `folder`, once in one go and once stopped after each of `stops` steps, and wants the same weights of both, bit for
/// bit.
pub fn same_in_parts<R: Recipe>(recipe: &R, folder: &Path, stops: &[usize]) {
    let once = |out: &Path, observer: &mut dyn Observer| {
        let mut task = recipe.prepare(out, &Device::Cpu, &mut |_| {}).unwrap();
        fit(&mut task, recipe.training(), out, observer).unwrap()
    };
    let (whole, parts) = (folder.join("whole"), folder.join("parts"));
    let steps = once(&whole, &mut Silent).steps;
    for &stop in stops {
        assert!(once(&parts, &mut StopsAfter(stop.into())).steps < steps, "stopping after {stop} steps stops nothing");
    }
    once(&parts, &mut Silent);
    assert!(newest(&whole) == newest(&parts), "the weights differ");
}

/// The weights of a run's newest checkpoint.
fn newest(run: &Path) -> Vec<u8> {
    let checkpoints = std::fs::read_dir(run).unwrap().filter_map(|entry| {
        let path = entry.unwrap().path();
        let step = path.file_name()?.to_str()?.strip_prefix("checkpoint-")?.parse::<usize>().ok()?;
        Some((step, path))
    });
    std::fs::read(checkpoints.max().unwrap().1.join("model.safetensors")).unwrap()
}
