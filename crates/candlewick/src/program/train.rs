//! `candlewick train`: from a recipe of any task to a model.

use super::arguments::TrainArguments;
use super::output::{note, say};
use super::signals::Interruptible;
use super::version::VERSION;
use super::{Failure, device, hub, recipe};
use candlewick::candle::Device;
use candlewick::data::Note;
use candlewick::kernels::precision::set_float32_matmul_precision;
use candlewick::training::{
    Error, FitConfig, Inputs, Outcome, Recipe, Record, Report, StopReason, Task, fit_recorded, picture_bar, spinner,
};
use indicatif::ProgressBar;
use std::path::{Path, PathBuf};
use std::time::Instant;
use toml::Table;

/// Trains a recipe of type R.
///
/// # Errors
/// A wrong call where a flag is of no use; otherwise one line that names the file and the fault.
pub fn train<R: Recipe>(mut table: Table, arguments: &TrainArguments) -> Result<(), Failure> {
    if let Some(precision) = arguments.device.precision {
        let training = table.entry("training").or_insert_with(|| Table::new().into());
        training.as_table_mut().map(|training| training.insert("precision".into(), precision.to_string().into()));
    }
    let TrainArguments { quiet, json, .. } = *arguments;
    let inputs = Inputs {
        data: arguments.data.clone(),
        encoder_weights: arguments.encoder_weights.clone(),
        start: arguments.start.clone(),
        regions: arguments.regions.clone(),
    };
    let told = as_given::<R>(table.clone(), &inputs)?;
    let mut recipe = read::<R>(table)?;
    let (device, device_name) = device::open(&arguments.device)?;
    // For what is prepared, too.
    set_float32_matmul_precision(recipe.training().precision.map(Into::into).unwrap_or_default());
    let out = arguments.out.clone().unwrap_or_else(|| PathBuf::from("runs").join(recipe.name()));
    if !quiet {
        note!("training {} on {device_name} into {}", recipe.name(), out.display());
    }
    let begun = Instant::now();
    apply(
        &mut recipe,
        &Inputs { encoder_weights: hub::encoder_weights(arguments.encoder_weights.as_deref())?, ..inputs },
    )?;
    let mut task = prepared(&recipe, &out, &device, quiet)?;
    let report = trained(&mut task, recipe.training(), &out, &record(told, device_name), quiet)?;
    let outcome =
        recipe.outcome(task, &report, &out, &device, &mut Notes::new("trying the best checkpoint", quiet).taken())?;
    outcome.faults.iter().for_each(|fault| note!("{fault}"));
    let seconds = begun.elapsed().as_secs_f64();
    if json { say!("{}", as_json(&outcome, &report, seconds)?) } else { print(&outcome, &report, &out, seconds) }
}

/// The recipe in a table, with weights that it names on the hub as files.
///
/// # Errors
/// With the key of what is wrong, or when the hub does not give the weights.
pub fn read<R: Recipe>(mut table: Table) -> Result<R, Failure> {
    hub::recipe_weights(&mut table)?;
    recipe::whole(table).map_err(Failure::Work)
}

/// The whole recipe with the files that the command line names, as a run's folder keeps it: paths, and `hub:REPO`, as they were given.
///
/// # Errors
/// With the key of what is wrong, or where the task has no use for a file.
pub fn as_given<R: Recipe>(table: Table, inputs: &Inputs) -> Result<String, Failure> {
    let mut recipe: R = recipe::whole(table).map_err(Failure::Work)?;
    apply(&mut recipe, inputs)?;
    Ok(toml::to_string(&recipe)?)
}

/// What a run's folder keeps of this call: the recipe, and what the program knows of itself.
pub fn record(recipe: String, device: String) -> Record {
    let quoted = |word: String| match word.chars().all(|c| c.is_alphanumeric() || "-_./=,:@%+".contains(c)) {
        true if !word.is_empty() => word,
        _ => format!("'{}'", word.replace('\'', r"'\''")),
    };
    let words = std::env::args_os().skip(1).map(|word| quoted(word.to_string_lossy().into_owned()));
    let command = std::iter::once("candlewick".to_owned()).chain(words).collect::<Vec<_>>().join(" ");
    let version = format!("candlewick {VERSION}");
    Record { recipe: Some(recipe), command: Some(command), version: Some(version), device: Some(device) }
}

