//! The sentence polarity set: a file a class, a sentence a line.

use super::{LoadOptions, Row, Rows};
use crate::error::{Error, Result};
use crate::text::read_text;
use std::path::Path;

/// The endings of the two files, which are the classes' names.
const CLASSES: [&str; 2] = ["neg", "pos"];

/// Reads the two files of a folder; says whether they are there.
pub(super) fn read(folder: &Path, options: &LoadOptions, found: &mut Rows) -> Result<bool> {
    let entries = std::fs::read_dir(folder).and_then(|entries| entries.collect::<std::io::Result<Vec<_>>>());
    let mut files: Vec<_> = entries.map_err(Error::io(folder))?.iter().map(std::fs::DirEntry::path).collect();
    files
        .retain(|path| path.is_file() && path.extension().is_some_and(|end| CLASSES.iter().any(|class| end == *class)));
    files.sort();
    if files.is_empty() {
        return Ok(false);
    }
    for class in CLASSES {
        let own: Vec<_> = files.iter().filter(|path| path.extension().is_some_and(|ending| ending == class)).collect();
        let [file] = own.as_slice() else {
            return Err(Error::items(folder, 0, format!("has {} files that end in .{class}; wanted one", own.len())));
        };
        let text = read_text(file, &options.encoding)?;
        found.parts.train.extend((1..).zip(text.lines()).map(|(line, text)| Row {
            file: file.to_path_buf(),
            line,
            text: text.to_owned(),
            label: class.to_owned(),
        }));
    }
    Ok(true)
}
