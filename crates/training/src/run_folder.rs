//! The folder of a run: which names in it are the run's own, what marks it, and the lock that keeps other processes out.

use crate::checkpoint::{self, RunFile};
use crate::curves::CURVES_FILE;
use crate::durable::TEMPORARY;
use crate::logs::LOG_FILE;
use crate::record::RECIPE_FILE;
use crate::tensorboard::EVENTS_FILE;
use crate::{Error, Result};
use std::fs::{self, File, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;

const LOCK: &str = ".lock";

/// What the lock file of a run's folder holds: a folder without it is somebody else's.
const MARK: &[u8] = b"candlewick run\n";

/// Where a captioner's attention is drawn at the end of its run.
const ATTENTION: &str = "attention";

/// A folder taken for one run.
pub(crate) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file is not enough: a child that another thread has just forked still holds a copy of it.
        // A lock that cannot be given back goes with the process.
        let _ = self.0.unlock();
    }
}

/// Makes the folder where it is missing and takes it for this run alone, until the lock is dropped or the process ends in
/// whatever way.
///
/// # Errors
/// When another process holds it, or it is no run's and holds what a run would write; then nothing in it is changed.
pub(crate) fn take(folder: &Path) -> Result<Lock> {
    fs::create_dir_all(folder).map_err(Error::file(folder, "cannot be created"))?;
    if !folder.join(LOCK).exists() {
        check(folder)?;
    }
    let mut lock = lock(folder)?;
    check(folder)?;
    let mut mark = || lock.0.rewind().and_then(|()| lock.0.write_all(MARK));
    mark().map_err(Error::file(&folder.join(LOCK), "cannot be written"))?;
    Ok(lock)
}

/// Refuses a folder that is no run's and holds a name that a run would write, remove or replace.
pub(crate) fn check(folder: &Path) -> Result<()> {
    if is_run(folder) {
        return Ok(());
    }
    match names(folder)?.into_iter().find(|name| is_own(name) || name == ATTENTION) {
        Some(name) => Err(Error::corrupt(
            folder,
            format!("holds {name}, which no run here has written; choose another folder (--out), or move it away"),
        )),
        None => Ok(()),
    }
}

/// Removes what a crash left half written in a run's folder.
pub(crate) fn remove_leftovers(folder: &Path) -> Result<()> {
    for name in names(folder)?.into_iter().filter(|name| name.starts_with(TEMPORARY) && is_own(name)) {
        let path = folder.join(name);
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.map_err(Error::file(&path, "a leftover of a crash that cannot be removed"))?;
    }
    Ok(())
}

fn lock(folder: &Path) -> Result<Lock> {
    let path = folder.join(LOCK);
    let open = || File::options().create(true).truncate(false).read(true).write(true).open(&path);
    let file = open().map_err(Error::file(&path, "cannot be opened"))?;
    match file.try_lock() {
        Ok(()) => Ok(Lock(file)),
        Err(TryLockError::WouldBlock) => {
            let fault =
                "another process is training into this folder; wait until it has ended, or choose another folder";
            Err(Error::Setting(format!("{}: {fault}", folder.display())))
        }
        Err(TryLockError::Error(error)) => Err(Error::file(&path, "cannot be locked")(error)),
    }
}

/// Whether a run has marked the folder, or left `run.json` or a checkpoint there.
fn is_run(folder: &Path) -> bool {
    let marked = || -> std::io::Result<bool> {
        let mut found = Vec::new();
        File::open(folder.join(LOCK))?.take(MARK.len() as u64).read_to_end(&mut found)?;
        Ok(found == MARK)
    };
    marked().unwrap_or(false) || RunFile::load(folder).is_ok() || checkpoint::is_in(folder)
}

/// Whether a run gives this name to one of its files or folders.
fn is_own(name: &str) -> bool {
    let name = name.strip_prefix(TEMPORARY).unwrap_or(name);
    let name = name.strip_prefix(checkpoint::OLD).unwrap_or(name);
    [LOG_FILE, EVENTS_FILE, CURVES_FILE, checkpoint::RUN, RECIPE_FILE].contains(&name)
        || checkpoint::step_of(name).is_some()
}

/// The names in a folder that are text, sorted; a run has no others.
fn names(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::file(folder, "cannot be read"))? {
        names.extend(entry.map_err(Error::file(folder, "cannot be read"))?.file_name().into_string().ok());
    }
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_lock_that_is_dropped_is_free_though_a_child_still_has_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let held = take(folder.path()).unwrap();
        // What a fork leaves in the child until its exec.
        let copy = held.0.try_clone().unwrap();
        assert!(take(folder.path()).is_err());
        drop(held);
        take(folder.path()).unwrap();
        drop(copy);
    }

    #[test]
    fn what_others_have_in_a_folder_is_refused_and_stays() {
        for name in ["log.jsonl", "curves.svg", EVENTS_FILE, "run.json", "checkpoint-500", ".tmp-run.json", "attention"]
        {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join(name), "mine").unwrap();
            let fault = take(folder.path()).err().unwrap().to_string();
            assert!(fault.contains(&format!("holds {name}, ")) && fault.contains("--out"), "{fault}");
            assert_eq!(names(folder.path()).unwrap(), [name]);
            assert_eq!(fs::read_to_string(folder.path().join(name)).unwrap(), "mine");
        }
        // What a run never writes does not matter, and stays.
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join(".tmp-thesis/chapter")).unwrap();
        fs::write(folder.path().join(".tmp-notes.txt"), "mine").unwrap();
        let lock = take(folder.path()).unwrap();
        remove_leftovers(folder.path()).unwrap();
        assert_eq!(names(folder.path()).unwrap(), [".lock", ".tmp-notes.txt", ".tmp-thesis"]);
        drop(lock);
        // The folder is known again, though only the mark tells it.
        fs::write(folder.path().join(LOG_FILE), "").unwrap();
        take(folder.path()).unwrap();
    }
}
