//! Photos with their captions, and what is asked of a set when it is loaded.

use crate::skipped::{DEFAULT_MAX_SHARE, Skipped};
use crate::split::{Split, share};
use std::path::PathBuf;

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
    /// Its captions as they were written; at least one, unless the set was loaded with pictures that nobody has told of.
    pub captions: Vec<String>,
}

/// The photos of a set, in the order of its files, and what was broken in them.
#[derive(Clone, Debug)]
pub struct CaptionSet {
    /// All photos of all splits.
    pub images: Vec<CaptionedImage>,
    /// The captions that were skipped; [`Skipped::report`] tells them.
    pub skipped: Skipped,
    /// What else is left out, a line for each kind: captions that their set rejects, pictures without captions.
    pub notes: Vec<String>,
}

impl CaptionSet {
    /// The photos of one split, in order.
    pub fn split(&self, split: Split) -> impl Iterator<Item = &CaptionedImage> {
        self.images.iter().filter(move |image| image.split == split)
    }

    /// A line for each kind of what is left out: [`CaptionSet::notes`], and the captions that were skipped since the last call.
    pub fn left_out(&self) -> Vec<String> {
        self.notes.iter().cloned().chain(self.skipped.report()).collect()
    }
}

/// What [`load`](super::load) cannot know from the files.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// The folder of the photos, where they are not beside the captions or in a folder that the format knows.
    pub images: Option<PathBuf>,
    /// The split of photos whose files name none; a COCO file's name tells it otherwise.
    pub split: Option<Split>,
    /// The share of photos without a split that becomes the dev split, chosen by a hash of the name.
    pub dev_share: f64,
    /// The share of captions that may be broken and skipped.
    pub max_share: f64,
    /// Whether every photo must be there as a file; without it only captions are read.
    pub need_files: bool,
    /// Whether a JSON file of pictures alone, such as COCO's `image_info_test2014.json`, is a fault; otherwise they are loaded without captions.
    pub need_captions: bool,
}

impl LoadOptions {
    /// The split of a photo of this name that is told by nothing else.
    pub(super) fn split_of(&self, name: &str) -> Split {
        let by_share = || if share(name) < self.dev_share { Split::Dev } else { Split::Train };
        self.split.unwrap_or_else(by_share)
    }
}

impl Default for LoadOptions {
    /// Photos found by themselves and needed, a tenth of a set without splits for dev, 1 % of broken captions.
    fn default() -> Self {
        Self {
            images: None,
            split: None,
            dev_share: 0.1,
            max_share: DEFAULT_MAX_SHARE,
            need_files: true,
            need_captions: true,
        }
    }
}
