//! Photos with their captions, from the formats that people have.
//!
//! - Flickr8k: a folder with a token file (`NAME.jpg#k<TAB>caption`) and split lists (Hodosh et al. 2013);
//! - Karpathy's `dataset_*.json`, which brings its own splits (Karpathy and Fei-Fei 2015);
//! - COCO's `captions_*.json` (Chen et al. 2015), and VizWiz's `train.json` and `val.json`, without the captions that it rejects or that are
//!   its form's own (Gurari et al. 2020);
//! - Hugging Face's imagefolder: `metadata.jsonl` or `metadata.csv` with a `file_name` and `text`, `caption` or `captions`, splits as folders;
//! - a folder of pictures, each with a `.txt` of the same name beside it, a caption a line;
//! - a simple list: `[{"file_path": "a.jpg", "captions": ["…"], "split": "train"}]`, where the split may be left out.

mod beside;
mod flickr;
mod gathered;
mod image_folder;
mod json;
mod metadata;
mod paths;
mod photo_folders;
mod set;

pub use crate::split::Split;
pub use set::{CaptionSet, CaptionedImage, ImageId, LoadOptions};

use crate::error::{Error, Result, shown};
use crate::skipped::Skipped;
use crate::text::utf8;
use gathered::{Gathered, named};
use paths::{folder_of, name_of, names_in};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Reads the captions in the folder or file `path`; the format is recognised by content.
///
/// In a folder, a Flickr8k token file comes first, then `metadata.jsonl` or `metadata.csv`, then `dataset*.json`, then
/// `captions_*.json` (all of them, also in `annotations/`), then VizWiz's `train.json`, `val.json` and `test.json`, then the one `.json`
/// file there is, then metadata in the folders below, then pictures with texts beside them. Captions that are empty or not UTF-8 are skipped
/// and named in [`CaptionSet::skipped`]; what else is left out is in [`CaptionSet::notes`].
///
/// # Errors
/// One line that names the file, the line where there is one, and the fault: files that cannot be read, wrong JSON or CSV, lines
/// that do not parse, photos without captions or without a file, a photo in two splits, too many broken captions.
pub fn load(path: &Path, options: &LoadOptions) -> Result<CaptionSet> {
    let about = std::fs::metadata(path).map_err(Error::io(path))?;
    let found = match () {
        () if about.is_dir() => files_of(path)?,
        () if image_folder::is_metadata(path) => Found::Metadata(vec![path.to_path_buf()]),
        () => Found::Captions(vec![path.to_path_buf()]),
    };
    let mut gathered = Gathered::default();
    match found {
        Found::Captions(files) => {
            files.iter().try_for_each(|file| read(file, files.len() > 1, options, &mut gathered))?
        }
        Found::Metadata(files) => {
            let root = if about.is_dir() { path } else { folder_of(path) };
            image_folder::read(root, &files, options, &mut gathered)?;
        }
        Found::Texts => beside::read(path, options, &mut gathered)?,
    }
    finish(path, options, gathered)
}

/// What holds a set's captions.
enum Found {
    /// Flickr8k's token file or JSON.
    Captions(Vec<PathBuf>),
    /// An imagefolder's tables.
    Metadata(Vec<PathBuf>),
    /// Texts beside the pictures.
    Texts,
}

/// Reads one of Flickr8k's or the JSON formats' files, of `several` perhaps.
fn read(file: &Path, several: bool, options: &LoadOptions, gathered: &mut Gathered) -> Result<()> {
    let text = utf8::read(file)?;
    match text.iter().find(|byte| !byte.is_ascii_whitespace()) {
        None => Err(Error::captions(file, "the file is empty")),
        Some(b'{' | b'[') => json::read(file, &text, several, options, gathered),
        Some(_) => flickr::read(file, &text, options, gathered),
    }
}

