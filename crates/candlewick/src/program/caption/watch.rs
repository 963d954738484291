//! `candlewick caption --watch`: captions what arrives in a folder.

use super::super::output::shown;
use super::super::signals::Signals;
use super::super::{Failure, output::note};
use super::inputs::{Folder, Input};
use super::pipeline::{Bar, Pipeline};
use super::results::Results;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How long a file must have been the same before it is taken to be whole.
const PAUSE: Duration = Duration::from_millis(500);

/// Size and time of a file.
type State = (u64, Option<SystemTime>);

/// Captions each picture that comes into a folder, once it does not grow any more, until a signal ends it.
///
/// Those that lie there already are captioned too where results are written beside them; otherwise only what comes later.
///
/// # Errors
/// When the folder cannot be read, or standard output takes no more; [`Failure::Interrupted`] at the end.
pub fn run(folder: &Path, recursive: bool, pipeline: &Pipeline, results: &mut Results) -> Result<(), Failure> {
    let mut done: HashMap<PathBuf, State> = HashMap::new();
    if !results.are_written() {
        done = states(folder, recursive)?;
    }
    let mut before = HashMap::new();
    let mut captioned = 0;
    note!("watching {}; Ctrl-C ends it", shown(folder));
    loop {
        let now = states(folder, recursive)?;
        let ready = |path: &PathBuf, state: &State| before.get(path) == Some(state) && done.get(path) != Some(state);
        let mut arrived: Vec<PathBuf> =
            now.iter().filter(|(path, state)| ready(path, state)).map(|(path, _)| path.clone()).collect();
        arrived.sort();
        done.extend(arrived.iter().filter_map(|path| Some((path.clone(), *now.get(path)?))));
        let (wanted, _) = results.wanted(arrived.into_iter().map(Input::file).collect())?;
        let bar = Bar::new(wanted.len(), true);
        let tally = pipeline.run(wanted, &bar, &mut |input, captions| results.take(input, captions))?;
        results.save()?;
        captioned += tally.captioned;
        let code = match tally.interrupted {
            Some(code) => Some(code),
            None => pause()?,
        };
        if let Some(code) = code {
            note!("candlewick: stopped by a signal: {captioned} pictures captioned");
            return Err(Failure::Interrupted(code));
        }
        before = now;
    }
}

/// Waits; gives the exit code where a signal came meanwhile.
fn pause() -> Result<Option<u8>, Failure> {
    let signals = Signals::listen()?;
    for _ in 0..10 {
        std::thread::sleep(PAUSE / 10);
        if let Some(code) = signals.exit_code() {
            return Ok(Some(code));
        }
    }
    Ok(None)
}

/// The pictures of a folder as they are now.
fn states(folder: &Path, recursive: bool) -> Result<HashMap<PathBuf, State>, Failure> {
    let state = |path: PathBuf| {
        // One that went away meanwhile has none.
        let about = fs::metadata(&path).ok()?;
        Some((path, (about.len(), about.modified().ok())))
    };
    Ok(Folder::read(folder, recursive)?.pictures.into_iter().filter_map(state).collect())
}
