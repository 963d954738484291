//! A folder a class, as torchvision's ImageFolder: classes in the order of their names.

use super::{Examples, Labelled};
use crate::captions::{Split, share};
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};

/// The pictures that [`crate::picture::decode`] reads.
const ENDINGS: [&str; 6] = ["jpg", "jpeg", "png", "webp", "bmp", "gif"];

/// The set in this folder.
pub(super) fn load(folder: &Path, dev_share: f64) -> Result<Labelled> {
    let parts: Vec<(Split, PathBuf)> = folders(folder)?
        .into_iter()
        .filter_map(|(name, path)| Split::parse(&name).map(|split| (split, path)))
        .collect();
    let of = |wanted: Split| parts.iter().find(|(split, _)| *split == wanted).map(|(_, path)| path.as_path());
    let root = of(Split::Train).unwrap_or(folder);
    let found = folders(root)?;
    let classes: Vec<String> = match of(Split::Train) {
        Some(_) => found.into_iter().map(|(name, _)| name).collect(),
        None => found.into_iter().map(|(name, _)| name).filter(|name| Split::parse(name).is_none()).collect(),
    };
    if classes.len() < 2 {
        let fault = format!("has {} classes; a set of pictures has a folder for each class", classes.len());
        return Err(Error::labelled(root, fault));
    }
    let all = pictures(root, &classes)?;
    if all.is_empty() {
        return Err(Error::labelled(root, "has no pictures (JPEG, PNG, WebP, BMP or GIF) in its classes' folders"));
    }
    let part = |split: Split| match of(split) {
        Some(path) => pictures(path, &classes).map(Some),
        None => Ok(None),
    };
    let (train, dev) = match part(Split::Dev)? {
        Some(dev) => (all, dev),
        None => all.into_iter().partition(|(path, _)| share(&name(root, path)) >= dev_share),
    };
    let test = part(Split::Test)?.unwrap_or_default();
    Ok(Labelled { classes, train: Examples::files(train), dev: Examples::files(dev), test: Examples::files(test) })
}

/// What the picture is called in its set, on every machine alike.
fn name(root: &Path, path: &Path) -> String {
    let parts = path.strip_prefix(root).unwrap_or(path).iter();
    parts.map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/")
}

/// The folders in a folder, by name; hidden ones are passed over.
fn folders(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
        let path = entry.map_err(Error::io(folder))?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if path.is_dir() && !name.starts_with('.') {
            found.push((name, path));
        }
    }
    found.sort();
    Ok(found)
}

/// The pictures in the classes' folders, by class and then by name.
fn pictures(root: &Path, classes: &[String]) -> Result<Vec<(PathBuf, u32)>> {
    for (name, path) in folders(root)? {
        if !classes.contains(&name) && Split::parse(&name).is_none() {
            return Err(Error::labelled(&path, "is a class that the train split does not have"));
        }
    }
    let mut found = Vec::new();
    for (label, class) in (0u32..).zip(classes) {
        let folder = root.join(class);
        if !folder.is_dir() {
            continue;
        }
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(Error::io(&folder))? {
            let path = entry.map_err(Error::io(&folder))?.path();
            let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase()).unwrap_or_default();
            if ENDINGS.contains(&ending.as_str()) && path.is_file() {
                paths.push(path);
            }
        }
        paths.sort();
        found.extend(paths.into_iter().map(|path| (path, label)));
    }
    Ok(found)
}
