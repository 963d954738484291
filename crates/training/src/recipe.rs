//! What every recipe can do: from a file to a task, and from the trained task to what is told of it.

use crate::{Error, FitConfig, Report, Result, Scores, Task};
use candle_core::Device;
use candlewick_data::Note;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};

/// Files that the command line names beside the recipe.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// The data, `--data`.
    pub data: Option<PathBuf>,
    /// Pretrained weights of an encoder, `--encoder-weights`.
    pub encoder_weights: Option<PathBuf>,
    /// A model whose weights training starts from, `--start`.
    pub start: Option<PathBuf>,
    /// Region features, `--regions`.
    pub regions: Option<PathBuf>,
}

impl Inputs {
    /// Refuses the named flags where they are given, with what to do instead.
    ///
    /// # Errors
    /// [`Error::Flag`] for the first that is given.
    pub fn refuse(&self, flags: &[(&'static str, &str)]) -> Result<()> {
        let given = |flag: &str| match flag {
            "--data" => self.data.is_some(),
            "--encoder-weights" => self.encoder_weights.is_some(),
            "--start" => self.start.is_some(),
            "--regions" => self.regions.is_some(),
            _ => false,
        };
        match flags.iter().find(|(flag, _)| given(flag)) {
            Some(&(flag, fault)) => Err(Error::Flag { flag, fault: fault.to_owned() }),
            None => Ok(()),
        }
    }
}

/// Refuses shares and probabilities below 0 or above the most that each may be; each has its key in the recipe.
///
/// # Errors
/// One line that names the key, what it is and what is wanted.
pub fn check_shares(settings: &[(&str, f64, f64)]) -> Result<()> {
    match settings.iter().find(|(_, value, most)| !(0.0..=*most).contains(value)) {
        Some((key, value, most)) => Err(Error::Setting(format!("{key} is {value}; wanted 0 to {most}"))),
        None => Ok(()),
    }
}

/// Refuses sizes and counts of 0; each has its key in the recipe.
///
/// # Errors
/// One line that names the key.
pub fn check_sizes(settings: &[(&str, usize)]) -> Result<()> {
    match settings.iter().find(|(_, value)| *value == 0) {
        Some((key, _)) => Err(Error::Setting(format!("{key} is 0; one is the least"))),
        None => Ok(()),
    }
}

/// How a model of one task is trained: the content of a `train.toml`.
///
/// A task adds a type that is read from TOML, and a row in the program's table; training, its flags, its log and its report are the
/// same for all.
pub trait Recipe: DeserializeOwned + Serialize + JsonSchema {
    /// The word in the recipe's `task`, such as `captioning`.
    const TASK: &'static str;

    /// What is trained.
    type Task: Task;

    /// The run's name, and its folder under `runs/`.
    fn name(&self) -> &str;

    /// What is the same for every task.
    fn training(&self) -> &FitConfig;

    /// Takes the files that the command line names, and refuses those that the task has no use for.
    ///
    /// # Errors
    /// [`Error::Flag`] for a flag that is of no use.
    fn apply_inputs(&mut self, inputs: &Inputs) -> Result<()>;

    /// Finds out what can be known before any data is read.
    ///
    /// # Errors
    /// One line that names the setting and what to do.
    fn check(&self) -> Result<()>;

    /// Reads data and weights and builds the task; `out` is the run's folder.
    ///
    /// # Errors
    /// One line that names the file or the setting and the fault.
    fn prepare(&self, out: &Path, device: &Device, note: &mut dyn FnMut(Note)) -> Result<Self::Task>;

    /// What is told of the trained model, whose run's folder is `out`: by default the scores of the best checkpoint.
    ///
    /// # Errors
    /// When the model or the data cannot be read.
    fn outcome(
        &self,
        task: Self::Task,
        report: &Report,
        out: &Path,
        device: &Device,
        note: &mut dyn FnMut(Note),
    ) -> Result<Outcome> {
        let _ = (task, out, device, note);
        Ok(Outcome { scores: report.best_scores.clone().unwrap_or_default(), ..Outcome::default() })
    }
}

/// What is told once a model is trained.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// What could not be shown, a line each; told even to machines, beside the result.
    pub faults: Vec<String>,
    /// Lines for people, before the scores.
    pub lines: Vec<String>,
    /// The scores of the best checkpoint.
    pub scores: Scores,
    /// The part of the data that they are of, where it is worth telling.
    pub split: Option<&'static str>,
    /// What else was written: a word for it, and where it is.
    pub files: Vec<(&'static str, PathBuf)>,
}
