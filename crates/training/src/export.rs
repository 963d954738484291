//! A trained model as one folder of its own: all its weights in one file, no optimiser, no paths, a card.

use crate::card::{About, Card};
use crate::checkpoint::RunFile;
use crate::durable::{self, TEMPORARY};
use crate::model_folder::{Export, ModelFolder, open_model};
use crate::{Error, Result, TrainerState};
use candle_core::Device;
use std::fs;
use std::path::Path;

/// The card in a model's folder.
const CARD: &str = "README.md";

/// Exports the model in a folder, or the best checkpoint of a run's folder, into the folder `out`, which is absent or empty.
///
/// `out` is written whole or not at all: what was written is opened once before it gets its name.
///
/// # Errors
/// When the model cannot be opened, there is something in `out`, a weight is out of the type's range, or a file cannot be written; the
/// message names it.
pub fn export<M: ModelFolder>(from: &Path, out: &Path, how: &Export) -> Result<()> {
    check_free(out)?;
    let folder = open_model(from, |folder| Ok(folder.to_path_buf()))?;
    let Some(name) = out.file_name() else {
        return Err(Error::Setting(format!("{}: not the name of a folder", out.display())));
    };
    let parent = out.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(Error::file(parent, "cannot be created"))?;
    let temporary = parent.join(format!("{TEMPORARY}{}-{}", name.to_string_lossy(), std::process::id()));
    let written = fill::<M>(&folder, &temporary, how).and_then(|()| {
        check_free(out)?;
        if out.is_dir() {
            fs::remove_dir(out).map_err(Error::file(out, "cannot be replaced"))?;
        }
        fs::rename(&temporary, out).map_err(Error::file(out, "cannot be written"))?;
        durable::sync_folder(parent)
    });
    if written.is_err() {
        // Half a model is of no use to anybody, and may be what filled the disk.
        let _ = fs::remove_dir_all(&temporary);
    }
    written
}

/// Refuses a folder that has something in it.
fn check_free(out: &Path) -> Result<()> {
    let taken = |fault: &str| Err(Error::Setting(format!("{}: {fault}; name another folder", out.display())));
    match fs::read_dir(out) {
        Ok(mut entries) => entries.next().map_or(Ok(()), |_| taken("is not empty")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(_) if out.is_file() => taken("is a file"),
        Err(error) => Err(Error::file(out, "cannot be read")(error)),
    }
}

fn fill<M: ModelFolder>(folder: &Path, temporary: &Path, how: &Export) -> Result<()> {
    fs::create_dir(temporary).map_err(Error::file(temporary, "cannot be created"))?;
    let about = M::export(folder, temporary, how)?;
    let card = card(folder, about, how).to_string();
    let card = std::iter::once((CARD, card.as_str()));
    for (name, text) in how.files.iter().map(|(name, text)| (name.as_str(), text.as_str())).chain(card) {
        let path = temporary.join(name);
        durable::write(&path, text.as_bytes()).map_err(Error::file(&path, "cannot be written"))?;
    }
    durable::sync_tree(temporary)?;
    M::open_folder(temporary, &Device::Cpu)
        .map(drop)
        .map_err(|error| error.during("what was to be exported does not open again, and was not"))
}

/// What a card can tell of the model in a folder: of one that a run left, the run too.
fn card(folder: &Path, about: About, how: &Export) -> Card {
    let state = fs::read(folder.join("trainer.json")).ok();
    let state = state.and_then(|text| serde_json::from_slice::<TrainerState>(&text).ok());
    let run = fs::canonicalize(folder).ok().and_then(|folder| folder.parent().map(Path::to_owned));
    let sessions = run.filter(|_| state.is_some()).and_then(|run| RunFile::load(&run).ok());
    let sessions = sessions.map(|run| run.sessions).unwrap_or_default();
    let own = folder.file_name().map(|name| name.to_string_lossy().into_owned());
    let scores = state.as_ref().and_then(|state| match state.best_folder == own {
        true => state.best_scores.clone(),
        false => state.last_scores.clone(),
    });
    let files = how.files.iter().map(|(name, _)| name.clone()).collect();
    Card { about, dtype: how.dtype, state, scores, sessions, files }
}
