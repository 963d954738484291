//! CIFAR's binary version: records of a label (CIFAR-100: a coarse and a fine one) and 3 × 32 × 32 bytes, red first.

use super::set::{Block, LabelledImages, Pixels, check};
use crate::error::{Error, Result};
use crate::text::read_utf8;
use std::path::{Path, PathBuf};

const SIDE: usize = 32;
const PICTURE: usize = 3 * SIDE * SIDE;

/// How the files of one of the two sets are named and laid out.
struct Layout {
    train: &'static [&'static str],
    test: &'static str,
    names: &'static str,
    /// Bytes before the picture; the last of them is the label.
    labels: usize,
    classes: usize,
}

const CIFAR_10: Layout = Layout {
    train: &["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"],
    test: "test_batch.bin",
    names: "batches.meta.txt",
    labels: 1,
    classes: 10,
};

const CIFAR_100: Layout =
    Layout { train: &["train.bin"], test: "test.bin", names: "fine_label_names.txt", labels: 2, classes: 100 };

/// The set in this folder, or nothing where it has no CIFAR files.
pub(super) fn load(folder: &Path, dev_share: f64) -> Result<Option<LabelledImages>> {
    let there = |layout: &&Layout| layout.train.iter().any(|name| folder.join(name).is_file());
    let Some(layout) = [&CIFAR_10, &CIFAR_100].into_iter().find(there) else { return Ok(None) };
    let train: Vec<PathBuf> = layout.train.iter().map(|name| folder.join(name)).collect();
    let test: Vec<PathBuf> = [folder.join(layout.test)].into_iter().filter(|path| path.is_file()).collect();
    let (train, dev) = read(&train, layout)?.split(dev_share);
    let test = read(&test, layout)?.whole();
    Ok(Some(LabelledImages {
        classes: names(&folder.join(layout.names), layout.classes)?,
        train,
        dev,
        test,
        notes: Vec::new(),
    }))
}

fn read(files: &[PathBuf], layout: &Layout) -> Result<Block> {
    let record = layout.labels + PICTURE;
    let (mut bytes, mut labels) = (Vec::new(), Vec::new());
    for file in files {
        let content = std::fs::read(file).map_err(Error::io(file))?;
        if content.is_empty() || content.len() % record != 0 {
            let fault = format!("has {} bytes, which is no whole number of records of {record}", content.len());
            return Err(Error::labelled(file, fault));
        }
        let before = labels.len();
        for record in content.chunks_exact(record) {
            let (own, picture) = record.split_at(layout.labels);
            labels.extend(own.last().map(|&label| u32::from(label)));
            bytes.extend_from_slice(picture);
        }
        check(file, &labels[before..], layout.classes)?;
    }
    Ok(Block { pixels: Pixels { bytes, colours: 3, height: SIDE, width: SIDE }, labels })
}

/// The classes' names, a line each; numbers where the file is not there.
fn names(path: &Path, classes: usize) -> Result<Vec<String>> {
    if !path.is_file() {
        return Ok((0..classes).map(|class| class.to_string()).collect());
    }
    let text = read_utf8(path)?;
    let names: Vec<String> = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    match names.len() == classes {
        true => Ok(names),
        false => Err(Error::labelled(path, format!("names {} classes; there are {classes}", names.len()))),
    }
}
