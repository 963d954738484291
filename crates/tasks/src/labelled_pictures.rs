//! Labelled pictures from a folder, as recipes read them whose pictures all have one size.

use crate::{Error, Result};
use candlewick_data::Note;
use candlewick_data::image_classes::{self, Examples, LabelledImages};
use std::path::PathBuf;

/// The set in the folder that a recipe or `--data` names; what a person should know of it is noted.
pub(crate) fn load(path: Option<&PathBuf>, dev_share: f64, note: &mut dyn FnMut(Note)) -> Result<LabelledImages> {
    let path = path.ok_or_else(|| Error::NoData("no data: say where the pictures are with --data DIR".into()))?;
    let set = image_classes::load(path, dev_share)?;
    set.notes.iter().cloned().for_each(|line| note(Note::Skipped(line)));
    Ok(set)
}

/// The pictures of a part that can be read and have one size; the others are noted.
pub(crate) fn readable(examples: &Examples, max_share: f64, note: &mut dyn FnMut(Note)) -> Result<Examples> {
    let (kept, skipped) = examples.readable(max_share)?;
    skipped.into_iter().for_each(|line| note(Note::Skipped(line)));
    Ok(kept)
}
