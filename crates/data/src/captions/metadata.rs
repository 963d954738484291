//! The lines of a `metadata.jsonl` or `metadata.csv`.

use super::paths::name_of;
use crate::error::{Error, Result};
use crate::split::Split;
use crate::text::utf8;
use serde_json::{Map, Value};
use std::path::Path;

/// The columns that hold captions; of several that are there the first is read.
const COLUMNS: [&str; 3] = ["captions", "caption", "text"];

/// What a file says.
pub(super) struct Table {
    pub rows: Vec<Row>,
    /// Which of its columns with captions are not read.
    pub note: Option<String>,
}

/// What a line says of a picture.
pub(super) struct Row {
    pub line: usize,
    pub file_name: String,
    pub split: Option<Split>,
    /// None where the line has none.
    pub captions: Vec<String>,
}

/// A line as it is written, by column.
struct Line {
    number: usize,
    fields: Map<String, Value>,
}

/// Reads the file, whichever of the two it is.
///
/// # Errors
/// With the line that is wrong and what is wrong in it.
pub(super) fn read(file: &Path) -> Result<Table> {
    let bytes = utf8::read(file)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| utf8::not_utf8(file, &bytes))?;
    if text.trim().is_empty() {
        return Err(Error::captions(file, "the file is empty"));
    }
    let csv = file.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("csv"));
    let lines = if csv { csv_lines(file, text)? } else { json_lines(file, text)? };
    let has = |column: &&&str| lines.iter().any(|line| line.fields.get(**column).is_some_and(|value| !value.is_null()));
    let there: Vec<&str> = COLUMNS.iter().filter(has).copied().collect();
    let Some((column, others)) = there.split_first() else {
        let mut names: Vec<&str> = lines.iter().flat_map(|line| line.fields.keys()).map(String::as_str).collect();
        names.sort_unstable();
        names.dedup();
        let fault = format!("has captions in none of the columns {}; it has {}", COLUMNS.join(", "), names.join(", "));
        return Err(Error::captions(file, fault));
    };
    let note = (!others.is_empty())
        .then(|| format!("left out the {} of {}: its {column} are read", others.join(" and the "), name_of(file)));
    let rows = lines.into_iter().map(|line| line.row(file, column)).collect::<Result<_>>()?;
    Ok(Table { rows, note })
}

/// An object a line.
fn json_lines(file: &Path, text: &str) -> Result<Vec<Line>> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let lines = lines.map(|(index, line)| {
        let fields = serde_json::from_str(line).map_err(|error| {
            let what = error.to_string();
            let what = what.split(" at line ").next().unwrap_or_default();
            Error::captions(file, format!("wrong JSON in line {}, column {}: {what}", index + 1, error.column()))
        })?;
        Ok(Line { number: index + 1, fields })
    });
    lines.collect()
}

/// Lines of cells, the first with the columns' names.
fn csv_lines(file: &Path, text: &str) -> Result<Vec<Line>> {
    let fault = |error: csv::Error| {
        let line = error.position().map(|position| format!("line {}: ", position.line())).unwrap_or_default();
        match error.kind() {
            csv::ErrorKind::UnequalLengths { expected_len, len, .. } => Error::captions(
                file,
                format!("{line}has {len} cells where the first has {expected_len}; put cells with commas in quotes"),
            ),
            _ => Error::captions(file, format!("{line}wrong CSV: {error}")),
        }
    };
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::Headers).from_reader(text.as_bytes());
    let names = reader.headers().map_err(fault)?.clone();
    let mut lines = Vec::new();
    for record in reader.records() {
        let record = record.map_err(fault)?;
        let number = record.position().map_or(0, |position| position.line() as usize);
        let mut fields = Map::new();
        for (name, cell) in names.iter().zip(&record) {
            fields.insert(name.to_owned(), cell_value(file, number, name, cell)?);
        }
        lines.push(Line { number, fields });
    }
    Ok(lines)
}

/// A cell; one of `captions` may be a list, as JSON writes it.
fn cell_value(file: &Path, line: usize, name: &str, cell: &str) -> Result<Value> {
    if name != COLUMNS[0] || !cell.trim_start().starts_with('[') {
        return Ok(if cell.is_empty() { Value::Null } else { Value::String(cell.to_owned()) });
    }
    serde_json::from_str(cell).map_err(|_| {
        let wanted = r#"write a list as JSON does, ["…", "…"]"#;
        Error::captions(file, format!("line {line}: {name} is no list of texts; {wanted}"))
    })
}

impl Line {
    fn row(mut self, file: &Path, column: &str) -> Result<Row> {
        let line = self.number;
        let fault = |what: String| Error::captions(file, format!("line {line}: {what}"));
        let file_name = match self.fields.remove("file_name") {
            Some(Value::String(name)) if !name.trim().is_empty() => name,
            None | Some(Value::Null) => return Err(fault("has no file_name".into())),
            Some(other) => return Err(fault(format!("file_name is {other}; wanted the picture's name"))),
        };
        let split = match self.fields.remove("split") {
            None | Some(Value::Null) => None,
            Some(Value::String(name)) => match Split::of_folder(&name) {
                Some(split) => Some(split),
                None => return Err(fault(format!("split is {name:?}; wanted train, validation or test"))),
            },
            Some(other) => return Err(fault(format!("split is {other}; wanted train, validation or test"))),
        };
        let captions = match self.fields.remove(column) {
            None | Some(Value::Null) => Some(Vec::new()),
            Some(Value::String(caption)) => Some(vec![caption]),
            Some(Value::Array(all)) => all.into_iter().map(text).collect(),
            Some(_) => None,
        };
        let captions = captions
            .ok_or_else(|| fault(format!("{column} is neither a text nor a list of texts; write it as one")))?;
        Ok(Row { line, file_name, split, captions })
    }
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}
