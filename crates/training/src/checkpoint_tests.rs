#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use super::*;
use crate::{Loss, OptimizerConfig};
use candle_core::{Device, Tensor};
use candlewick_parameters::{Initial, Mode, ParameterBuilder, Parameters};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static KILL: Cell<Option<Phase>> = const { Cell::new(None) };
}

/// Ends the program, as far as a test can, at the phase that a test has set.
pub(crate) fn phase(at: Phase) {
    if KILL.get() == Some(at) {
        KILL.set(None);
        panic!("killed at {at:?}");
    }
}

/// One number.
struct Number(Parameters);

impl Number {
    fn new() -> Self {
        let parameters = Parameters::new(1);
        parameters.builder(&Device::Cpu).parameter(1, "number", Initial::Constant(0.0)).unwrap();
        Self(parameters)
    }

    fn set(&self, value: f32) {
        self.0.trainable()[0].1.set(&Tensor::new(&[value], &Device::Cpu).unwrap()).unwrap();
    }

    fn get(&self) -> f32 {
        self.0.tensors()[0].1.to_vec1::<f32>().unwrap()[0]
    }

    fn optimizer(&self) -> Optimizer {
        let mut optimizer = Optimizer::new(&OptimizerConfig::adam(0.1), self.0.trainable(), |_| 1.0).unwrap();
        let gradient = Tensor::new(&[1f32], &Device::Cpu).unwrap();
        optimizer.step(&[Some(gradient)], 0.1, 1.0).unwrap();
        optimizer
    }

    /// A checkpoint whose number is its step.
    fn write(&self, run: &Path, step: usize, best: usize, keep: usize) -> Result<PathBuf> {
        let optimizer = self.optimizer();
        self.set(step as f32);
        let best_folder = Some(folder_name(best));
        let state = TrainerState { step, best_folder, best: Some(0.1), ..TrainerState::default() };
        let folder = Checkpoint::write(run, &state, self, &optimizer)?;
        prune(run, state.best_folder.as_deref(), keep)?;
        Ok(folder)
    }
}

impl Task for Number {
    type Batch = ();

    fn parameters(&self) -> &Parameters {
        &self.0
    }

    fn batches_per_epoch(&self) -> usize {
        0
    }

    fn batches<'a>(&'a self, _: usize, _: usize, _: crate::Shard) -> Result<Box<dyn Iterator<Item = Result<()>> + 'a>> {
        Ok(Box::new(std::iter::empty()))
    }

    fn loss(&self, _: &(), _: &mut Mode) -> Result<Loss> {
        Err(Error::task("no loss"))
    }

    fn validate(&mut self, _: usize) -> Result<Scores> {
        Ok(Scores::new())
    }
}

fn names(run: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(run).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn restored(run: &Path) -> (usize, f32) {
    let mut task = Number::new();
    let mut optimizer = task.optimizer();
    let last = Checkpoint::load(run).unwrap().unwrap();
    last.restore(&mut task, &mut optimizer).unwrap();
    (last.state.step, task.get())
}

#[test]
fn a_kill_at_any_phase_leaves_a_whole_checkpoint_and_no_leftover() {
    use Phase::{Created, Filled, Model, Optimizer, Pruning, Published, Renamed};
    for (at, kept) in
        [(Created, 1), (Model, 1), (Optimizer, 1), (Filled, 1), (Renamed, 3), (Published, 3), (Pruning, 3)]
    {
        let run = tempfile::tempdir().unwrap();
        let (run, task) = (run.path(), Number::new());
        task.write(run, 1, 1, 0).unwrap();
        KILL.set(Some(at));
        let killed = catch_unwind(AssertUnwindSafe(|| task.write(run, 3, 3, 0)));
        assert!(killed.is_err(), "{at:?} was never met");
        assert_eq!(RunFile::load(run).map(|file| file.step).unwrap(), if kept == 3 && at != Renamed { 3 } else { 1 });
        crate::run_folder::remove_leftovers(run).unwrap();
        assert!(names(run).iter().all(|name| !name.starts_with(TEMPORARY)), "{at:?}: {:?}", names(run));
        assert_eq!(restored(run), (kept, kept as f32), "{at:?}");
        // The run goes on, and what is no longer wanted goes.
        task.write(run, 5, 5, 0).unwrap();
        assert_eq!(names(run), ["checkpoint-5", "run.json"], "{at:?}");
    }
}

#[test]
fn last_best_and_the_wanted_number_of_others_are_kept() {
    let run = tempfile::tempdir().unwrap();
    let (run, task) = (run.path(), Number::new());
    for step in [2, 10, 9, 11, 100].map(|step| step + 1) {
        task.write(run, step, 3, 1).unwrap();
    }
    // By number, not by name: 12 comes before 101.
    assert_eq!(names(run), ["checkpoint-101", "checkpoint-12", "checkpoint-3", "run.json"]);
    let file = RunFile::load(run).unwrap();
    assert_eq!((file.last.as_str(), file.best.as_str(), file.step), ("checkpoint-101", "checkpoint-3", 101));
    assert_eq!(best_checkpoint(run).unwrap(), run.join("checkpoint-3"));
}

#[test]
fn a_checkpoint_is_never_replaced() {
    let run = tempfile::tempdir().unwrap();
    let task = Number::new();
    task.write(run.path(), 1, 1, 0).unwrap();
    let error = task.write(run.path(), 1, 1, 0).unwrap_err().to_string();
    assert!(error.contains("checkpoint-1") && error.contains("never replaced"), "{error}");
    assert_eq!(restored(run.path()), (1, 1.0));
}

#[test]
fn a_run_file_that_cannot_be_replaced_leaves_the_old_one() {
    let run = tempfile::tempdir().unwrap();
    let (run, task) = (run.path(), Number::new());
    task.write(run, 1, 1, 0).unwrap();
    // A folder stands where the new run.json would be written.
    fs::create_dir(run.join(format!("{TEMPORARY}{RUN}"))).unwrap();
    let error = task.write(run, 2, 2, 0).unwrap_err().to_string();
    assert!(error.contains("run.json") && !error.contains('\n'), "{error}");
    assert_eq!(RunFile::load(run).unwrap().last, "checkpoint-1");
    assert_eq!(names(run).iter().filter(|name| name.starts_with(PREFIX)).count(), 2);
}

#[test]
fn numbers_come_back_bit_for_bit() {
    let state = TrainerState {
        epoch_loss: 0.1 + 0.2,
        best: Some(1.0 / 3.0),
        plateau: crate::Patience { best: Some(5e-324), waited: 1, plateaus: 2 },
        ..TrainerState::default()
    };
    let text = serde_json::to_string(&state).unwrap();
    assert_eq!(serde_json::from_str::<TrainerState>(&text).unwrap(), state);
}
