//! A folder with all that is below it: pictures, and what is passed over.

use crate::error::{Error, Result, shown};
use crate::picture::ENDINGS;
use std::path::{Path, PathBuf};

/// What systems put into folders by themselves, beside hidden files.
const JUNK: [&str; 5] = ["thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx"];

/// Pictures that cannot be read, by their endings.
const UNREADABLE: [&str; 17] = [
    "avif", "heic", "heif", "jp2", "j2k", "jxl", "tga", "svg", "psd", "exr", "hdr", "dng", "cr2", "nef", "arw", "jfif",
    "pcx",
];

/// How many of what was passed over are named.
const NAMED: usize = 5;

/// A folder: what lies in it, by name.
pub(crate) struct Tree {
    pub path: PathBuf,
    pub folders: Vec<Tree>,
    pictures: Vec<PathBuf>,
    /// Files that are no pictures, but for hidden ones and [`JUNK`].
    others: Vec<PathBuf>,
}

impl Tree {
    /// Reads a folder and all below it. Links are followed, but not into a folder that they lie in.
    ///
    /// # Errors
    /// When a folder cannot be read.
    pub fn read(path: &Path) -> Result<Self> {
        Self::read_below(path, &mut Vec::new())
    }

    fn read_below(path: &Path, above: &mut Vec<PathBuf>) -> Result<Self> {
        let mut tree = Self { path: path.to_path_buf(), folders: Vec::new(), pictures: Vec::new(), others: Vec::new() };
        let real = std::fs::canonicalize(path).map_err(Error::io(path))?;
        if above.contains(&real) {
            return Ok(tree);
        }
        above.push(real);
        let entries: std::io::Result<Vec<PathBuf>> =
            std::fs::read_dir(path).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
        let mut entries = entries.map_err(Error::io(path))?;
        entries.sort();
        for entry in entries {
            let name = file_name(&entry);
            match () {
                () if name.starts_with("._") || JUNK.contains(&name.to_lowercase().as_str()) => {}
                () if name.starts_with('.') => {
                    // A hidden picture is left out like any hidden file, but not in silence.
                    let picture = ENDINGS.contains(&ending(&entry).as_str());
                    tree.others.extend(picture.then_some(entry));
                }
                () if entry.is_dir() => tree.folders.push(Self::read_below(&entry, above)?),
                () if ENDINGS.contains(&ending(&entry).as_str()) && entry.is_file() => tree.pictures.push(entry),
                () => tree.others.push(entry),
            }
        }
        above.pop();
        Ok(tree)
    }

    pub fn name(&self) -> String {
        file_name(&self.path)
    }

    /// Whether there is a picture in it, at any depth.
    pub fn has_pictures(&self) -> bool {
        !self.pictures.is_empty() || self.folders.iter().any(Self::has_pictures)
    }

    /// Whether it is as a split's folder is: pictures in its folders and none beside them.
    pub fn holds_classes(&self) -> bool {
        self.pictures.is_empty() && self.has_pictures()
    }

    /// The files that lie in it and in none of its folders.
    pub fn loose(&self) -> impl Iterator<Item = PathBuf> {
        self.pictures.iter().chain(&self.others).cloned()
    }

    /// Adds what is passed over where its folders are classes: loose files, folders without pictures, files that are none.
    pub fn passed_over(&self, to: &mut Vec<PathBuf>) {
        to.extend(self.loose());
        for class in &self.folders {
            match class.has_pictures() {
                true => class.no_pictures(to),
                false => to.push(class.path.clone()),
            }
        }
    }

    fn no_pictures(&self, to: &mut Vec<PathBuf>) {
        to.extend(self.others.iter().cloned());
        self.folders.iter().for_each(|folder| folder.no_pictures(to));
    }

    /// The first picture below it of a kind that cannot be read.
    pub fn first_unreadable(&self) -> Option<&Path> {
        let own = self.others.iter().map(PathBuf::as_path).find(|path| UNREADABLE.contains(&ending(path).as_str()));
        own.or_else(|| self.folders.iter().find_map(Self::first_unreadable))
    }
}

/// Refuses what is no folder; `holds` says what it is to hold.
pub(crate) fn check_folder(path: &Path, holds: &str) -> Result<()> {
    match std::fs::metadata(path).map_err(Error::io(path))?.is_dir() {
        true => Ok(()),
        false => Err(Error::items(path, 0, format!("is not a folder; name one that holds {holds}"))),
    }
}

/// The pictures in a folder and all below it, by name.
pub(crate) fn all_pictures(tree: &Tree) -> Vec<PathBuf> {
    tree.pictures.iter().cloned().chain(tree.folders.iter().flat_map(all_pictures)).collect()
}

/// The files in a folder and all below it that are no pictures, by name.
pub(crate) fn all_others(tree: &Tree) -> Vec<PathBuf> {
    tree.others.iter().cloned().chain(tree.folders.iter().flat_map(all_others)).collect()
}

/// The first of these files by their names in the folder `root`.
pub(crate) fn named(root: &Path, paths: &[PathBuf]) -> String {
    let first: Vec<String> =
        paths.iter().take(NAMED).map(|path| shown(path.strip_prefix(root).unwrap_or(path))).collect();
    format!("{}{}", first.join(", "), if paths.len() > NAMED { ", …" } else { "" })
}

/// What a file below `root` is called in its set, on every machine alike: `train/a.jpg`.
pub(crate) fn name_below(root: &Path, path: &Path) -> String {
    let parts = path.strip_prefix(root).unwrap_or(path).iter();
    parts.map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/")
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn ending(path: &Path) -> String {
    path.extension().map(|ending| ending.to_string_lossy().to_lowercase()).unwrap_or_default()
}
