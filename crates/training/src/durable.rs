//! Files and folders that are there whole or not at all, whenever the machine stops.

use crate::{Error, Result};
use serde::Serialize;
use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// What the names of things not yet whole begin with.
pub(crate) const TEMPORARY: &str = ".tmp-";

/// Replaces a file: writes beside it, syncs, renames.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<()> {
    let Some((folder, name)) = path.parent().zip(path.file_name()) else {
        return Err(Error::Setting(format!("{}: not the path of a file", path.display())));
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
