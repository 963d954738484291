//! UCI's Japanese vowels: a frame a line, an empty line after each utterance, and how many utterances each speaker has, in order.

use super::{Row, Rows, number};
use crate::error::{Error, Result};
use crate::split::Split;
use crate::text::read_utf8;
use std::path::Path;

/// Reads the two pairs of files of a folder; says whether the first is there.
pub(super) fn read(folder: &Path, rows: &mut Rows) -> Result<bool> {
    for (split, ending) in [(Split::Train, "train"), (Split::Test, "test")] {
        let (values, sizes) = (folder.join(format!("ae.{ending}")), folder.join(format!("size_ae.{ending}")));
        if values.is_file() {
            let found = pair(&values, &sizes)?;
            rows.parts.of_mut(split).extend(found);
        } else if split == Split::Train {
            return Ok(false);
        }
    }
    Ok(true)
}

fn pair(file: &Path, sizes: &Path) -> Result<Vec<Row>> {
    let counts = read_utf8(sizes)?;
    let counts: Option<Vec<usize>> = counts.split_whitespace().map(|count| count.parse().ok()).collect();
    let counts = counts
        .ok_or_else(|| Error::items(sizes, 1, "is to say how many utterances each speaker has, as whole numbers"))?;
    let mut utterances = utterances(file)?;
    let wanted = counts.iter().try_fold(0usize, |sum, &count| sum.checked_add(count));
    if wanted != Some(utterances.len()) {
        let wanted = wanted.map_or("more".to_owned(), |wanted| wanted.to_string());
        let fault = format!("has {} utterances where {} says {wanted}", utterances.len(), sizes.display());
        return Err(Error::items(file, 0, fault));
    }
    let speakers = (1u32..).zip(&counts).flat_map(|(speaker, &count)| std::iter::repeat_n(speaker, count));
    for (row, speaker) in utterances.iter_mut().zip(speakers) {
        row.labels = vec![speaker.to_string()];
    }
    Ok(utterances)
}

/// The utterances, without their speakers.
fn utterances(file: &Path) -> Result<Vec<Row>> {
    let text = read_utf8(file)?;
    let mut found: Vec<Row> = Vec::new();
    let mut begun = false;
    for (line, text) in (1..).zip(text.lines()) {
        if text.trim().is_empty() {
            begun = false;
            continue;
        }
        let values = text.split_whitespace().map(number).collect::<Option<Vec<f32>>>();
        let mut values = values.ok_or_else(|| Error::items(file, line, "holds something that is no finite number"))?;
        match found.last_mut().filter(|_| begun) {
            Some(row) if row.width == values.len() => row.values.append(&mut values),
            Some(row) => {
                let fault = format!("has {} numbers where the line before has {}", values.len(), row.width);
                return Err(Error::items(file, line, fault));
            }
            None => found.push(Row {
                file: file.to_path_buf(),
                line,
                name: (found.len() + 1).to_string(),
                width: values.len(),
                values,
                labels: Vec::new(),
                targets: Vec::new(),
            }),
        }
        begun = true;
    }
    Ok(found)
}