/// Puts the files that the command line names into the recipe.
///
/// # Errors
/// A wrong call where the task has no use for one.
pub fn apply<R: Recipe>(recipe: &mut R, inputs: &Inputs) -> Result<(), Failure> {
    recipe.apply_inputs(inputs).map_err(|error| match error {
        Error::Flag { .. } => Failure::usage(error),
        other => other.into(),
    })
}

/// Reads data and weights, with a bar for what takes long.
///
/// # Errors
/// As [`Recipe::prepare`] says.
pub fn prepared<R: Recipe>(recipe: &R, out: &Path, device: &Device, quiet: bool) -> Result<R::Task, Failure> {
    Ok(recipe.prepare(out, device, &mut Notes::new("preparing", quiet).taken())?)
}

/// Shows what is told while data are read and prepared: lines, a bar for what can be counted, and a sign of life for what cannot.
struct Notes {
    quiet: bool,
    what: &'static str,
    bar: ProgressBar,
    counts: bool,
}

impl Notes {
    fn new(what: &'static str, quiet: bool) -> Self {
        Self { quiet, what, bar: spinner(what, quiet), counts: false }
    }

    fn taken(mut self) -> impl FnMut(Note) {
        move |note| self.take(note)
    }

    fn take(&mut self, note: Note) {
        match note {
            Note::Line(_) if self.quiet => {}
            Note::Line(line) | Note::Skipped(line) => self.bar.suspend(|| note!("{line}")),
            Note::Progress { what, done, total } => {
                if !self.counts {
                    self.show(picture_bar(total, what, self.quiet), true);
                }
                self.bar.set_position(done as u64);
                if done == total {
                    self.show(spinner(self.what, self.quiet), false);
                }
            }
        }
    }

    fn show(&mut self, bar: ProgressBar, counts: bool) {
        self.bar.finish_and_clear();
        (self.bar, self.counts) = (bar, counts);
    }
}

impl Drop for Notes {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Trains with a bar, until a signal comes.
///
/// # Errors
/// As [`fit`] says; [`Failure::Interrupted`] after a signal.
pub fn trained(
    task: &mut impl Task,
    config: &FitConfig,
    out: &Path,
    record: &Record,
    quiet: bool,
) -> Result<Report, Failure> {
    let mut observer = Interruptible::new(quiet)?;
    let report = fit_recorded(task, config, out, record, &mut observer)?;
    match (report.reason, observer.exit_code()) {
        (StopReason::Interrupted, Some(code)) => {
            note!("candlewick: stopped at step {}; the same command goes on", report.steps);
            Err(Failure::Interrupted(code))
        }
        _ => Ok(report),
    }
}

/// A progress bar that counts pictures to `total`, hidden where `quiet` or where standard error is no terminal.
pub fn counter(total: u64, what: &'static str, quiet: bool) -> ProgressBar {
    picture_bar(total as usize, what, quiet)
}

fn print(outcome: &Outcome, report: &Report, out: &Path, seconds: f64) -> Result<(), Failure> {
    for line in &outcome.lines {
        say!("{line}")?;
    }
    let width = outcome.scores.iter().map(|(name, _)| name.len()).max().unwrap_or(0).max(17);
    for (name, value) in outcome.scores.iter() {
        say!("{name:<width$} {value:.4}")?;
    }
    say!("{:<width$} {seconds:.0} s", "time")?;
    say!("{:<width$} {}", "model", report.best.display())?;
    say!("{:<width$} {}", "curves", out.join("curves.svg").display())?;
    for (name, path) in &outcome.files {
        say!("{name:<width$} {}", path.display())?;
    }
    Ok(())
}

fn as_json(outcome: &Outcome, report: &Report, seconds: f64) -> Result<serde_json::Value, Failure> {
    let mut object = serde_json::to_value(&outcome.scores)?;
    object["seconds"] = seconds.into();
    object["model"] = report.best.display().to_string().into();
    if let Some(split) = outcome.split {
        object["split"] = split.into();
    }
    Ok(object)
}
