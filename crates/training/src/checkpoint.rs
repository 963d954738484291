//! The checkpoints of a run: written whole or not at all, never replaced, the last and the best kept.
//!
//! A run folder holds `checkpoint-STEP` folders (the model folder, `optimizer.safetensors`, `trainer.json`) and `run.json`,
//! which names the last and the best. A checkpoint is written under a temporary name, synced and renamed; then `run.json` is
//! replaced in the same way; then older checkpoints go. So a crash at any moment leaves the last good one.

use crate::durable::{self, TEMPORARY};
use crate::optim::Optimizer;
use crate::{Error, Metric, Patience, Result, Scores, StopReason, Task};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

const PREFIX: &str = "checkpoint-";
const TRAINER: &str = "trainer.json";
const OPTIMIZER: &str = "optimizer.safetensors";
const RUN: &str = "run.json";

/// Where a run stands: the content of `trainer.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TrainerState {
    /// Steps taken.
    pub step: usize,
    /// The epoch that the next step belongs to, counted from 0.
    pub epoch: usize,
    /// Batches of that epoch that were taken.
    pub batch: usize,
    /// The sum of the losses of that epoch's items so far.
    #[serde(with = "crate::exact")]
    pub epoch_loss: f64,
    /// How many items that were.
    pub epoch_items: usize,
    /// Seconds so far.
    #[serde(with = "crate::exact")]
    pub seconds: f64,
    /// What the plateau schedule remembers.
    pub plateau: Patience,
    /// What early stopping remembers.
    pub stopping: Patience,
    /// Of which score, where not of the run's metric.
    #[serde(default)]
    pub stopping_metric: Option<Metric>,
    /// The best score by the run's metric (its sign turned where lower is better).
    #[serde(with = "crate::exact::option")]
    pub best: Option<f64>,
    /// The folder of the best checkpoint.
    pub best_folder: Option<String>,
    /// The scores of the best checkpoint.
    pub best_scores: Option<Scores>,
    /// The scores of the last validation.
    pub last_scores: Option<Scores>,
    /// Why the run ended, if it did.
    pub finished: Option<StopReason>,
    /// How long `log.jsonl` was.
    pub log_bytes: u64,
    /// How long the TensorBoard file was.
    pub events_bytes: u64,
    /// The task's own state.
    pub task: Value,
    /// The configuration of the run.
    pub config: Value,
}

/// The content of `run.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunFile {
    /// The folder of the last checkpoint.
    pub last: String,
    /// The folder of the best checkpoint.
    pub best: String,
    /// Steps of the last one.
    pub step: usize,
    /// The best scores.
    pub best_scores: Option<Scores>,
    /// Why the run ended, if it did.
    pub finished: Option<StopReason>,
}

impl RunFile {
    /// Reads the `run.json` of a run folder.
    ///
    /// # Errors
    /// When there is none, or it is cut short.
    pub fn load(run: &Path) -> Result<Self> {
        read_json(&run.join(RUN), "remove it; the next training in this folder writes it again")
    }
}

/// The folder of a run's best checkpoint, which is a model folder.
///
/// # Errors
/// When the folder holds no run, or the checkpoint is no longer there.
pub fn best_checkpoint(run: &Path) -> Result<PathBuf> {
    let folder = run.join(RunFile::load(run)?.best);
    if folder.is_dir() {
        Ok(folder)
    } else {
        Err(Error::corrupt(&folder, "the best checkpoint is missing; train again"))
    }
}

/// A checkpoint on disk.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// The folder.
    pub folder: PathBuf,
    /// Where the run stood.
    pub state: TrainerState,
}

impl Checkpoint {
    /// Reads the last checkpoint of a run; `None` where there is none.
    ///
    /// # Errors
    /// When the folder cannot be read or the checkpoint is cut short; the message says what to do.
    pub fn load(run: &Path) -> Result<Option<Self>> {
        let Some((step, folder)) = list(run)?.pop() else { return Ok(None) };
        let path = folder.join(TRAINER);
        let state: TrainerState = read_json(&path, &remedy(&folder))?;
        if state.step != step {
            let fault = format!("tells of step {} in the checkpoint of step {step}; {}", state.step, remedy(&folder));
            return Err(Error::corrupt(&path, fault));
        }
        Ok(Some(Self { folder, state }))
    }

    /// Gives the task its weights and its state, and the optimiser its own.
    ///
    /// # Errors
    /// When a file is missing, cut short or another network's; the message names it and says what to do.
    pub fn restore<T: Task>(&self, task: &mut T, optimizer: &mut Optimizer) -> Result<()> {
        let advice = |error: Error| Error::Task(format!("{error}; {}", remedy(&self.folder)));
        task.load(&self.folder).map_err(advice)?;
        optimizer.load(&self.folder.join(OPTIMIZER)).map_err(advice)?;
        optimizer.exchange()?;
        task.restore(self.state.task.clone()).map_err(advice)
    }

