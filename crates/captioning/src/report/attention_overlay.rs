//! Attention overlay of a caption: a picture for each word, and a sheet with all of them.

use crate::Result;
use crate::caption::{Caption, Word};
use candlewick_pages::{CaptionWord, Heatmap};
use image::RgbImage;
use std::path::{Path, PathBuf};

/// Draws where the network looked for each word of a caption, with the word's probability, as [`candlewick_pages::write_attention`] says.
///
/// The maps' positions are spread over the whole picture, so `picture` is the part that the encoder saw.
///
/// # Errors
/// When a file cannot be written; the message names it.
pub fn write_attention(folder: &Path, picture: &RgbImage, caption: &Caption) -> Result<PathBuf> {
    let words: Vec<CaptionWord<'_>> = caption.words.iter().map(drawn).collect();
    Ok(candlewick_pages::write_attention(folder, picture, &caption.text, &words)?)
}

fn drawn(word: &Word) -> CaptionWord<'_> {
    let map = word.attention.as_ref();
    let heatmap =
        map.map(|map| Heatmap { height: map.height, width: map.width, weights: &map.weights, peak: map.peak() });
    CaptionWord { text: &word.text, probability: Some(word.log_probability.exp()), heatmap }
}
