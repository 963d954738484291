//! The checkpoints of a run: written whole or not at all, never replaced, the last and the best kept.
//!
//! A run folder holds `checkpoint-STEP` folders (the model folder, `optimizer.safetensors`, `trainer.json`, and the checksums
//! of all of these) and `run.json`, which names the last and the best. A checkpoint is written under a temporary name, synced and renamed; then `run.json` is
//! replaced in the same way; older checkpoints go once a step from the new one has shown that its weights are good. So a
//! crash at any moment leaves the last good one.

use crate::checksums::{self, CHECKSUMS};
use crate::durable::{self, TEMPORARY};
use crate::loss_scale::LossScale;
use crate::optim::Optimizer;
use crate::record::Session;
use crate::{Error, Metric, Patience, Result, Scores, StopReason, Task};
use candle_core::Device;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

const PREFIX: &str = "checkpoint-";
const TRAINER: &str = "trainer.json";
const OPTIMIZER: &str = "optimizer.safetensors";
const TASK: &str = "task.safetensors";
pub(crate) const RUN: &str = "run.json";

/// What the name of a checkpoint that is being removed begins with, after [`TEMPORARY`].
pub(crate) const OLD: &str = "old-";

/// Where a run stands: the content of `trainer.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TrainerState {
    /// Steps taken.
    pub step: usize,
    /// The epoch that the next step belongs to, counted from 0.
    pub epoch: usize,
    /// Batches of that epoch that were taken.
    pub batch: usize,
    /// The sum of the losses of that epoch's items so far.
    pub epoch_loss: f64,
    /// How many items that were.
    pub epoch_items: usize,
    /// Seconds so far.
    pub seconds: f64,
    /// What the plateau schedule remembers.
    pub plateau: Patience,
    /// What early stopping remembers.
    pub stopping: Patience,
    /// Of which score, where not of the run's metric.
    #[serde(default)]
    pub stopping_metric: Option<Metric>,
    /// The best score by the run's metric (its sign turned where lower is better).
    pub best: Option<f64>,
    /// The folder of the best checkpoint.
    pub best_folder: Option<String>,
    /// The mean loss of the epoch of the best checkpoint: of tied scores the one with the lower loss is the best.
    pub best_loss: Option<f64>,
    /// The scores of the best checkpoint.
    pub best_scores: Option<Scores>,
    /// The scores of the last validation.
    pub last_scores: Option<Scores>,
    /// How often the run went back to an earlier state because its numbers were no longer finite; each time halves the rate.
    pub recoveries: u32,
    /// What the loss is scaled by where products are of f16.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) loss_scale: Option<LossScale>,
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
    /// The times that the run was trained: of `run.json`, not of `trainer.json`.
    #[serde(skip)]
    pub sessions: Vec<Session>,
}

/// The content of `run.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
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
    /// The times that it was trained.
    #[serde(default)]
    pub sessions: Vec<Session>,
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
    open_best(run, |folder| Ok(folder.to_path_buf()))
}

/// Opens a run's best checkpoint, which is a model folder. Where a training that goes on beside replaces it meanwhile, it is
/// the next one that is opened.
///
/// # Errors
/// When the folder holds no run, the checkpoint is no longer there, or as `open` says.
pub fn open_best<T, E: From<Error>>(
    run: &Path,
    open: impl Fn(&Path) -> std::result::Result<T, E>,
) -> std::result::Result<T, E> {
    let mut best = RunFile::load(run)?.best;
    loop {
        let folder = run.join(&best);
        let opened = match folder.is_dir() {
            true => open(&folder),
            false => Err(Error::corrupt(&folder, "the best checkpoint is missing; train again").into()),
        };
        // Older checkpoints go once run.json names the newer ones.
        let next = RunFile::load(run)?.best;
        if opened.is_ok() || next == best || folder.is_dir() {
            return opened;
        }
        best = next;
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
        Self::load_before(run, usize::MAX)
    }

    /// Reads the last checkpoint of a run that is of fewer than `limit` steps.
    pub(crate) fn load_before(run: &Path, limit: usize) -> Result<Option<Self>> {
        let last = list(run)?.into_iter().rfind(|(step, _)| *step < limit);
        let Some((step, folder)) = last else { return Ok(None) };
        let path = folder.join(TRAINER);
        checksums::check(&folder, &[TRAINER], &remedy(&folder))?;
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
        let tensors = names(&self.folder)?.into_iter().filter(|name| name.ends_with(".safetensors"));
        let tensors: Vec<String> = tensors.collect();
        let tensors: Vec<&str> = tensors.iter().map(String::as_str).collect();
        checksums::check(&self.folder, &[&tensors[..], &[OPTIMIZER]].concat(), &remedy(&self.folder))?;
        task.load(&self.folder).map_err(advice)?;
        optimizer.load(&self.folder.join(OPTIMIZER)).map_err(advice)?;
        optimizer.swap_average()?;
        let carried = self.folder.join(TASK);
        let tensors = match carried.is_file() {
            true => candle_core::safetensors::load(&carried, &Device::Cpu).map_err(|error| advice(error.into()))?,
            false => HashMap::new(),
        };
        task.restore_tensors(tensors.into_iter().collect()).map_err(advice)?;
        task.restore(self.state.task.clone()).map_err(advice)
    }

    /// Writes a checkpoint, then `run.json`; gives the checkpoint's folder.
    ///
    /// # Errors
    /// When something cannot be written; the message names it, and every older checkpoint and `run.json` are as before.
    pub fn write<T: Task>(run: &Path, state: &TrainerState, task: &T, optimizer: &Optimizer) -> Result<PathBuf> {
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
        publish(run, state)?;
        phase(Phase::Published);
        Ok(folder)
    }
}

