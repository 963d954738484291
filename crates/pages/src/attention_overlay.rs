//! Attention overlay: a picture for each word, warm where the network looked, and a sheet with all words of a caption.

use crate::attention_sheet::{Tile, sheet};
use crate::embedding::{jpeg, png};
use crate::heatmap::{HeatScale, Heatmap, overlay};
use crate::{Error, Result};
use image::RgbImage;
use image::imageops::{FilterType, resize, thumbnail};
use std::path::{Path, PathBuf};

/// The longest side of a drawn picture: smaller ones are enlarged to the first, larger ones reduced to the second.
const SMALLEST: u32 = 448;
const LARGEST: u32 = 1024;

/// A word of a caption.
#[derive(Clone, Copy, Debug)]
pub struct CaptionWord<'a> {
    /// The word.
    pub text: &'a str,
    /// Its probability; nothing where it is not known.
    pub probability: Option<f32>,
    /// Where the network looked; nothing where it has no attention.
    pub heatmap: Option<Heatmap<'a>>,
}

/// Writes a picture per word, `00-a.png`, `01-red.png` …, and `caption.svg` with all of them, into a folder that it makes.
///
/// All pictures have one scale of heat. Returns the path of the sheet; without any heatmap it is the picture and the sentence.
///
/// # Errors
/// When the folder has such files of another program, or a file cannot be written; the message names it.
pub fn write_attention(
    folder: &Path,
    picture: &RgbImage,
    sentence: &str,
    words: &[CaptionWord<'_>],
) -> Result<PathBuf> {
    std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
    clear(folder)?;
    let path = folder.join(SHEET);
    // The mark comes first: a program that is killed in between finds its own words again.
    let unfinished = folder.join(".caption.svg.unfinished");
    let written = |text: String| {
        let renamed = std::fs::write(&unfinished, text).and_then(|()| std::fs::rename(&unfinished, &path));
        renamed.map_err(Error::io(&path))
    };
    let picture = fitted(picture);
    let maps: Vec<Heatmap<'_>> = words.iter().filter_map(|word| word.heatmap).collect();
    let scale = HeatScale::of(maps.iter().copied());
    let mut tiles = vec![Tile { word: None, jpeg: jpeg(&picture)? }];
    let hottest = maps.iter().map(|map| scale.hottest_of(map.weights.len())).reduce(f32::max);
    written(sheet(sentence, &tiles, &picture, None))?;
    for (index, word) in words.iter().enumerate() {
        let Some(heatmap) = word.heatmap else { continue };
        let drawn = overlay(&picture, heatmap, scale);
        let path = folder.join(format!("{index:02}-{}.png", file_name(word.text)));
        std::fs::write(&path, png(&drawn)?).map_err(Error::io(&path))?;
        tiles.push(Tile { word: Some(*word), jpeg: jpeg(&drawn)? });
    }
    written(sheet(sentence, &tiles, &picture, hottest))?;
    Ok(path)
}

/// Removes the words of an earlier caption, `00-a.png`, `01-dog.png` and so on, from a folder whose sheet this program has drawn.
///
/// # Errors
/// When the folder is another's and holds such names.
fn clear(folder: &Path) -> Result<()> {
    let sheet = folder.join(SHEET);
    let ours =
        std::fs::read(&sheet).is_ok_and(|text| text.windows(MARK.len()).take(400).any(|part| part == MARK.as_bytes()));
    for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
        let path = entry.map_err(Error::io(folder))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let drawn = name.split_once('-').filter(|(number, word)| number.len() >= 2 && word.ends_with(".png"));
        let drawn = drawn.is_some_and(|(number, _)| number.bytes().all(|digit| digit.is_ascii_digit()));
        match (drawn, ours) {
            (true, true) => std::fs::remove_file(&path).map_err(Error::io(&path))?,
            (_, false) if drawn || name == SHEET => return Err(Error::Foreign(path)),
            _ => {}
        }
    }
    Ok(())
}

/// The sheet of all words, and what tells that this program has drawn it.
const SHEET: &str = "caption.svg";
pub(crate) const MARK: &str = "<!-- candlewick attention -->";

/// A picture that is neither too small to see anything in it nor as large as a camera's.
pub(crate) fn fitted(picture: &RgbImage) -> RgbImage {
    let longest = picture.width().max(picture.height()).max(1);
    let wanted = longest.clamp(SMALLEST, LARGEST);
    let side = |side: u32| (u64::from(side) * u64::from(wanted)).div_ceil(u64::from(longest)).max(1) as u32;
    let (width, height) = (side(picture.width()), side(picture.height()));
    match wanted.cmp(&longest) {
        std::cmp::Ordering::Less => thumbnail(picture, width, height),
        std::cmp::Ordering::Equal => picture.clone(),
        std::cmp::Ordering::Greater => resize(picture, width, height, FilterType::Triangle),
    }
}

fn file_name(word: &str) -> String {
    // A sentence without spaces is one word, and longer than a file's name may be.
    word.chars().take(40).map(|c| if c.is_alphanumeric() { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_the_words_of_an_earlier_caption_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["dog.png", "1-dog.png", "00-a.txt"] {
            std::fs::write(path(name), "").unwrap();
        }
        clear(folder.path()).unwrap();
        for name in ["00-a.png", "11-dog.png", "caption.svg"] {
            std::fs::write(path(name), "").unwrap();
            let fault = clear(folder.path()).unwrap_err().to_string();
            assert!(fault.contains("choose another folder") && path(name).exists(), "{fault}");
        }
        std::fs::write(path("caption.svg"), sheet("a dog", &[], &RgbImage::new(1, 1), None)).unwrap();
        clear(folder.path()).unwrap();
        let names =
            std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut left: Vec<String> = names.collect();
        left.sort();
        assert_eq!(left, ["00-a.txt", "1-dog.png", "caption.svg", "dog.png"]);
    }

    #[test]
    fn every_word_that_looked_has_a_file_and_a_tile() {
        let folder = tempfile::tempdir().unwrap();
        let weights = [0.2, 0.8];
        let heatmap = Some(Heatmap { height: 1, width: 2, weights: &weights, peak: (0.75, 0.5) });
        let words = [
            CaptionWord { text: "a/b", probability: Some(0.876), heatmap },
            CaptionWord { text: "<", probability: None, heatmap: None },
            CaptionWord { text: "the", probability: Some(0.5), heatmap },
        ];
        let sheet = write_attention(&folder.path().join("new"), &RgbImage::new(30, 20), "a/b < the", &words).unwrap();
        let text = std::fs::read_to_string(&sheet).unwrap();
        assert!(text.contains(">a/b &lt; the</text>") && text.matches("<image").count() == 3, "{text}");
        assert!(text.contains(">0.88</") && text.contains(">0.50</"), "{text}");
        for name in ["00-a_b.png", "02-the.png"] {
            let drawn = image::open(sheet.with_file_name(name)).unwrap();
            assert_eq!((drawn.width(), drawn.height()), (448, 299), "{name}");
        }
    }

    #[test]
    fn pictures_are_enlarged_or_reduced_in_their_form() {
        for (size, wanted) in
            [((64, 64), (448, 448)), ((5000, 2500), (1024, 512)), ((600, 3), (600, 3)), ((1, 9000), (1, 1024))]
        {
            assert_eq!(fitted(&RgbImage::new(size.0, size.1)).dimensions(), wanted, "{size:?}");
        }
    }
}
