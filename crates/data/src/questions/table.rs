//! DAQUAR's table of questions.

use super::{Question, Row, Rows};
use crate::error::{Error, Result};
use crate::split::Split;
use crate::text::read_utf8;
use std::path::Path;

/// The columns that must be there.
const COLUMNS: [&str; 3] = ["question", "answer", "image_id"];

/// Reads the table; a column `split` may tell the parts.
pub(super) fn read(file: &Path, rows: &mut Rows) -> Result<()> {
    let text = read_utf8(file)?;
    let mut reader = csv::ReaderBuilder::new().from_reader(text.as_bytes());
    let wrong = |error: csv::Error| {
        let line = error.position().map_or(0, |position| position.line() as usize);
        match error.kind() {
            csv::ErrorKind::UnequalLengths { expected_len, len, .. } => Error::items(
                file,
                line,
                format!("has {len} cells where the header has {expected_len}; put cells with commas in quotes"),
            ),
            _ => Error::items(file, line, format!("cannot be read: {error}")),
        }
    };
    let header = reader.headers().map_err(wrong)?.clone();
    let at = |wanted: &str| header.iter().position(|name| name.trim() == wanted);
    let [Some(question), Some(answer), Some(image)] = COLUMNS.map(at) else {
        let own = header.iter().collect::<Vec<_>>().join(", ");
        return Err(Error::items(file, 1, format!("wants the columns {}; it has {own}", COLUMNS.join(", "))));
    };
    let photos = rows.photos(file, &["nyu_depth_images"]);
    for record in reader.records() {
        let record = record.map_err(wrong)?;
        let line = record.position().map_or(0, |position| position.line() as usize);
        let cell = |column: usize| record.get(column).unwrap_or_default();
        let split = match at("split").map(cell) {
            None => None,
            Some(name) => Some(
                Split::parse(name.trim())
                    .ok_or_else(|| Error::items(file, line, format!("split is {name:?}; wanted train, dev or test")))?,
            ),
        };
        let question = Question {
            image: photos.find(cell(image).trim()),
            question: cell(question).to_owned(),
            answers: cell(answer).split(',').map(str::to_owned).collect(),
            ..Question::default()
        };
        rows.rows.push(Row { place: format!("line {line}"), split, question });
    }
    Ok(())
}
