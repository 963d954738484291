//! The curves of a run, read from its log and drawn beside it.

use crate::{Error, Result, durable};
use candlewick_pages::{DrawingFormat, TrainingCurves};
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// The name of the picture in a run folder.
pub const CURVES_FILE: &str = "curves.svg";

/// Draws the picture of a `log.jsonl`; a run without any step yet has none.
///
/// # Errors
/// When the log cannot be read or the picture cannot be written.
pub fn draw(log: &Path, picture: &Path) -> Result<()> {
    let curves = read(log)?;
    if curves.loss.is_empty() {
        return Ok(());
    }
    let svg =
        curves.file(DrawingFormat::Svg).map_err(|error| Error::corrupt(picture, format!("the curves {error}")))?;
    durable::replace(picture, &svg)
}

fn read(log: &Path) -> Result<TrainingCurves> {
    let mut curves = TrainingCurves::default();
    let file = File::open(log).map_err(Error::file(log, "cannot be read"))?;
    for line in BufReader::new(file).split(b'\n') {
        let line = line.map_err(Error::file(log, "cannot be read"))?;
        let Ok(value) = serde_json::from_slice::<Value>(&line) else { continue };
        let number = |name: &str| value.get(name).and_then(Value::as_f64).filter(|x| x.is_finite());
        let Some(step) = number("step") else { continue };
        curves.loss.extend(number("loss").map(|y| (step, y)));
        curves.learning_rate.extend(number("learning_rate").map(|y| (step, y)));
        for (name, score) in value.get("scores").and_then(Value::as_object).into_iter().flatten() {
            let points = curves.scores.entry(name.clone()).or_default();
            points.extend(score.as_f64().map(|y| (step, y)));
        }
    }
    Ok(curves)
}