    /// Writes a checkpoint, then `run.json`, then removes what is no longer kept; gives the checkpoint's folder.
    ///
    /// # Errors
    /// When something cannot be written; the message names it, and every older checkpoint and `run.json` are as before.
    pub fn write<T: Task>(
        run: &Path,
        state: &TrainerState,
        task: &T,
        optimizer: &Optimizer,
        keep: usize,
    ) -> Result<PathBuf> {
        let name = folder_name(state.step);
        let folder = run.join(&name);
        if folder.exists() {
            return Err(Error::corrupt(&folder, "is there already, and a checkpoint is never replaced; move it away"));
        }
        let temporary = run.join(format!("{TEMPORARY}{name}"));
        if let Err(error) = fill(&temporary, state, task, optimizer) {
            // On a full disk the half-written folder only takes room; what could not be removed goes at the next start.
            let _ = fs::remove_dir_all(&temporary);
            return Err(error.during(format!("{name} was not written, the checkpoints before it are whole")));
        }
        phase(Phase::Filled);
        fs::rename(&temporary, &folder).map_err(Error::file(&folder, "cannot be renamed into place"))?;
        durable::sync_folder(run)?;
        phase(Phase::Renamed);
        tidy(run, state, keep)?;
        Ok(folder)
    }
}

/// The name of the folder of the checkpoint after so many steps.
pub(crate) fn folder_name(step: usize) -> String {
    format!("{PREFIX}{step}")
}

/// What follows a checkpoint, again and again without harm: `run.json` tells of this state, the last checkpoint's, and
/// what is no longer kept goes.
pub(crate) fn tidy(run: &Path, state: &TrainerState, keep: usize) -> Result<()> {
    publish(run, state)?;
    phase(Phase::Published);
    prune(run, state, keep)
}

fn publish(run: &Path, state: &TrainerState) -> Result<()> {
    let last = folder_name(state.step);
    let best = state.best_folder.clone().filter(|best| run.join(best).is_dir()).unwrap_or_else(|| last.clone());
    let (best_scores, finished) = (state.best_scores.clone(), state.finished);
    let file = RunFile { last, best, step: state.step, best_scores, finished };
    let path = run.join(RUN);
    durable::replace(&path, &durable::json(&path, &file)?)
}

fn fill<T: Task>(folder: &Path, state: &TrainerState, task: &T, optimizer: &Optimizer) -> Result<()> {
    fs::create_dir(folder).map_err(Error::file(folder, "cannot be created"))?;
    phase(Phase::Created);
    task.save(folder)?;
    phase(Phase::Model);
    optimizer.save(&folder.join(OPTIMIZER))?;
    phase(Phase::Optimizer);
    let path = folder.join(TRAINER);
    durable::write(&path, &durable::json(&path, state)?).map_err(Error::file(&path, "cannot be written"))?;
    durable::sync_tree(folder)
}

/// Removes checkpoints but the last, the best and the `keep` before the last.
fn prune(run: &Path, state: &TrainerState, keep: usize) -> Result<()> {
    let older: Vec<PathBuf> = list(run)?.into_iter().filter(|(step, _)| *step != state.step).map(|(_, f)| f).collect();
    let best = state.best_folder.as_deref().map(|best| run.join(best));
    let others: Vec<PathBuf> = older.into_iter().filter(|folder| Some(folder) != best.as_ref()).collect();
    for folder in others.iter().take(others.len().saturating_sub(keep)) {
        // Renamed first, so that a crash in between leaves no half of a checkpoint under its name.
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let doomed = run.join(format!("{TEMPORARY}old-{name}"));
        fs::rename(folder, &doomed).map_err(Error::file(folder, "cannot be removed"))?;
        phase(Phase::Pruning);
        fs::remove_dir_all(&doomed).map_err(Error::file(&doomed, "cannot be removed"))?;
    }
    Ok(())
}

/// The checkpoints of a run by step, the last at the end.
fn list(run: &Path) -> Result<Vec<(usize, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(run).map_err(Error::file(run, "cannot be read"))? {
        let entry = entry.map_err(Error::file(run, "cannot be read"))?;
        let step = entry.file_name().to_str().and_then(|name| name.strip_prefix(PREFIX)?.parse().ok());
        found.extend(step.map(|step| (step, entry.path())));
    }
    found.sort();
    Ok(found)
}

fn remedy(folder: &Path) -> String {
    format!("remove {} to go on from the checkpoint before it, or from the start where there is none", folder.display())
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path, remedy: &str) -> Result<T> {
    let text = fs::read(path).map_err(Error::file(path, "cannot be read"))?;
    serde_json::from_slice(&text)
        .map_err(|error| Error::corrupt(path, format!("cut short or changed ({error}); {remedy}")))
}

/// The moments between which a checkpoint's writing can be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Created,
    Model,
    Optimizer,
    Filled,
    Renamed,
    Published,
    Pruning,
}

#[cfg(not(test))]
fn phase(_: Phase) {}

#[cfg(test)]
use crate::checkpoint::tests::phase;

#[cfg(test)]
#[path = "checkpoint_tests.rs"]
pub(crate) mod tests;
