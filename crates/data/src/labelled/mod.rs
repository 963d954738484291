//! Pictures with a class each, from the formats that people have.
//!
//! - a folder a class, `train/CLASS/*.jpg` and `dev/CLASS/*.jpg` (or `val`), or `CLASS/*.jpg` alone, as torchvision's ImageFolder,
//!   which finds the pictures at any depth;
//! - MNIST's idx files, gzipped or not (LeCun et al. 1998), and those of its kin (Fashion-MNIST, KMNIST);
//! - CIFAR-10's and CIFAR-100's binary version (Krizhevsky 2009).

mod cifar;
mod folder;
mod idx;
mod tree;

use crate::error::{Error, Result};
use crate::picture::{self, Limits};
use image::RgbImage;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A set of pictures with a class each, in its parts.
#[derive(Clone, Debug)]
pub struct Labelled {
    /// The classes' names; a label is a place in this list.
    pub classes: Vec<String>,
    /// What the weights are fitted to.
    pub train: Examples,
    /// What settings are chosen on.
    pub dev: Examples,
    /// What the result is measured on; empty where the set has none.
    pub test: Examples,
    /// What a person should know of it, a line each: files that were passed over, classes without pictures.
    pub notes: Vec<String>,
}

/// Pictures and their labels.
#[derive(Clone, Debug)]
pub struct Examples {
    pictures: Pictures,
    /// The class of each.
    pub labels: Vec<u32>,
}

/// Where the pictures are.
#[derive(Clone, Debug)]
enum Pictures {
    /// In memory, all of one size, from the picture `first` on.
    Pixels { pixels: Arc<Pixels>, first: usize },
    /// In files, decoded when they are needed.
    Files(Vec<PathBuf>),
}

/// Bytes of pictures of one size, each colour of a picture after the other.
#[derive(Debug)]
struct Pixels {
    bytes: Vec<u8>,
    colours: usize,
    height: usize,
    width: usize,
}

impl Pixels {
    fn size(&self) -> usize {
        self.colours * self.height * self.width
    }

    fn picture(&self, row: usize) -> Option<RgbImage> {
        let bytes = self.bytes.get(row * self.size()..(row + 1) * self.size())?;
        let area = self.height * self.width;
        // A grey picture has the same red, green and blue.
        let colour = |colour: usize, at: usize| bytes.get((colour % self.colours) * area + at).copied().unwrap_or(0);
        let interleaved = (0..area).flat_map(|at| [colour(0, at), colour(1, at), colour(2, at)]).collect();
        RgbImage::from_raw(self.width as u32, self.height as u32, interleaved)
    }
}

impl Examples {
    fn files(files: Vec<(PathBuf, u32)>) -> Self {
        let (paths, labels) = files.into_iter().unzip();
        Self { pictures: Pictures::Files(paths), labels }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The picture in this row.
    ///
    /// # Errors
    /// When there is no such row, or its file cannot be decoded; the message names it.
    pub fn picture(&self, row: usize) -> Result<RgbImage> {
        let none = || Error::Picture { name: format!("picture {row}"), fault: format!("there are {}", self.len()) };
        match &self.pictures {
            Pictures::Pixels { pixels, first } => pixels.picture(first + row).ok_or_else(none),
            Pictures::Files(paths) => picture::decode(paths.get(row).ok_or_else(none)?, &Limits::default()),
        }
    }

    /// The file of the picture in this row, where it has one of its own.
    pub fn path(&self, row: usize) -> Option<&Path> {
        match &self.pictures {
            Pictures::Pixels { .. } => None,
            Pictures::Files(paths) => paths.get(row).map(PathBuf::as_path),
        }
    }
}

/// Pictures in memory with their labels, as one file or several of a format give them.
struct Block {
    pixels: Pixels,
    labels: Vec<u32>,
}

impl Block {
    /// All of them as examples.
    fn whole(self) -> Examples {
        Examples { pictures: Pictures::Pixels { pixels: self.pixels.into(), first: 0 }, labels: self.labels }
    }

    /// All but the last share, and the last share.
    fn split(mut self, dev_share: f64) -> (Examples, Examples) {
        let count = self.labels.len();
        let first = count - ((count as f64 * dev_share) as usize).min(count);
        let (labels, pixels) = (self.labels.split_off(first), Arc::new(self.pixels));
        let pictures = |first: usize| Pictures::Pixels { pixels: Arc::clone(&pixels), first };
        (Examples { pictures: pictures(0), labels: self.labels }, Examples { pictures: pictures(first), labels })
    }
}

/// Reads the set in the folder `path`; the format is recognised by the names of its files.
///
/// Where a set brings no dev part, the share `dev_share` of its training part becomes one: the last of idx and CIFAR files,
/// those of a folder by a hash of their names.
///
/// # Errors
/// One line that names the file and the fault: a file that is missing, cut short or of another format, a label that is no
/// class, fewer than two classes, a class whose pictures cannot be read, folders that may be splits or classes.
pub fn load(path: &Path, dev_share: f64) -> Result<Labelled> {
    if !(0.0..1.0).contains(&dev_share) {
        return Err(Error::labelled(
            path,
            format!("the share of the dev split is {dev_share}; it lies between 0 and 1"),
        ));
    }
    if !std::fs::metadata(path).map_err(Error::io(path))?.is_dir() {
        let formats = "a folder a class, MNIST's idx files, or CIFAR's binary files";
        return Err(Error::labelled(path, format!("is not a folder; name one that holds {formats}")));
    }
    if let Some(found) = idx::load(path, dev_share)? {
        return Ok(found);
    }
    if let Some(found) = cifar::load(path, dev_share)? {
        return Ok(found);
    }
    folder::load(path, dev_share)
}

/// Checks that each label is one of so many classes.
fn check(path: &Path, labels: &[u32], classes: usize) -> Result<()> {
    match labels.iter().position(|&label| label as usize >= classes) {
        None => Ok(()),
        Some(at) => {
            let fault = format!("the label {} of picture {at} is none of the {classes} classes", labels[at]);
            Err(Error::labelled(path, fault))
        }
    }
}

#[cfg(test)]
mod tests;
