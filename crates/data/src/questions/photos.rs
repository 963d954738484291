//! Where a set's photos are.

use crate::error::{Error, Result};
use crate::picture::ENDINGS;
use std::path::{Path, PathBuf};

/// The folders that may hold them.
pub(super) struct Photos {
    folders: Vec<PathBuf>,
}

impl Photos {
    /// Those that the caller names, or else the folders of these names beside the file, `images` and the file's own.
    pub fn new(file: &Path, named: Option<&Path>, below: &[&str]) -> Self {
        let here = file.parent().unwrap_or(Path::new(""));
        let folders = match named {
            Some(folder) => vec![folder.to_path_buf()],
            None => below.iter().chain(&["images", ""]).map(|name| here.join(name)).collect(),
        };
        Self { folders }
    }

    /// The photo of this name, which may lack its ending; where there is none, where it should be.
    pub fn find(&self, name: &str) -> PathBuf {
        let whole = ENDINGS.iter().any(|ending| name.to_lowercase().ends_with(&format!(".{ending}")));
        let endings = ENDINGS.iter().filter(|_| !whole).map(|ending| format!("{name}.{ending}"));
        let names: Vec<String> = std::iter::once(name.to_owned()).filter(|_| whole).chain(endings).collect();
        let mut paths = self.folders.iter().flat_map(|folder| names.iter().map(|name| folder.join(name)));
        let first = || self.folders.first().map(|folder| folder.join(name)).unwrap_or_default();
        paths.find(|path| path.is_file()).unwrap_or_else(first)
    }
}

/// The names of a folder's files, sorted, without hidden ones.
pub(super) fn names_in(folder: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(folder).and_then(|entries| entries.collect::<std::io::Result<Vec<_>>>());
    let entries = entries.map_err(Error::io(folder))?;
    let names = entries.iter().filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
    names.sort();
    Ok(names)
}
