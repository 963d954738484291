//! Tables of numbers with a header, a step a row.

use super::{Row, Rows, number};
use crate::error::{Error, Result};
use crate::split::Split;
use crate::text::read_text;
use std::collections::HashSet;
use std::path::Path;

/// What the files of a folder are called.
const FILES: [(&str, Split); 3] = [("train.csv", Split::Train), ("dev.csv", Split::Dev), ("test.csv", Split::Test)];

/// Reads the tables of a folder; says whether the first is there.
pub(super) fn read_folder(folder: &Path, rows: &mut Rows) -> Result<bool> {
    if !folder.join(FILES[0].0).is_file() {
        return Ok(false);
    }
    for (name, split) in FILES {
        let file = folder.join(name);
        if file.is_file() {
            read(&file, split, rows)?;
        }
    }
    Ok(true)
}

/// Where the columns are.
struct Columns {
    sequence: Option<usize>,
    label: Option<usize>,
    target: Option<usize>,
    split: Option<usize>,
    values: Vec<usize>,
}

impl Columns {
    fn of(file: &Path, header: &csv::StringRecord) -> Result<Self> {
        let names: Vec<String> = header.iter().map(|name| name.trim().to_lowercase()).collect();
        let at = |wanted: &str| names.iter().position(|name| name == wanted);
        let mut columns = Self {
            sequence: at("sequence"),
            label: at("label"),
            target: at("target"),
            split: at("split"),
            values: vec![],
        };
        let named = [columns.sequence, columns.label, columns.target, columns.split];
        columns.values = (0..names.len()).filter(|&column| !named.contains(&Some(column))).collect();
        match columns.values.is_empty() {
            true => Err(Error::items(file, 1, format!("has no column of numbers; it has {}", names.join(", ")))),
            false => Ok(columns),
        }
    }
}

/// A sequence that is being read, and its split.
struct Begun {
    row: Row,
    split: Split,
}

/// Reads a table, whose sequences are of this split where it does not say otherwise.
pub(super) fn read(file: &Path, split: Split, rows: &mut Rows) -> Result<()> {
    let text = read_text(file, "utf-8")?;
    let mut reader = csv::ReaderBuilder::new().from_reader(text.as_bytes());
    let wrong = |error: csv::Error| {
        let line = error.position().map_or(0, |position| position.line() as usize);
        match error.kind() {
            csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                Error::items(file, line, format!("has {len} cells where the header has {expected_len}"))
            }
            _ => Error::items(file, line, format!("cannot be read: {error}")),
        }
    };
    let columns = Columns::of(file, reader.headers().map_err(wrong)?)?;
    let (mut found, mut names): (Vec<Begun>, HashSet<String>) = (Vec::new(), HashSet::new());
    for record in reader.records() {
        let record = record.map_err(wrong)?;
        let line = record.position().map_or(0, |position| position.line() as usize);
        let name = columns.sequence.and_then(|column| record.get(column)).unwrap_or("1").trim();
        if found.last().is_none_or(|begun| begun.row.name != name) {
            if !names.insert(name.to_owned()) {
                return Err(Error::items(file, line, format!("sequence {name} goes on here; put its steps together")));
            }
            let row = Row {
                file: file.to_path_buf(),
                line,
                name: name.to_owned(),
                width: columns.values.len(),
                values: Vec::new(),
                labels: Vec::new(),
                targets: Vec::new(),
            };
            found.push(Begun { row, split: split_of(file, line, &columns, &record, split)? });
        }
        if let Some(begun) = found.last_mut() {
            step(&mut begun.row, line, &columns, &record)?;
        }
    }
    // Labels that never change within a sequence are of the whole, and so are numbers to predict.
    let same = |row: &Row| row.labels.windows(2).all(|two| two[0] == two[1]);
    let equal = |row: &Row| row.targets.windows(2).all(|two| two[0] == two[1]);
    let (whole_labels, whole_targets) =
        (found.iter().all(|begun| same(&begun.row)), found.iter().all(|begun| equal(&begun.row)));
    for Begun { mut row, split } in found {
        row.labels.truncate(if whole_labels { 1 } else { usize::MAX });
        row.targets.truncate(if whole_targets { 1 } else { usize::MAX });
        rows.parts.of_mut(split).push(row);
    }
    Ok(())
}

fn split_of(
    file: &Path,
    line: usize,
    columns: &Columns,
    record: &csv::StringRecord,
    otherwise: Split,
) -> Result<Split> {
    let Some(name) = columns.split.and_then(|column| record.get(column)).map(str::trim) else { return Ok(otherwise) };
    Split::parse(name).ok_or_else(|| Error::items(file, line, format!("split is {name:?}; wanted train, dev or test")))
}

/// Adds a step to its sequence.
fn step(row: &mut Row, line: usize, columns: &Columns, record: &csv::StringRecord) -> Result<()> {
    let cell = |column: usize| record.get(column).unwrap_or_default();
    for &column in columns.values.iter().chain(&columns.target) {
        let value = number(cell(column)).ok_or_else(|| {
            Error::items(&row.file, line, format!("cell {} is {:?}; wanted a finite number", column + 1, cell(column)))
        })?;
        if columns.target == Some(column) { row.targets.push(value) } else { row.values.push(value) }
    }
    if let Some(label) = columns.label.map(|column| cell(column).trim()) {
        if label.is_empty() {
            return Err(Error::items(&row.file, line, "has no label"));
        }
        row.labels.push(label.to_owned());
    }
    Ok(())
}
