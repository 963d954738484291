//! Hugging Face's imagefolder: `metadata.jsonl` or `metadata.csv` with a `file_name` and the text in a line each, beside the pictures or
//! above them; folders called train, validation and test are the splits.

use super::gathered::{Gathered, first_of};
use super::metadata::{self, Row};
use super::paths::{folder_of, folders_in};
use super::set::{ImageId, LoadOptions};
use crate::error::{Error, Result};
use crate::split::Split;
use crate::tree::{Tree, all_pictures, name_below};
use std::collections::{HashMap, HashSet};
use std::path::{Component, Path, PathBuf};

/// The names that the file has, and one that cannot be read.
const NAMES: [&str; 2] = ["metadata.jsonl", "metadata.csv"];
const PARQUET: &str = "metadata.parquet";

/// How deep below a set's folder its files may lie: `data/train/metadata.csv`.
const DEEPEST: usize = 2;

/// Whether this file is read as lines of a table.
pub(super) fn is_metadata(file: &Path) -> bool {
    let ending = file.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    ending.is_some_and(|ending| matches!(ending.as_str(), "jsonl" | "csv"))
}

/// The file in this folder, if there is one.
///
/// # Errors
/// When there are two, or it is one that cannot be read.
pub(super) fn file_in(folder: &Path) -> Result<Option<PathBuf>> {
    let found: Vec<PathBuf> = NAMES.map(|name| folder.join(name)).into_iter().filter(|file| file.is_file()).collect();
    match found.as_slice() {
        [] if folder.join(PARQUET).is_file() => {
            let what = "is Parquet, which is not read; save it as metadata.jsonl or metadata.csv";
            Err(Error::captions(&folder.join(PARQUET), what))
        }
        [] => Ok(None),
        [one] => Ok(Some(one.clone())),
        _ => Err(Error::captions(folder, format!("has {}; keep one", NAMES.join(" and ")))),
    }
}

/// The files in the folders below this one.
///
/// # Errors
/// As [`file_in`] says, and when a folder cannot be read.
pub(super) fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    fn walk(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<()> {
        for below in folders_in(folder)? {
            found.extend(file_in(&below)?);
            if depth < DEEPEST {
                walk(&below, depth + 1, found)?;
            }
        }
        Ok(())
    }
    let mut found = Vec::new();
    walk(folder, 1, &mut found)?;
    Ok(found)
}

/// Reads the files of the set in the folder `root`.
///
/// # Errors
/// With the file and the line that is wrong.
pub(super) fn read(root: &Path, files: &[PathBuf], options: &LoadOptions, gathered: &mut Gathered) -> Result<()> {
    let mut used = HashSet::new();
    for file in files {
        let table = metadata::read(file)?;
        gathered.notes.extend(table.note);
        let (mut pictures, mut places) = (Vec::new(), HashMap::new());
        for row in table.rows {
            // Several lines may tell of one picture.
            let place = *places.entry(row.file_name.clone()).or_insert_with(|| {
                pictures.push(Picture::of(&row));
                pictures.len() - 1
            });
            if let Some(picture) = pictures.get_mut(place) {
                picture.take(file, row)?;
            }
        }
        for picture in pictures {
            let path = path_of(file, &picture.file_name, options, gathered);
            let name = name_below(root, &folder_of(file).join(&picture.file_name));
            let split = picture.split.or_else(|| split_in(&name)).unwrap_or_else(|| options.split_of(&name));
            used.insert(plain(&path));
            gathered.add(ImageId::Text(name), path, split, picture.captions);
        }
    }
    if options.need_files && options.images.is_none() {
        let all = all_pictures(&Tree::read(root)?);
        let unused: Vec<String> =
            all.iter().filter(|path| !used.contains(&plain(path))).map(|path| name_below(root, path)).collect();
        if !unused.is_empty() {
            let note = format!("left out {} pictures without a line in a metadata file: ", unused.len());
            gathered.notes.push(note + &first_of(&unused));
        }
    }
    Ok(())
}

/// A picture with what all its lines say.
struct Picture {
    file_name: String,
    split: Option<Split>,
    captions: Vec<String>,
}

impl Picture {
    fn of(row: &Row) -> Self {
        Self { file_name: row.file_name.clone(), split: row.split, captions: Vec::new() }
    }

    fn take(&mut self, file: &Path, row: Row) -> Result<()> {
        if row.split != self.split {
            let fault = format!("line {}: {} is in another split above; it may be in one", row.line, row.file_name);
            return Err(Error::captions(file, fault));
        }
        self.captions.extend(row.captions);
        Ok(())
    }
}

/// The split that the first of a name's folders to be called so tells.
pub(super) fn split_in(name: &str) -> Option<Split> {
    let folders = name.rsplit_once('/')?.0;
    folders.split('/').find_map(Split::of_folder)
}

fn path_of(file: &Path, name: &str, options: &LoadOptions, gathered: &mut Gathered) -> PathBuf {
    let folder = options.images.as_deref().unwrap_or_else(|| folder_of(file));
    let path = folder.join(name);
    if options.need_files && !path.is_file() {
        gathered.missing.push(name.to_owned());
        gathered.looked_in = vec![folder.to_path_buf()];
    }
    path
}

/// The path without the parts that lead nowhere: `a/./b` is `a/b`.
fn plain(path: &Path) -> PathBuf {
    path.components().filter(|part| *part != Component::CurDir).collect()
}
