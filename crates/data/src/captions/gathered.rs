//! What the formats gather from their files: photos, and what is wrong with them.

use super::set::{CaptionedImage, ImageId};
use crate::split::Split;
use std::path::PathBuf;

/// What the formats gather.
#[derive(Default)]
pub(super) struct Gathered {
    pub images: Vec<CaptionedImage>,
    /// All captions met, broken ones included.
    pub captions: usize,
    pub broken: Vec<(String, &'static str)>,
    /// Photos that are named but not there.
    pub missing: Vec<String>,
    pub looked_in: Vec<PathBuf>,
    /// What is left out and no fault, a line for each kind.
    pub notes: Vec<String>,
}

impl Gathered {
    /// Takes a photo's captions in, but for the empty ones; a photo left with none is left out.
    pub fn add(&mut self, id: ImageId, path: PathBuf, split: Split, captions: Vec<String>) {
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

/// How many photos there are, and the first few by name.
pub(super) fn named(names: &[String]) -> String {
    format!("{} photos ({})", names.len(), first_of(names))
}

/// The first few of these names.
pub(super) fn first_of(names: &[String]) -> String {
    let first: Vec<_> = names.iter().take(5).map(String::as_str).collect();
    format!("{}{}", first.join(", "), if names.len() > first.len() { ", …" } else { "" })
}
