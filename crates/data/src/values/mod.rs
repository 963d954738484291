//! Sequences of numbers, (T, D) each, with labels or numbers to predict, from the formats that people have.
//!
//! - CSV with a header, a step a row, whose columns are numbers but for `sequence` (steps of one sequence have the same and follow each other;
//!   without it the file is one sequence), `label` (a class), `target` (a number) and `split` (`train`, `dev` or `test`), all of which may be
//!   left out; a file, or a folder with `train.csv` and perhaps `dev.csv` and `test.csv`;
//! - NumPy's `.npy`: a folder with `train.npy` (N, T, D) and perhaps `train_labels.npy` (N) or (N, T), `train_lengths.npy` (N), and the same for
//!   `dev` and `test`;
//! - UCI's Japanese vowels (Kudo et al. 1999): a folder with `ae.train` and `size_ae.train`, and perhaps `ae.test` and `size_ae.test`.
//!
//! [`notes`] reads sets of notes, [`npy`] a single array; [`adding`] draws sequences.

pub mod adding;
mod arrays;
pub mod notes;
pub mod npy;
mod tables;
mod vowels;

use crate::classes;
use crate::error::{Error, Result};
use crate::split::{Parts, Split, check_share};
use std::path::{Path, PathBuf};

/// Sequences of numbers in their parts.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesSet {
    /// The classes' names; a label is a place in this list. Empty where there are no labels.
    pub classes: Vec<String>,
    /// D, how many numbers a step has.
    pub width: usize,
    /// The sequences by their splits.
    pub parts: Parts<Series>,
}

/// A sequence of numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// What its set calls it.
    pub name: String,
    /// The numbers (T, D), step after step.
    pub values: Vec<f32>,
    /// The class of the whole, or of each step; empty where the set has none.
    pub labels: Vec<u32>,
    /// The number to predict for the whole, or for each step; empty where the set has none.
    pub targets: Vec<f32>,
}

/// Reads the set in the folder or file `path`; the format is recognised by the names of its files.
///
/// Where a set brings no dev part, the share `dev_share` of its training sequences becomes one, by a hash of their names.
///
/// # Errors
/// One line that names the file, the line where there is one, and the fault: what is no finite number, rows of different lengths,
/// sequences of different widths, counts that do not fit, a label that the training part does not have, one class alone.
pub fn load(path: &Path, dev_share: f64) -> Result<SeriesSet> {
    check_share(dev_share)?;
    let mut rows = Rows::default();
    let folder = std::fs::metadata(path).map_err(Error::io(path))?.is_dir();
    let found = match folder {
        false => tables::read(path, Split::Train, &mut rows).map(|()| true)?,
        true => {
            arrays::read(path, &mut rows)? || tables::read_folder(path, &mut rows)? || vowels::read(path, &mut rows)?
        }
    };
    if !found {
        let fault = "has neither train.csv, train.npy nor ae.train; give the folder or the file that has the numbers";
        return Err(Error::items(path, 0, fault));
    }
    rows.finish(path, dev_share)
}

/// Reads the sequences of a table, CSV with a header as [`load`] reads it, without what it says of labels, targets and parts: all are in the
/// part `train`.
///
/// # Errors
/// One line that names the file, the line and the fault.
pub fn read_table(file: &Path) -> Result<SeriesSet> {
    let mut rows = Rows::default();
    tables::read(file, Split::Train, &mut rows)?;
    let Parts { train, dev, test } = rows.parts;
    let bare = |row: Row| Row { labels: Vec::new(), targets: Vec::new(), ..row };
    let train = train.into_iter().chain(dev).chain(test).map(bare).collect();
    Rows { parts: Parts { train, ..Parts::default() } }.finish(file, 0.0)
}

/// A sequence as it is read, with the names of its classes.
struct Row {
    file: PathBuf,
    /// Its first line; 0 where the file has none.
    line: usize,
    name: String,
    width: usize,
    values: Vec<f32>,
    /// One for the whole or one a step.
    labels: Vec<String>,
    targets: Vec<f32>,
}

impl Row {
    fn fault(&self, fault: impl Into<String>) -> Error {
        Error::items(&self.file, self.line, format!("sequence {}: {}", self.name, fault.into()))
    }
}

/// What the formats gather.
#[derive(Default)]
struct Rows {
    parts: Parts<Row>,
}

impl Rows {
    fn finish(self, path: &Path, dev_share: f64) -> Result<SeriesSet> {
        let Some(first) = self.parts.train.first() else {
            return Err(Error::items(path, 0, "has no sequence to train on"));
        };
        let (width, labelled) = (first.width, !first.labels.is_empty());
        let classes = classes::sorted(self.parts.train.iter().flat_map(|row| &row.labels).map(String::as_str));
        if let Some(fault) = classes::too_few(&classes).filter(|_| labelled) {
            return Err(Error::items(path, 0, fault));
        }
        let mut parts = Parts::default();
        for (split, rows) in
            [(Split::Train, self.parts.train), (Split::Dev, self.parts.dev), (Split::Test, self.parts.test)]
        {
            for row in rows {
                parts.of_mut(split).push(series(row, width, labelled, &classes)?);
            }
        }
        parts.hold_out(dev_share, |series| series.name.clone());
        Ok(SeriesSet { classes, width, parts })
    }
}

fn series(row: Row, width: usize, labelled: bool, classes: &[String]) -> Result<Series> {
    if row.width != width {
        return Err(row.fault(format!("has {} numbers a step where the first sequence has {width}", row.width)));
    }
    if row.labels.is_empty() == labelled {
        return Err(row.fault(if labelled { "has no label" } else { "has a label where the first sequence has none" }));
    }
    let label = |name: &String| {
        classes::place(classes, name).ok_or_else(|| {
            row.fault(format!("the label {name:?} is none of the training part ({})", classes.join(", ")))
        })
    };
    let labels = row.labels.iter().map(label).collect::<Result<_>>()?;
    Ok(Series { name: row.name, values: row.values, labels, targets: row.targets })
}

/// A number that is one.
fn number(text: &str) -> Option<f32> {
    text.trim().parse::<f32>().ok().filter(|number| number.is_finite())
}

#[cfg(test)]
mod tests;
