//! Folders of `.npy` files: all sequences of a split in one array, their labels and lengths in others.

use super::npy::{self, Array};
use super::{Row, Rows};
use crate::error::{Error, Result};
use crate::split::Split;
use std::path::{Path, PathBuf};

/// Reads the arrays of a folder; says whether those to train on are there.
pub(super) fn read(folder: &Path, rows: &mut Rows) -> Result<bool> {
    if !folder.join("train.npy").is_file() {
        return Ok(false);
    }
    for split in [Split::Train, Split::Dev, Split::Test] {
        let file = folder.join(format!("{split}.npy"));
        if file.is_file() {
            rows.parts.of_mut(split).extend(part(folder, split, file)?);
        }
    }
    Ok(true)
}

fn part(folder: &Path, split: Split, file: PathBuf) -> Result<Vec<Row>> {
    let values = npy::read(&file)?;
    let [count, steps @ 1..=usize::MAX, width @ 1..=usize::MAX] = *values.shape.as_slice() else {
        let fault = format!("has the shape {:?}; wanted sequences, steps and numbers a step", values.shape);
        return Err(Error::items(&file, 0, fault));
    };
    let beside = |what: &str| -> Result<Option<Beside>> {
        let file = folder.join(format!("{split}_{what}.npy"));
        if !file.is_file() {
            return Ok(None);
        }
        let array = npy::read(&file)?;
        match array.shape.as_slice() {
            [n] if *n == count => {}
            [n, t] if (*n, *t) == (count, steps) && what == "labels" => {}
            other => {
                let fault = format!("has the shape {other:?} for {count} sequences of {steps} steps");
                return Err(Error::items(&file, 0, fault));
            }
        }
        Ok(Some(Beside { file, array }))
    };
    let (labels, lengths) = (beside("labels")?, beside("lengths")?);
    let sequence = |index: usize| {
        let length = lengths.as_ref().map_or(Ok(steps), |lengths| lengths.length(index, steps))?;
        let start = index * steps * width;
        Ok(Row {
            file: file.clone(),
            line: 0,
            name: index.to_string(),
            width,
            values: values.values.get(start..start + length * width).unwrap_or_default().to_vec(),
            labels: labels.as_ref().map_or(Ok(Vec::new()), |labels| labels.classes(index, length))?,
            targets: Vec::new(),
        })
    };
    (0..count).map(sequence).collect()
}

/// An array that goes with another.
struct Beside {
    file: PathBuf,
    array: Array,
}

impl Beside {
    fn length(&self, index: usize, steps: usize) -> Result<usize> {
        let length = self.array.values.get(index).copied().unwrap_or_default();
        let whole = (1..=steps).find(|&steps| steps as f32 == length);
        whole.ok_or_else(|| Error::items(&self.file, 0, format!("number {index} is {length}; wanted 1 to {steps}")))
    }

    fn classes(&self, index: usize, length: usize) -> Result<Vec<String>> {
        let all = self.array.values.len() / self.array.shape.first().copied().unwrap_or(1).max(1);
        let own = self.array.values.iter().skip(index * all).take(if all > 1 { length } else { all });
        let class = |&label: &f32| match label.fract() == 0.0 {
            true => Ok(format!("{label:.0}")),
            false => Err(Error::items(
                &self.file,
                0,
                format!("the label of sequence {index} is {label}; wanted a whole number"),
            )),
        };
        own.map(class).collect()
    }
}
