//! Pictures with a class each, from the formats that people have.
//!
//! - a folder a class, `train/CLASS/*.jpg` and `dev/CLASS/*.jpg` (or `val`), or `CLASS/*.jpg` alone, as torchvision's ImageFolder,
//!   which finds the pictures at any depth;
//! - MNIST's idx files, gzipped or not (LeCun et al. 1998), and those of its kin (Fashion-MNIST, KMNIST);
//! - CIFAR-10's and CIFAR-100's binary version (Krizhevsky 2009).

mod cifar;
mod folder;
mod idx;
mod set;

pub use set::{Examples, LabelledImages};

use crate::error::{Error, Result};
use std::path::Path;

/// Reads the set in the folder `path`; the format is recognised by the names of its files.
///
/// Where a set brings no dev part, the share `dev_share` of its training part becomes one: the last of idx and CIFAR files,
/// those of a folder by a hash of their names.
///
/// # Errors
/// One line that names the file and the fault: a file that is missing, cut short or of another format, a label that is no
/// class, fewer than two classes, a class whose pictures cannot be read, folders that may be splits or classes.
pub fn load(path: &Path, dev_share: f64) -> Result<LabelledImages> {
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

#[cfg(test)]
mod tests;
