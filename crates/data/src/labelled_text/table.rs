//! Tables with a header: a column of sentences and one of labels, between tabs or commas.

use super::{LoadOptions, Row, Rows};
use crate::error::{Error, Result};
use crate::split::Split;
use crate::text::read_text;
use std::path::{Path, PathBuf};

/// What the columns may be called; of several that are there the first is read.
const SENTENCES: [&str; 2] = ["sentence", "text"];
const LABELS: [&str; 2] = ["label", "class"];

/// What a split's file may be called, and how it may end.
const NAMES: [(&str, Split); 5] = [
    ("train", Split::Train),
    ("dev", Split::Dev),
    ("val", Split::Dev),
    ("validation", Split::Dev),
    ("test", Split::Test),
];
const ENDINGS: [&str; 4] = ["tsv", "csv", "tsv.gz", "csv.gz"];

/// Reads `train.tsv` and its kin in a folder; says whether it is there.
pub(super) fn read_folder(folder: &Path, options: &LoadOptions, found: &mut Rows) -> Result<bool> {
    let mut there: Vec<(Split, PathBuf)> = Vec::new();
    for (name, split) in NAMES {
        for path in ENDINGS.map(|ending| folder.join(format!("{name}.{ending}"))) {
            if !path.is_file() {
                continue;
            }
            if let Some((_, other)) = there.iter().find(|(other, _)| *other == split) {
                let fault = format!("is the {split} split, as {} is; keep one", other.display());
                return Err(Error::items(&path, 0, fault));
            }
            there.push((split, path));
        }
    }
    if !there.iter().any(|(split, _)| *split == Split::Train) {
        return Ok(false);
    }
    for (split, path) in there {
        read(&path, split, options, found)?;
    }
    Ok(true)
}

/// Reads a table; one of a test split without labels, as GLUE's are, is left out and noted.
pub(super) fn read(file: &Path, split: Split, options: &LoadOptions, found: &mut Rows) -> Result<()> {
    let text = read_text(file, &options.encoding)?;
    let name = file.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let tabs = !name.trim_end_matches(".gz").ends_with(".csv");
    // In a file of tabs a quotation mark is one of the sentence's.
    let mut builder = csv::ReaderBuilder::new();
    builder.delimiter(if tabs { b'\t' } else { b',' }).quoting(!tabs);
    let mut reader = builder.from_reader(text.as_bytes());
    let header = reader.headers().map_err(|error| fault(file, &error))?.clone();
    let column = |names: [&str; 2]| names.iter().find_map(|name| header.iter().position(|own| own.trim() == *name));
    let lacks = |names: [&str; 2]| {
        let own = header.iter().collect::<Vec<_>>().join(", ");
        Error::items(file, 1, format!("has no column {}; it has {own}", names.join(" or ")))
    };
    let sentence = column(SENTENCES).ok_or_else(|| lacks(SENTENCES))?;
    let label = match column(LABELS) {
        Some(label) => label,
        None if split == Split::Test => {
            found.notes.push(format!("left out {name}: it has no labels"));
            return Ok(());
        }
        None => return Err(lacks(LABELS)),
    };
    for record in reader.records() {
        let record = record.map_err(|error| fault(file, &error))?;
        let line = record.position().map_or(0, |position| position.line() as usize);
        let cell = |column: usize| record.get(column).unwrap_or_default().to_owned();
        let label = cell(label).trim().to_owned();
        if label.is_empty() {
            return Err(Error::items(file, line, "has no label"));
        }
        found.parts.of_mut(split).push(Row { file: file.to_path_buf(), line, text: cell(sentence), label });
    }
    Ok(())
}

fn fault(file: &Path, error: &csv::Error) -> Error {
    let line = error.position().map_or(0, |position| position.line() as usize);
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            Error::items(file, line, format!("has {len} cells where the header has {expected_len}"))
        }
        _ => Error::items(file, line, format!("cannot be read: {error}")),
    }
}
