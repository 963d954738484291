//! Names and folders in folders, and the folder and the name of a file.

use crate::error::{Error, Result};
use std::path::{Path, PathBuf};

/// The names of a folder's entries that are UTF-8, sorted; hidden ones, as macOS puts beside each file, are none of the set's.
pub(super) fn names_in(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
        let name = entry.map_err(Error::io(folder))?.file_name().into_string().ok();
        names.extend(name.filter(|name| !name.starts_with('.')));
    }
    names.sort_unstable();
    Ok(names)
}

/// The folders in a folder, by name.
pub(super) fn folders_in(folder: &Path) -> Result<Vec<PathBuf>> {
    Ok(names_in(folder)?.iter().map(|name| folder.join(name)).filter(|path| path.is_dir()).collect())
}

pub(super) fn name_of(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// The folder that a file lies in.
pub(super) fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