fn finish(path: &Path, options: &LoadOptions, gathered: Gathered) -> Result<CaptionSet> {
    if !gathered.missing.is_empty() {
        let folders: Vec<_> = gathered.looked_in.iter().map(|folder| shown(folder)).collect();
        let what = "put them there, name their folder, or take them out of the captions or the list";
        let looked = folders.join(", ");
        return Err(Error::captions(
            path,
            format!("{} have no file (looked in {looked}); {what}", named(&gathered.missing)),
        ));
    }
    let mut ids = HashSet::new();
    let twice: Vec<_> = gathered.images.iter().filter(|i| !ids.insert(&i.id)).map(|i| i.id.to_string()).collect();
    if !twice.is_empty() {
        return Err(Error::captions(
            path,
            format!("{} are there twice; each may come once, in one split", named(&twice)),
        ));
    }
    let skipped = Skipped::new("captions", gathered.captions, options.max_share);
    for (name, reason) in gathered.broken {
        skipped.record(&name, reason)?;
    }
    if gathered.images.is_empty() {
        return Err(Error::captions(path, "has no photo with a caption"));
    }
    Ok(CaptionSet { images: gathered.images, skipped, notes: gathered.notes })
}

/// JSON files that Hugging Face's `datasets` keeps beside its data.
const NO_CAPTIONS: [&str; 2] = ["dataset_infos.json", "dataset_dict.json"];

/// VizWiz's files.
const VIZWIZ: [&str; 3] = ["train.json", "val.json", "test.json"];

/// What holds the captions of a folder's pictures.
fn files_of(folder: &Path) -> Result<Found> {
    let here = names_in(folder)?;
    let ending = |end: &'static str| here.iter().filter(move |name| name.ends_with(end)).map(|name| folder.join(name));
    for end in ["Flickr8k.token.txt", ".token.txt", ".token"] {
        let found: Vec<PathBuf> = ending(end).collect();
        match found.len() {
            0 => {}
            1 => return Ok(Found::Captions(found)),
            count => {
                let fault = format!("has {count} token files ({}); give the one with the captions", names_of(&found));
                return Err(Error::captions(folder, fault));
            }
        }
    }
    if let Some(file) = image_folder::file_in(folder)? {
        return Ok(Found::Metadata(vec![file]));
    }
    let mut json: Vec<PathBuf> = ending(".json").filter(|file| !NO_CAPTIONS.contains(&name_of(file))).collect();
    let annotations = folder.join("annotations");
    if annotations.is_dir() {
        json.extend(names_in(&annotations)?.iter().filter(|n| n.ends_with(".json")).map(|n| annotations.join(n)));
    }
    if let Some(found) = chosen(&json) {
        return Ok(Found::Captions(found));
    }
    if !json.is_empty() {
        let fault = format!("has {} JSON files ({}); give the one with the captions", json.len(), names_of(&json));
        return Err(Error::captions(folder, fault));
    }
    let metadata = image_folder::files_below(folder)?;
    if !metadata.is_empty() {
        return Ok(Found::Metadata(metadata));
    }
    if beside::has_texts(folder)? {
        return Ok(Found::Texts);
    }
    let formats = "neither Flickr8k.token.txt nor a JSON file with captions, no metadata.jsonl or metadata.csv, and no pictures with a .txt \
                   of their name beside them";
    Err(Error::captions(folder, format!("has {formats}; give the folder or the file that has the captions")))
}

/// Those of a folder's JSON files that hold the captions; nothing where that cannot be told.
fn chosen(json: &[PathBuf]) -> Option<Vec<PathBuf>> {
    let called = |wanted: &dyn Fn(&str) -> bool| -> Vec<PathBuf> {
        json.iter().filter(|file| wanted(name_of(file))).cloned().collect()
    };
    let karpathy = called(&|name| name.starts_with("dataset"));
    let coco = called(&|name| name.starts_with("captions_"));
    let vizwiz = called(&|name| VIZWIZ.contains(&name));
    match () {
        () if karpathy.len() == 1 => Some(karpathy),
        () if !coco.is_empty() => Some(coco),
        () if !vizwiz.is_empty() && vizwiz.len() == json.len() => Some(vizwiz),
        () if json.len() == 1 => Some(json.to_vec()),
        () => None,
    }
}

/// The names of the first of these files.
fn names_of(files: &[PathBuf]) -> String {
    let names: Vec<_> = files.iter().take(5).map(|file| name_of(file)).collect();
    names.join(", ")
}
