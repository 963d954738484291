//! A run that is under way: its task's optimiser, its state, its logs, its folder.

use crate::checkpoint::{self, Checkpoint, RunFile, TrainerState};
use crate::gradients::Batches;
use crate::logs::Logs;
use crate::optim::Optimizer;
use crate::record::{RECIPE_FILE, Record, Sessions};
use crate::{Error, FitConfig, Result, Scores, Task, durable, resume_identity, run_folder};
use candle_core::{Tensor, Var};
use candlewick_kernels::optimizer::Outcome;
use serde_json::Value;
use std::path::Path;
use std::time::{Duration, Instant};

/// Finds out, before anything is trained or written, whether [`crate::fit`] can begin in the run folder `out` or go on there.
///
/// # Errors
/// When the configuration cannot be used, nothing in the task can learn, or the folder holds another run.
pub fn check<T: Task>(task: &T, config: &FitConfig, out: &Path) -> Result<()> {
    let identity = identity(task, config)?;
    if out.is_dir() {
        run_folder::check(out)?;
        found(config, out, &identity)?;
    }
    Ok(())
}

/// What a run is told by, of a task and a configuration that can be trained.
fn identity<T: Task>(task: &T, config: &FitConfig) -> Result<Value> {
    config.check()?;
    config.check_metrics(&task.score_names())?;
    match task.parameters().trainable().len() {
        0 => Err(Error::Setting("there is no parameter to train: all are frozen or none was built".into())),
        trained => config.identity(task.config(), trained),
    }
}

/// The checkpoint with which the run in a folder goes on.
fn found(config: &FitConfig, out: &Path, identity: &Value) -> Result<Option<Checkpoint>> {
    let found = Checkpoint::load(out)?;
    if let Some(found) = &found {
        resume_identity::check_same(out, config, &found.state.config, identity)?;
    }
    Ok(found)
}

/// A run that is under way.
pub(crate) struct Run<'a> {
    pub(crate) config: &'a FitConfig,
    pub(crate) out: &'a Path,
    pub(crate) optimizer: Optimizer,
    pub(crate) state: TrainerState,
    pub(crate) logs: Logs,
    pub(crate) sessions: Sessions,
    /// The state that the run began with, until a checkpoint is known to be good.
    pub(crate) beginning: Option<Beginning>,
    /// Whether the last checkpoint has yet to show, by a step from it, that it may take the place of those before it.
    pub(crate) unproven: bool,
    pub(crate) batches_per_epoch: usize,
    pub(crate) started: Instant,
    /// Seconds of the earlier parts of the run.
    pub(crate) before: f64,
    /// When the last step, validation or checkpoint ended.
    pub(crate) last_step: Instant,
    pub(crate) reported_unreached: bool,
    /// The last step, where what it saw has not been told of.
    pub(crate) unseen: Option<Unseen>,
    /// The scores of a validation within an epoch, which no schedule sees.
    pub(crate) interim_scores: Option<Scores>,
    /// Keeps other processes out of the folder.
    _lock: run_folder::Lock,
}

impl<'a> Run<'a> {
    pub(crate) fn open<T: Task>(task: &mut T, config: &'a FitConfig, out: &'a Path, record: &Record) -> Result<Self> {
        let identity = identity(task, config)?;
        let lock = run_folder::take(out)?;
        let found = found(config, out, &identity)?;
        run_folder::remove_leftovers(out)?;
        let earlier = RunFile::load(out).map(|file| file.sessions).unwrap_or_default();
        if let Some(recipe) = &record.recipe {
            durable::replace(&out.join(RECIPE_FILE), recipe.as_bytes())?;
        }
        let mut optimizer = optimizer(task, config)?;
        let mut state = TrainerState { config: identity.clone(), ..TrainerState::default() };
        let (unproven, mut beginning) = (found.is_some(), None);
        if let Some(found) = found {
            found.restore(task, &mut optimizer)?;
            state = TrainerState { config: identity, sessions: earlier.clone(), ..found.state };
            // A crash may have come between the checkpoint and what follows it.
            checkpoint::publish(out, &state)?;
        } else {
            beginning = Some(Beginning::of(task)?);
        }
        let logs = Logs::open(out, &state)?;
        let sessions = Sessions::begin(earlier, record, task.data(), state.step);
        let (now, before) = (Instant::now(), state.seconds);
        Ok(Self {
            config,
            out,
            optimizer,
            reported_unreached: state.step > 0,
            unseen: None,
            state,
            logs,
            sessions,
            beginning,
            unproven,
            batches_per_epoch: task.batches_per_epoch(),
            started: now,
            before,
            last_step: now,
            interim_scores: None,
            _lock: lock,
        })
    }
}

/// A step that was taken or queued.
pub(crate) struct Unseen {
    pub(crate) outcome: Outcome,
    pub(crate) batches: Batches,
    pub(crate) step: usize,
    pub(crate) epoch: usize,
    pub(crate) learning_rate: f64,
    pub(crate) loss_scale: f64,
    /// From the step before it, or from what came between, until it was queued.
    pub(crate) took: Duration,
}

/// The optimiser of a run that begins.
pub(crate) fn optimizer<T: Task>(task: &T, config: &FitConfig) -> Result<Optimizer> {
    let parameters = task.parameters().trainable();
    let optimizer = Optimizer::new(&config.optimizer, parameters, |name| task.learning_rate_factor(name))?;
    let optimizer = optimizer.with_buffers(task.parameters().buffers());
    match config.average {
        Some(decay) if config.average_from_start => optimizer.averaged_from_start(decay),
        Some(decay) => optimizer.averaged(decay),
        None => Ok(optimizer),
    }
}

/// What a run began with: the values that training changes, and the task's state.
pub(crate) struct Beginning {
    values: Vec<(Var, Tensor)>,
    state: Value,
    tensors: Vec<(String, Tensor)>,
}

impl Beginning {
    pub fn of<T: Task>(task: &T) -> Result<Self> {
        let parameters = task.parameters();
        let vars = parameters.trainable().into_iter().chain(parameters.buffers());
        let values = vars.map(|(_, var)| Ok((var.clone(), var.copy()?))).collect::<candle_core::Result<_>>()?;
        Ok(Self { values, state: task.state(), tensors: task.tensors()? })
    }

    pub fn restore<T: Task>(&self, task: &mut T) -> Result<()> {
        self.values.iter().try_for_each(|(var, value)| var.set(value))?;
        task.restore_tensors(self.tensors.clone())?;
        task.restore(self.state.clone())
    }
}
