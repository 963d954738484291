//! Photos with their captions, from the four formats that people have.
//!
//! - Flickr8k: a folder with a token file (`NAME.jpg#k<TAB>caption`) and split lists (Hodosh et al. 2013);
//! - Karpathy's `dataset_*.json`, which brings its own splits (Karpathy and Fei-Fei 2015);
//! - COCO's `captions_*.json` (Chen et al. 2015);
//! - a simple list: `[{"file_path": "a.jpg", "captions": ["…"], "split": "train"}]`, where the split may be left out.

mod flickr;
mod gathered;
mod json;
mod paths;
mod photo_folders;
mod set;

pub use crate::split::Split;
pub use set::{CaptionSet, CaptionedImage, ImageId, LoadOptions};

use crate::error::{Error, Result, shown};
use crate::skipped::Skipped;
use crate::text::utf8;
use gathered::{Gathered, named};
use paths::{name_of, names_in};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Reads the captions in the folder or file `path`; the format is recognised by content.
///
/// In a folder, a Flickr8k token file comes first, then `dataset*.json`, then `captions_*.json` (all of them, also in
/// `annotations/`), then the one `.json` file there is. Captions that are empty or not UTF-8 are skipped and named in
/// [`CaptionSet::skipped`].
///
/// # Errors
/// One line that names the file, the line where there is one, and the fault: files that cannot be read, wrong JSON, lines
/// that do not parse, photos without captions or without a file, a photo in two splits, too many broken captions.
pub fn load(path: &Path, options: &LoadOptions) -> Result<CaptionSet> {
    let about = std::fs::metadata(path).map_err(Error::io(path))?;
    let files = if about.is_dir() { files_of(path)? } else { vec![path.to_path_buf()] };
    let mut gathered = Gathered::default();
    for file in &files {
        let text = utf8::read(file)?;
        match text.iter().find(|byte| !byte.is_ascii_whitespace()) {
            None => return Err(Error::captions(file, "the file is empty")),
            Some(b'{' | b'[') => json::read(file, &text, options, &mut gathered)?,
            Some(_) => flickr::read(file, &text, options, &mut gathered)?,
        }
    }
    finish(path, options, gathered)
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
    Ok(CaptionSet { images: gathered.images, skipped })
}

/// The caption files in a folder.
fn files_of(folder: &Path) -> Result<Vec<PathBuf>> {
    let here = names_in(folder)?;
    let ending = |end: &'static str| here.iter().filter(move |name| name.ends_with(end)).map(|name| folder.join(name));
    for end in ["Flickr8k.token.txt", ".token.txt", ".token"] {
        let found: Vec<PathBuf> = ending(end).collect();
        match found.len() {
            0 => {}
            1 => return Ok(found),
            count => {
                let names: Vec<_> = found.iter().take(5).map(|file| name_of(file)).collect();
                let fault = format!("has {count} token files ({}); give the one with the captions", names.join(", "));
                return Err(Error::captions(folder, fault));
            }
        }
    }
    let mut json: Vec<PathBuf> = ending(".json").collect();
    let annotations = folder.join("annotations");
    if annotations.is_dir() {
        json.extend(names_in(&annotations)?.iter().filter(|n| n.ends_with(".json")).map(|n| annotations.join(n)));
    }
    for start in ["dataset", "captions_"] {
        let found: Vec<PathBuf> = json.iter().filter(|file| name_of(file).starts_with(start)).cloned().collect();
        if found.len() == 1 || (found.len() > 1 && start == "captions_") {
            return Ok(found);
        }
    }
    if json.len() == 1 {
        return Ok(json);
    }
    let fault = if json.is_empty() {
        "has neither Flickr8k.token.txt nor a JSON file with captions; give the folder or the file that has them"
            .to_string()
    } else {
        let names: Vec<_> = json.iter().take(5).map(|file| name_of(file)).collect();
        format!("has {} JSON files ({}); give the one with the captions", json.len(), names.join(", "))
    };
    Err(Error::captions(folder, fault))
}