/// The name of the folder of the checkpoint after so many steps.
pub(crate) fn folder_name(step: usize) -> String {
    format!("{PREFIX}{step}")
}

/// The step of a checkpoint by its folder's name.
pub(crate) fn step_of(name: &str) -> Option<usize> {
    name.strip_prefix(PREFIX)?.parse().ok()
}

/// Whether a run has left a checkpoint in the folder.
pub(crate) fn is_in(run: &Path) -> bool {
    list(run).is_ok_and(|all| all.iter().any(|(_, folder)| folder.join(TRAINER).is_file()))
}

/// Writes `run.json` of this state, the last checkpoint's.
pub(crate) fn publish(run: &Path, state: &TrainerState) -> Result<()> {
    let last = folder_name(state.step);
    let best = state.best_folder.clone().filter(|best| run.join(best).is_dir()).unwrap_or_else(|| last.clone());
    let (best_scores, finished, sessions) = (state.best_scores.clone(), state.finished, state.sessions.clone());
    let file = RunFile { last, best, step: state.step, best_scores, finished, sessions };
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
    let tensors = task.tensors()?;
    if !tensors.is_empty() {
        candle_core::safetensors::save(&tensors.into_iter().collect(), folder.join(TASK))?;
    }
    let path = folder.join(TRAINER);
    durable::write(&path, &durable::json(&path, state)?).map_err(Error::file(&path, "cannot be written"))?;
    let (path, sums) = (folder.join(CHECKSUMS), checksums::of_folder(folder)?);
    durable::write(&path, sums.as_bytes()).map_err(Error::file(&path, "cannot be written"))?;
    durable::sync_tree(folder)
}

/// Removes checkpoints but the last, the best and the `keep` before the last.
pub(crate) fn prune(run: &Path, best: Option<&str>, keep: usize) -> Result<()> {
    let mut others = list(run)?;
    others.pop();
    let best = best.map(|best| run.join(best));
    let others: Vec<PathBuf> =
        others.into_iter().map(|(_, f)| f).filter(|folder| Some(folder) != best.as_ref()).collect();
    others.iter().take(others.len().saturating_sub(keep)).try_for_each(|folder| remove(run, folder))
}

/// Removes a checkpoint.
fn remove(run: &Path, folder: &Path) -> Result<()> {
    // Renamed first, so that a crash in between leaves no half of a checkpoint under its name.
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let doomed = run.join(format!("{TEMPORARY}{OLD}{name}"));
    fs::rename(folder, &doomed).map_err(Error::file(folder, "cannot be removed"))?;
    phase(Phase::Pruning);
    fs::remove_dir_all(&doomed).map_err(Error::file(&doomed, "cannot be removed"))
}

/// Removes the checkpoints of `limit` steps and more, whose weights turned out to be of no use; `run.json` then tells of `state`, that
/// of the last one that stays, if any does.
pub(crate) fn discard(run: &Path, limit: usize, state: Option<&TrainerState>) -> Result<()> {
    let path = run.join(RUN);
    match state {
        Some(state) => publish(run, state)?,
        None if path.exists() => fs::remove_file(&path).map_err(Error::file(&path, "cannot be removed"))?,
        None => {}
    }
    list(run)?.iter().filter(|(step, _)| *step >= limit).try_for_each(|(_, folder)| remove(run, folder))
}

/// The checkpoints of a run by step, the last at the end.
fn list(run: &Path) -> Result<Vec<(usize, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(run).map_err(Error::file(run, "cannot be read"))? {
        let entry = entry.map_err(Error::file(run, "cannot be read"))?;
        let step = entry.file_name().to_str().and_then(step_of);
        found.extend(step.map(|step| (step, entry.path())));
    }
    found.sort();
    Ok(found)
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(folder).map_err(Error::file(folder, "cannot be read"))?;
    let name =
        |entry: std::io::Result<fs::DirEntry>| entry.map(|entry| entry.file_name().to_string_lossy().into_owned());
    entries.map(name).collect::<std::io::Result<_>>().map_err(Error::file(folder, "cannot be read"))
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
