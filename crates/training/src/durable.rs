//! Files and folders that are there whole or not at all, whenever the machine stops.

use crate::{Error, Result};
use serde::Serialize;
use std::fs::{self, File, TryLockError};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// What the names of things not yet whole begin with.
pub(crate) const TEMPORARY: &str = ".tmp-";

/// Replaces a file: writes beside it, syncs, renames.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<()> {
    let Some((folder, name)) = path.parent().zip(path.file_name()) else {
        return Err(Error::Config(format!("{}: not the path of a file", path.display())));
    };
    let temporary = folder.join(format!("{TEMPORARY}{}", name.to_string_lossy()));
    write(&temporary, content).map_err(Error::file(path, "cannot be written"))?;
    fs::rename(&temporary, path).map_err(Error::file(path, "cannot be replaced"))?;
    sync_folder(folder)
}

/// A value as indented JSON.
pub(crate) fn json<T: Serialize>(path: &Path, value: &T) -> Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(value)
        .map_err(|error| Error::corrupt(path, format!("cannot be written: {error}")))?;
    text.push(b'\n');
    Ok(text)
}

/// Writes a new file and syncs it.
pub(crate) fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Syncs a folder with everything in it.
pub(crate) fn sync_tree(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(Error::file(folder, "cannot be read"))? {
        let path = entry.map_err(Error::file(folder, "cannot be read"))?.path();
        if path.is_dir() {
            sync_tree(&path)?;
        } else {
            File::open(&path).and_then(|file| file.sync_all()).map_err(Error::file(&path, "cannot be synced"))?;
        }
    }
    sync_folder(folder)
}

/// Syncs the names in a folder.
pub(crate) fn sync_folder(folder: &Path) -> Result<()> {
    // Windows opens no folder as a file and keeps names by itself.
    if cfg!(unix) {
        File::open(folder).and_then(|file| file.sync_all()).map_err(Error::file(folder, "cannot be synced"))?;
    }
    Ok(())
}

/// A folder taken for one run.
pub(crate) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file is not enough: a child that another thread has just forked still holds a copy of it.
        // A lock that cannot be given back goes with the process.
        let _ = self.0.unlock();
    }
}

/// Takes the folder for this run alone, until the lock is dropped or the process ends in whatever way.
pub(crate) fn lock(folder: &Path) -> Result<Lock> {
    let path = folder.join(".lock");
    let open = || File::options().create(true).truncate(false).write(true).open(&path);
    let file = open().map_err(Error::file(&path, "cannot be opened"))?;
    match file.try_lock() {
        Ok(()) => Ok(Lock(file)),
        Err(TryLockError::WouldBlock) => {
            let fault =
                "another process is training into this folder; wait until it has ended, or choose another folder";
            Err(Error::Config(format!("{}: {fault}", folder.display())))
        }
        Err(TryLockError::Error(error)) => Err(Error::file(&path, "cannot be locked")(error)),
    }
}

/// Removes what a crash left half written.
pub(crate) fn remove_leftovers(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(Error::file(folder, "cannot be read"))? {
        let entry = entry.map_err(Error::file(folder, "cannot be read"))?;
        if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
            let path = entry.path();
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.map_err(Error::file(&path, "a leftover of a crash that cannot be removed"))?;
        }
    }
    Ok(())
}

/// A file that only grows; a resumed run cuts off what came after its checkpoint.
pub(crate) struct Appended {
    path: PathBuf,
    file: File,
    length: u64,
}

impl Appended {
    /// Opens or creates a file and keeps its first `keep` bytes.
    pub fn open(path: PathBuf, keep: u64) -> Result<Self> {
        let open = || {
            let mut file = File::options().create(true).truncate(false).read(true).write(true).open(&path)?;
            let length = file.metadata()?.len().min(keep);
            file.set_len(length)?;
            file.seek(SeekFrom::Start(length))?;
            Ok((file, length))
        };
        let (file, length) = open().map_err(Error::file(&path, "cannot be opened"))?;
        Ok(Self { path, file, length })
    }

    /// Writes at the end.
    pub fn append(&mut self, content: &[u8]) -> Result<()> {
        self.file.write_all(content).map_err(Error::file(&self.path, "cannot be written"))?;
        self.length += content.len() as u64;
        Ok(())
    }

    /// Syncs the file and says how long it is.
    pub fn sync(&self) -> Result<u64> {
        self.file.sync_all().map_err(Error::file(&self.path, "cannot be synced"))?;
        Ok(self.length)
    }

    /// Whether nothing is in it yet.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_lock_that_is_dropped_is_free_though_a_child_still_has_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let held = lock(folder.path()).unwrap();
        // What a fork leaves in the child until its exec.
        let copy = held.0.try_clone().unwrap();
        assert!(lock(folder.path()).is_err());
        drop(held);
        lock(folder.path()).unwrap();
        drop(copy);
    }
}
