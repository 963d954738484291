//! Attention overlay: a picture for each word, bright where the network looked, and a sheet with all words of a caption.

use crate::embedding::{escaped, png, png_url};
use crate::{Error, Result};
use image::imageops::{FilterType, resize};
use image::{GrayImage, Luma, Rgb, RgbImage};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The shortest side of a drawn picture; smaller ones are enlarged to it.
const SIDE: u32 = 224;

/// Attention weights over the positions of a picture, row after row.
#[derive(Clone, Copy, Debug)]
pub struct Heatmap<'a> {
    /// Rows of positions.
    pub height: usize,
    /// Columns of positions.
    pub width: usize,
    /// The weights, `height` × `width`.
    pub weights: &'a [f32],
}

/// A word of a caption.
#[derive(Clone, Copy, Debug)]
pub struct CaptionWord<'a> {
    /// The word.
    pub text: &'a str,
    /// Where the network looked; nothing where it has no attention.
    pub heatmap: Option<Heatmap<'a>>,
}

/// The picture where the network looked, and dim elsewhere: brightness follows the weight, the largest being full.
///
/// The map's positions are spread over the whole picture, so `picture` is the part that the encoder saw.
pub fn overlay(picture: &RgbImage, heatmap: Heatmap<'_>) -> RgbImage {
    let picture = enlarged(picture);
    let largest = heatmap.weights.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
    let share =
        |x: u32, y: u32| heatmap.weights.get(y as usize * heatmap.width + x as usize).map_or(0.0, |w| w / largest);
    let (columns, rows) = (heatmap.width.max(1) as u32, heatmap.height.max(1) as u32);
    let small = GrayImage::from_fn(columns, rows, |x, y| Luma([(255.0 * share(x, y)).round() as u8]));
    let light = resize(&small, picture.width(), picture.height(), FilterType::CatmullRom);
    RgbImage::from_fn(picture.width(), picture.height(), |x, y| {
        let factor = 0.25 + 0.75 * f32::from(light.get_pixel(x, y).0[0]) / 255.0;
        Rgb(picture.get_pixel(x, y).0.map(|value| (f32::from(value) * factor).round() as u8))
    })
}

/// Writes a picture per word, `00-a.png`, `01-red.png` …, and `caption.svg` with all of them, into a folder that it makes.
///
/// Returns the path of the sheet. Without any heatmap the sheet is the picture and the sentence.
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
    let picture = enlarged(picture);
    written(sheet(sentence, &[], &picture))?;
    let mut tiles = vec![Tile { word: "", png: png(&picture)? }];
    for (index, word) in words.iter().enumerate() {
        let Some(heatmap) = word.heatmap else { continue };
        let tile = Tile { word: word.text, png: png(&overlay(&picture, heatmap))? };
        let path = folder.join(format!("{index:02}-{}.png", file_name(word.text)));
        std::fs::write(&path, &tile.png).map_err(Error::io(&path))?;
        tiles.push(tile);
    }
    written(sheet(sentence, &tiles, &picture))?;
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
const MARK: &str = "<!-- candlewick attention -->";

/// A picture of the sheet, and the word below it.
struct Tile<'a> {
    word: &'a str,
    png: Vec<u8>,
}

/// Tiles of the picture's form in rows, and the sentence on top.
fn sheet(sentence: &str, tiles: &[Tile<'_>], picture: &RgbImage) -> String {
    const GAP: u32 = 12;
    const LINE: u32 = 30;
    let columns = (tiles.len() as u32).clamp(1, 6);
    let rows = (tiles.len() as u32).div_ceil(columns);
    let tile_height = (SIDE * picture.height()).div_ceil(picture.width().max(1));
    let (width, height) = (columns * (SIDE + GAP) + GAP, rows * (tile_height + LINE + GAP) + LINE + 2 * GAP);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"sans-serif\">{MARK}\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"{GAP}\" y=\"{LINE}\" font-size=\"22\" fill=\"#111111\">{}</text>\n",
        escaped(sentence),
    );
    for (index, tile) in tiles.iter().enumerate() {
        let (column, row) = (index as u32 % columns, index as u32 / columns);
        let (x, y) = (GAP + column * (SIDE + GAP), LINE + 2 * GAP + row * (tile_height + LINE + GAP));
        let (middle, below) = (x + SIDE / 2, y + tile_height + 22);
        // Writing to a string cannot fail.
        let _ = writeln!(
            svg,
            "<image x=\"{x}\" y=\"{y}\" width=\"{SIDE}\" height=\"{tile_height}\" href=\"{}\"/>\n\
             <text x=\"{middle}\" y=\"{below}\" font-size=\"18\" text-anchor=\"middle\" fill=\"#333333\">{}</text>",
            png_url(&tile.png),
            escaped(tile.word)
        );
    }
    svg + "</svg>\n"
}

fn enlarged(picture: &RgbImage) -> RgbImage {
    let shortest = picture.width().min(picture.height()).max(1);
    if shortest >= SIDE {
        return picture.clone();
    }
    let scaled = |side: u32| (side * SIDE).div_ceil(shortest);
    resize(picture, scaled(picture.width()), scaled(picture.height()), FilterType::Triangle)
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
        std::fs::write(path("caption.svg"), sheet("a dog", &[], &RgbImage::new(1, 1))).unwrap();
        clear(folder.path()).unwrap();
        let names =
            std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut left: Vec<String> = names.collect();
        left.sort();
        assert_eq!(left, ["00-a.txt", "1-dog.png", "caption.svg", "dog.png"]);
    }

    #[test]
    fn the_picture_is_bright_where_the_weight_is_large() {
        let white = RgbImage::from_pixel(300, 300, Rgb([200; 3]));
        let heatmap = Heatmap { height: 1, width: 2, weights: &[0.2, 0.8] };
        let seen = overlay(&white, heatmap);
        assert_eq!(seen.get_pixel(299, 150).0, [200; 3]);
        assert!(seen.get_pixel(0, 150).0[0] < 100);
        let folder = tempfile::tempdir().unwrap();
        let words = [CaptionWord { text: "a/b", heatmap: Some(heatmap) }, CaptionWord { text: "<", heatmap: None }];
        let sheet = write_attention(&folder.path().join("new"), &white, "a/b <", &words).unwrap();
        let text = std::fs::read_to_string(&sheet).unwrap();
        assert!(text.contains("a/b &lt;</text>") && text.matches("<image").count() == 2);
        assert!(sheet.with_file_name("00-a_b.png").is_file());
    }
}
