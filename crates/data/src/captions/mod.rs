//! Photos with their captions, from the four formats that people have.
//!
//! - Flickr8k: a folder with a token file (`NAME.jpg#k<TAB>caption`) and split lists (Hodosh et al. 2013);
//! - Karpathy's `dataset_*.json`, which brings its own splits (Karpathy and Fei-Fei 2015);
//! - COCO's `captions_*.json` (Chen et al. 2015);
//! - a simple list: `[{"file_path": "a.jpg", "captions": ["…"], "split": "train"}]`, where the split may be left out.

mod flickr;
mod json;
mod roots;

use crate::error::{Error, Result, shown};
use crate::faults::{DEFAULT_MAX_SHARE, Faults};
use crate::text;
use sha2::{Digest as _, Sha256};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Which part of a set a photo belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// What the weights are fitted to.
    Train,
    /// What settings are chosen on; others call it `val`.
    Dev,
    /// What the result is measured on, once.
    Test,
}

impl Split {
    /// The split of this name: `train`, `restval`, `dev`, `val`, `valid`, `validation` or `test`.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "train" | "restval" => Some(Self::Train),
            "dev" | "val" | "valid" | "validation" => Some(Self::Dev),
            "test" => Some(Self::Test),
            _ => None,
        }
    }
}

impl std::fmt::Display for Split {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Train => "train",
            Self::Dev => "dev",
            Self::Test => "test",
        })
    }
}

/// What a photo is called in its set, as the set has it: "0004" is a text and not the number 4.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(untagged)]
pub enum ImageId {
    /// A number, as in COCO.
    Number(i64),
    /// A text, mostly the file's name.
    Text(String),
}

impl ImageId {
    /// The id as JSON writes it, a text in quotes.
    pub(crate) fn as_json(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => format!("{text:?}"),
        }
    }
}

impl std::fmt::Display for ImageId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

impl From<&str> for ImageId {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// One photo with all that people said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaptionedImage {
    /// What result files call it: COCO's number where there is one, otherwise the file's name as the set writes it.
    pub id: ImageId,
    /// Where the photo lies.
    pub path: PathBuf,
    /// Its part of the set.
    pub split: Split,
    /// Its captions as they were written; at least one.
    pub captions: Vec<String>,
}

/// The photos of a set, in the order of its files, and what was broken in them.
#[derive(Clone, Debug)]
pub struct CaptionSet {
    /// All photos of all splits.
    pub images: Vec<CaptionedImage>,
    /// The captions that were skipped; [`Faults::report`] tells them.
    pub faults: Faults,
}

impl CaptionSet {
    /// The photos of one split, in order.
    pub fn split(&self, split: Split) -> impl Iterator<Item = &CaptionedImage> {
        self.images.iter().filter(move |image| image.split == split)
    }
}

/// What [`load`] cannot know from the files.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// The folder of the photos, where they are not beside the captions or in a folder that the format knows.
    pub images: Option<PathBuf>,
    /// The split of entries that name none: all of a COCO file (otherwise its name tells), or of a simple list.
    pub split: Option<Split>,
    /// The share of a simple list's photos without a split that becomes the dev split, chosen by a hash of the name.
    pub dev_share: f64,
    /// The share of captions that may be broken and skipped.
    pub max_share: f64,
    /// Whether every photo must be there as a file; without it only captions are read.
    pub need_files: bool,
}

impl Default for LoadOptions {
    /// Photos found by themselves and needed, a tenth of a list without splits for dev, 1 % of broken captions.
    fn default() -> Self {
        Self { images: None, split: None, dev_share: 0.1, max_share: DEFAULT_MAX_SHARE, need_files: true }
    }
}

/// A number in [0, 1) that depends on the name alone.
pub(crate) fn share(name: &str) -> f64 {
    let hash = Sha256::digest(name.as_bytes());
    let first = hash.iter().take(4).fold(0u32, |sum, &byte| sum << 8 | u32::from(byte));
    f64::from(first) / (f64::from(u32::MAX) + 1.0)
}

