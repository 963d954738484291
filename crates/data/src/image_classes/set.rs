//! Pictures and their labels, in files or in memory.

use crate::error::{Error, Result};
use crate::features::PhotoHash;
use crate::picture::{self, Limits};
use crate::skipped::Skipped;
use crate::split::Split;
use image::RgbImage;
use rayon::prelude::*;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A set of pictures with a class each, in its parts.
#[derive(Clone, Debug)]
pub struct LabelledImages {
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

impl LabelledImages {
    /// The part of this split.
    pub fn split(&self, split: Split) -> &Examples {
        match split {
            Split::Train => &self.train,
            Split::Dev => &self.dev,
            Split::Test => &self.test,
        }
    }
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
pub(super) struct Pixels {
    pub bytes: Vec<u8>,
    pub colours: usize,
    pub height: usize,
    pub width: usize,
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
    pub(super) fn files(files: Vec<(PathBuf, u32)>) -> Self {
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

    /// Those of the pictures that can be read and are of the size of the first that can, and a line that names the others.
    ///
    /// # Errors
    /// When the others are more than the share `max_share`; the message names the first.
    pub fn readable(&self, max_share: f64) -> Result<(Self, Option<String>)> {
        let Pictures::Files(paths) = &self.pictures else { return Ok((self.clone(), None)) };
        let skipped = Skipped::new("pictures", paths.len(), max_share);
        let sizes: Vec<Result<(u32, u32)>> =
            paths.par_iter().map(|path| Ok(picture::decode(path, &Limits::default())?.dimensions())).collect();
        let first = sizes.iter().find_map(|size| size.as_ref().ok()).copied();
        let mut kept = Vec::with_capacity(paths.len());
        for ((path, size), &label) in paths.iter().zip(sizes).zip(&self.labels) {
            let name = path.display().to_string();
            match (size, first) {
                (Ok(size), Some(wanted)) if size != wanted => {
                    let ((width, height), (across, down)) = (size, wanted);
                    skipped.record(&name, format!("is {height}×{width} pixels, the first one {down}×{across}"))?;
                }
                (Ok(_), _) => kept.push((path.clone(), label)),
                (Err(fault), _) => skipped.record(&name, fault)?,
            }
        }
        Ok((Self::files(kept), skipped.report()))
    }

    /// A hash of the pictures in these rows with their classes, in their order: by which a run is known again.
    ///
    /// # Errors
    /// When a file cannot be read; the message names it.
    pub fn hash(&self, rows: &[usize]) -> Result<PhotoHash> {
        let one = |&row: &usize| -> Result<String> {
            let hash = match self.path(row) {
                Some(path) => PhotoHash::of(&picture::read(path, Limits::default().max_bytes)?),
                None => PhotoHash::of(self.picture(row)?.as_raw()),
            };
            Ok(format!("{hash} {}", self.labels.get(row).copied().unwrap_or_default()))
        };
        let all: Vec<String> = rows.par_iter().map(one).collect::<Result<_>>()?;
        Ok(PhotoHash::of(all.join("\n").as_bytes()))
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
pub(super) struct Block {
    pub pixels: Pixels,
    pub labels: Vec<u32>,
}

impl Block {
    /// All of them as examples.
    pub fn whole(self) -> Examples {
        Examples { pictures: Pictures::Pixels { pixels: self.pixels.into(), first: 0 }, labels: self.labels }
    }

    /// All but the last share, and the last share.
    pub fn split(mut self, dev_share: f64) -> (Examples, Examples) {
        let count = self.labels.len();
        let first = count - ((count as f64 * dev_share) as usize).min(count);
        let (labels, pixels) = (self.labels.split_off(first), Arc::new(self.pixels));
        let pictures = |first: usize| Pictures::Pixels { pixels: Arc::clone(&pixels), first };
        (Examples { pictures: pictures(0), labels: self.labels }, Examples { pictures: pictures(first), labels })
    }
}

/// Checks that each label is one of so many classes.
pub(super) fn check(path: &Path, labels: &[u32], classes: usize) -> Result<()> {
    match labels.iter().position(|&label| label as usize >= classes) {
        None => Ok(()),
        Some(at) => {
            let fault = format!("the label {} of picture {at} is none of the {classes} classes", labels[at]);
            Err(Error::labelled(path, fault))
        }
    }
}
