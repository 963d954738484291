//! Pieces of music as sets of notes, a step each: Bach's chorales (Boulanger-Lewandowski et al. 2012, "Modeling Temporal Dependencies in
//! High-Dimensional Sequences") and others in the same JSON, `{"train": [[[60, 72], …], …], "valid": …, "test": …}`.

use crate::error::{Error, Result};
use crate::split::{Parts, Split};
use crate::text::read_utf8;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The lowest note, the piano's A0, as MIDI numbers it.
pub const LOWEST: u8 = 21;
/// How many notes there are from it on, the piano's keys.
pub const KEYS: usize = 88;

/// A piece: the MIDI numbers that sound at each step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// What its file calls it: `train[0]`.
    pub name: String,
    /// The notes of each step, T of them; none where it is silent.
    pub steps: Vec<Vec<u8>>,
}

impl Piece {
    /// The piece as (T, [`KEYS`]): 1 where a note sounds, 0 elsewhere.
    pub fn keys(&self) -> Vec<f32> {
        let mut keys = vec![0.0; self.steps.len() * KEYS];
        for (row, step) in keys.chunks_exact_mut(KEYS).zip(&self.steps) {
            for &note in step {
                if let Some(key) = row.get_mut(usize::from(note.wrapping_sub(LOWEST))) {
                    *key = 1.0;
                }
            }
        }
        keys
    }
}

/// The names of the notes from [`LOWEST`] on: A0, A#0, B0, C1 … C8.
pub fn names() -> Vec<String> {
    const SCALE: [&str; 12] = ["C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B"];
    let name = |note: usize| format!("{}{}", SCALE[note % 12], note / 12 - 1);
    (usize::from(LOWEST)..usize::from(LOWEST) + KEYS).map(name).collect()
}

/// Reads the pieces of a file by their splits; of a folder its one file of JSON.
///
/// # Errors
/// One line that names the file, the piece and the fault: wrong JSON, a split of another name, a note that no piano has, a piece of one step,
/// nothing to train on, a folder with several files of JSON or none.
pub fn load(path: &Path) -> Result<Parts<Piece>> {
    let path = &file(path)?;
    let text = read_utf8(path)?;
    let file: BTreeMap<String, Vec<Vec<Vec<i64>>>> = serde_json::from_str(&text).map_err(|error| {
        Error::items(path, error.line(), format!("is no JSON of notes, {{\"train\": [[[60, 72], …], …]}}: {error}"))
    })?;
    let mut parts = Parts::default();
    for (name, pieces) in file {
        let wanted = || Error::items(path, 0, format!("has the part {name:?}; wanted train, valid and test"));
        let split = Split::parse(&name).ok_or_else(wanted)?;
        for (number, steps) in pieces.into_iter().enumerate() {
            parts.of_mut(split).push(piece(path, &format!("{name}[{number}]"), steps)?);
        }
    }
    match parts.train.is_empty() {
        true => Err(Error::items(path, 0, "has no piece in the part train")),
        false => Ok(parts),
    }
}

/// What a file of notes may hold.
#[derive(Deserialize)]
#[serde(untagged)]
enum Notes {
    Parts(BTreeMap<String, Vec<Vec<Vec<i64>>>>),
    Pieces(Vec<Vec<Vec<i64>>>),
    Piece(Vec<Vec<i64>>),
}

/// Reads all pieces of a file, whichever their part: of a set as [`load`] reads it, of a list of pieces, or the one piece `[[60, 72], …]`.
///
/// # Errors
/// One line that names the file, the piece and the fault, and where there is no piece.
pub fn read(path: &Path) -> Result<Vec<Piece>> {
    let text = read_utf8(path)?;
    let fault = "is no JSON of notes; wanted a piece, [[60, 72], …], a list of pieces or {\"train\": […]}";
    let notes: Notes = serde_json::from_str(&text).map_err(|_| Error::items(path, 0, fault))?;
    let named = |part: &str, pieces: Vec<Vec<Vec<i64>>>| {
        let one = |(number, steps)| piece(path, &format!("{part}[{number}]"), steps);
        pieces.into_iter().enumerate().map(one).collect::<Result<Vec<Piece>>>()
    };
    let pieces = match notes {
        Notes::Parts(parts) => {
            parts.into_iter().map(|(name, pieces)| named(&name, pieces)).collect::<Result<Vec<_>>>()?.concat()
        }
        Notes::Pieces(pieces) => named("", pieces)?,
        Notes::Piece(steps) => vec![piece(path, "", steps)?],
    };
    match pieces.is_empty() {
        true => Err(Error::items(path, 0, "has no piece")),
        false => Ok(pieces),
    }
}

/// The file itself, or the one in a folder.
fn file(path: &Path) -> Result<PathBuf> {
    if !path.is_dir() {
        return Ok(path.to_path_buf());
    }
    let entries = std::fs::read_dir(path).map_err(Error::io(path))?;
    let files = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<PathBuf>>>();
    let mut files = files.map_err(Error::io(path))?;
    files.retain(|file| file.extension().is_some_and(|ending| ending == "json") && file.is_file());
    match files.as_slice() {
        [one] => Ok(one.clone()),
        all => {
            let fault = format!("has {} files of JSON, where one with the notes is wanted; name the file", all.len());
            Err(Error::items(path, 0, fault))
        }
    }
}

fn piece(path: &Path, name: &str, steps: Vec<Vec<i64>>) -> Result<Piece> {
    if steps.len() < 2 {
        return Err(Error::items(path, 0, format!("{name} has {} steps; what comes next wants two", steps.len())));
    }
    let note = |step: usize, note: i64| {
        let found = u8::try_from(note).ok().filter(|note| (LOWEST..LOWEST + KEYS as u8).contains(note));
        found.ok_or_else(|| {
            let fault = format!("{name}[{step}] has the note {note}; a piano has 21 to 108");
            Error::items(path, 0, fault)
        })
    };
    let notes = |(step, notes): (usize, Vec<i64>)| notes.into_iter().map(|own| note(step, own)).collect();
    let name = name.to_owned();
    Ok(Piece { name, steps: steps.into_iter().enumerate().map(notes).collect::<Result<_>>()? })
}