/// Reads the captions in the folder or file `path`; the format is recognised by content.
///
/// In a folder, a Flickr8k token file comes first, then `dataset*.json`, then `captions_*.json` (all of them, also in
/// `annotations/`), then the one `.json` file there is. Captions that are empty or not UTF-8 are skipped and named in
/// [`CaptionSet::faults`].
///
/// # Errors
/// One line that names the file, the line where there is one, and the fault: files that cannot be read, wrong JSON, lines
/// that do not parse, photos without captions or without a file, a photo in two splits, too many broken captions.
pub fn load(path: &Path, options: &LoadOptions) -> Result<CaptionSet> {
    let about = std::fs::metadata(path).map_err(Error::io(path))?;
    let files = if about.is_dir() { files_of(path)? } else { vec![path.to_path_buf()] };
    let mut read = Read::default();
    for file in &files {
        let text = text::read(file)?;
        match text.iter().find(|byte| !byte.is_ascii_whitespace()) {
            None => return Err(Error::captions(file, "the file is empty")),
            Some(b'{' | b'[') => json::read(file, &text, options, &mut read)?,
            Some(_) => flickr::read(file, &text, options, &mut read)?,
        }
    }
    finish(path, options, read)
}

/// What the formats gather.
#[derive(Default)]
struct Read {
    images: Vec<CaptionedImage>,
    /// All captions met, broken ones included.
    captions: usize,
    broken: Vec<(String, &'static str)>,
    /// Photos that are named but not there.
    missing: Vec<String>,
    looked_in: Vec<PathBuf>,
}

impl Read {
    /// Takes a photo's captions in, but for the empty ones; a photo left with none is left out.
    fn add(&mut self, id: ImageId, path: PathBuf, split: Split, captions: Vec<String>) {
        self.captions += captions.len().max(1);
        if captions.is_empty() {
            self.broken.push((id.to_string(), "has no caption"));
        }
        let mut kept = Vec::with_capacity(captions.len());
        for (index, caption) in captions.into_iter().enumerate() {
            if caption.trim().is_empty() {
                self.broken.push((format!("{id}#{index}"), "the caption is empty"));
            } else {
                kept.push(caption);
            }
        }
        if !kept.is_empty() {
            self.images.push(CaptionedImage { id, path, split, captions: kept });
        }
    }
}

fn finish(path: &Path, options: &LoadOptions, read: Read) -> Result<CaptionSet> {
    if !read.missing.is_empty() {
        let folders: Vec<_> = read.looked_in.iter().map(|folder| shown(folder)).collect();
        let what = "put them there, name their folder, or take them out of the captions or the list";
        let looked = folders.join(", ");
        return Err(Error::captions(
            path,
            format!("{} have no file (looked in {looked}); {what}", named(&read.missing)),
        ));
    }
    let mut ids = HashSet::new();
    let twice: Vec<_> = read.images.iter().filter(|i| !ids.insert(&i.id)).map(|i| i.id.to_string()).collect();
    if !twice.is_empty() {
        return Err(Error::captions(
            path,
            format!("{} are there twice; each may come once, in one split", named(&twice)),
        ));
    }
    let faults = Faults::new("captions", read.captions, options.max_share);
    for (name, reason) in read.broken {
        faults.record(&name, reason)?;
    }
    if read.images.is_empty() {
        return Err(Error::captions(path, "has no photo with a caption"));
    }
    Ok(CaptionSet { images: read.images, faults })
}

/// How many there are, and the first few by name.
fn named(names: &[String]) -> String {
    let first: Vec<_> = names.iter().take(5).map(String::as_str).collect();
    let more = if names.len() > first.len() { ", …" } else { "" };
    format!("{} photos ({}{more})", names.len(), first.join(", "))
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

/// The names of a folder's entries that are UTF-8, sorted; hidden ones, as macOS puts beside each file, are none of the set's.
fn names_in(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
        let name = entry.map_err(Error::io(folder))?.file_name().into_string().ok();
        names.extend(name.filter(|name| !name.starts_with('.')));
    }
    names.sort_unstable();
    Ok(names)
}

fn name_of(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// The folder that a file lies in.
fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
