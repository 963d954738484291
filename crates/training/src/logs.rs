//! The log of a run: `log.jsonl`, and the same numbers as TensorBoard events.

use crate::curves;
use crate::durable::Appended;
use crate::tensorboard::EventFile;
use crate::{Result, Scores, TrainerState};
use serde_json::{Map, Value, json};
use std::path::Path;

/// The name of the log in a run folder: a JSON object a line.
pub const LOG_FILE: &str = "log.jsonl";

/// The numbers of one step.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StepRecord {
    pub step: usize,
    pub epoch: usize,
    pub loss: f64,
    pub parts: Vec<(&'static str, f64)>,
    pub learning_rate: f64,
    pub gradient_norm: f64,
    pub items_per_second: f64,
    pub seconds: f64,
}

/// Both logs.
pub(crate) struct Logs {
    lines: Appended,
    events: EventFile,
}

impl Logs {
    /// Opens the logs of a run as they were at a checkpoint: what came after it is cut off.
    pub fn open(run: &Path, state: &TrainerState) -> Result<Self> {
        let lines = Appended::open(run.join(LOG_FILE), state.log_bytes)?;
        Ok(Self { lines, events: EventFile::open(run, state.events_bytes)? })
    }

    /// Logs a step.
    pub fn step(&mut self, record: &StepRecord) -> Result<()> {
        let mut line = Map::new();
        let numbers = [
            ("loss", record.loss),
            ("learning_rate", record.learning_rate),
            ("gradient_norm", record.gradient_norm),
            ("items_per_second", record.items_per_second.round()),
            ("seconds", milliseconds(record.seconds)),
        ];
        line.insert("step".into(), record.step.into());
        line.insert("epoch".into(), record.epoch.into());
        line.extend(numbers.map(|(name, value)| (name.to_owned(), json!(value))));
        if !record.parts.is_empty() {
            let parts: Map<String, Value> = record.parts.iter().map(|(n, v)| ((*n).to_owned(), json!(v))).collect();
            line.insert("parts".into(), Value::Object(parts));
        }
        self.line(line)?;
        let mut scalars: Vec<(String, f64)> =
            numbers.iter().take(4).map(|(name, value)| (format!("train/{name}"), *value)).collect();
        scalars.extend(record.parts.iter().map(|(name, value)| (format!("train/{name}"), *value)));
        self.events.scalars(record.step, &scalars)
    }

    /// Logs a validation.
    pub fn validation(&mut self, step: usize, epoch: usize, scores: &Scores, best: bool, seconds: f64) -> Result<()> {
        let line = json!({
            "step": step, "epoch": epoch, "scores": scores, "best": best, "seconds": milliseconds(seconds),
        });
        if let Value::Object(line) = line {
            self.line(line)?;
        }
        let scalars: Vec<(String, f64)> =
            scores.iter().map(|(name, value)| (format!("validation/{name}"), value)).collect();
        self.events.scalars(step, &scalars)
    }

    /// Logs that the run went back because a number was not finite.
    pub fn recovery(&mut self, step: usize, what: &str, value: f64, back_to: usize, factor: f64) -> Result<()> {
        let recovered = json!({ "what": what, "value": value.to_string(), "back_to": back_to, "factor": factor });
        self.line(Map::from_iter([("recovered_at".to_owned(), json!(step)), ("recovery".to_owned(), recovered)]))
    }

    /// Logs that a step changed nothing, since a gradient of the scaled loss was beyond f16's range.
    pub fn overflow(&mut self, step: usize, loss_scale: f64) -> Result<()> {
        self.line(Map::from_iter([
            ("overflowed_at".to_owned(), json!(step)),
            ("loss_scale".to_owned(), json!(loss_scale)),
        ]))
    }

    fn line(&mut self, line: Map<String, Value>) -> Result<()> {
        self.lines.append(format!("{}\n", Value::Object(line)).as_bytes())
    }

    /// Syncs both logs and notes their lengths.
    pub fn sync(&self, state: &mut TrainerState) -> Result<()> {
        state.log_bytes = self.lines.sync()?;
        state.events_bytes = self.events.sync()?;
        Ok(())
    }

    /// Draws the curves of the run beside the log.
    pub fn draw(&self, run: &Path) -> Result<()> {
        curves::draw(self.lines.path(), &run.join(curves::CURVES_FILE))
    }
}

fn milliseconds(seconds: f64) -> f64 {
    (seconds * 1e3).round() / 1e3
}
