//! Pictures of what a captioner looked at: one per word, and a sheet with all words of a caption.

use crate::captioner::{AttentionMap, Caption};
use crate::{Error, Result};
use base64::Engine as _;
use image::imageops::{FilterType, resize, thumbnail};
use image::{GrayImage, ImageFormat, Luma, Rgb, RgbImage};
use std::fmt::Write as _;
use std::io::Cursor;
use std::path::{Path, PathBuf};

/// The longest side of a picture in a page.
const LARGEST: u32 = 640;

/// The shortest side of a drawn picture; smaller ones are enlarged to it.
const SIDE: u32 = 224;

/// The picture where the network looked, and dim elsewhere: brightness follows the weight, the largest being full.
///
/// The map's positions are spread over the whole picture, so `picture` is the part that the encoder saw.
pub fn overlay(picture: &RgbImage, attention: &AttentionMap) -> RgbImage {
    let picture = enlarged(picture);
    let largest = attention.weights.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
    let share =
        |x: u32, y: u32| attention.weights.get(y as usize * attention.width + x as usize).map_or(0.0, |w| w / largest);
    let (columns, rows) = (attention.width.max(1) as u32, attention.height.max(1) as u32);
    let small = GrayImage::from_fn(columns, rows, |x, y| Luma([(255.0 * share(x, y)).round() as u8]));
    let light = resize(&small, picture.width(), picture.height(), FilterType::CatmullRom);
    RgbImage::from_fn(picture.width(), picture.height(), |x, y| {
        let factor = 0.25 + 0.75 * f32::from(light.get_pixel(x, y).0[0]) / 255.0;
        Rgb(picture.get_pixel(x, y).0.map(|value| (f32::from(value) * factor).round() as u8))
    })
}

/// Writes a picture per word, `00-a.png`, `01-red.png` …, and `caption.svg` with all of them, into a folder that it makes.
///
/// Returns the path of the sheet. A captioner without attention has looked at nothing: the sheet is the picture and the sentence.
///
/// # Errors
/// When a file cannot be written; the message names it.
pub fn write_attention(folder: &Path, picture: &RgbImage, caption: &Caption) -> Result<PathBuf> {
    std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
    clear(folder)?;
    let path = folder.join(SHEET);
    // The mark comes first: a program that is killed in between finds its own words again.
    let unfinished = folder.join(".caption.svg.unfinished");
    let written = |text: String| {
        let renamed = std::fs::write(&unfinished, text).and_then(|()| std::fs::rename(&unfinished, &path));
        renamed.map_err(Error::io(&path))
    };
    written(sheet(&caption.text, &[], (1, 1)))?;
    let mut tiles = vec![("".to_owned(), png(&enlarged(picture))?)];
    for (index, word) in caption.words.iter().enumerate() {
        let Some(attention) = &word.attention else { continue };
        let bytes = png(&overlay(picture, attention))?;
        let path = folder.join(format!("{index:02}-{}.png", file_name(&word.text)));
        std::fs::write(&path, &bytes).map_err(Error::io(&path))?;
        tiles.push((word.text.clone(), bytes));
    }
    let size = enlarged(picture).dimensions();
    written(sheet(&caption.text, &tiles, size))?;
    Ok(path)
}

/// Removes the words of an earlier caption, `00-a.png`, `01-dog.png` and so on, from a folder whose sheet this program has drawn.
///
/// # Errors
/// When the folder is another's and holds such names.
fn clear(folder: &Path) -> Result<()> {
    let sheet = folder.join(SHEET);
    let ours = std::fs::read(&sheet).is_ok_and(|text| text.windows(MARK.len()).take(400).any(|part| part == MARK));
    for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
        let path = entry.map_err(Error::io(folder))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let drawn = name.split_once('-').filter(|(number, word)| number.len() >= 2 && word.ends_with(".png"));
        let drawn = drawn.is_some_and(|(number, _)| number.bytes().all(|digit| digit.is_ascii_digit()));
        match (drawn, ours) {
            (true, true) => std::fs::remove_file(&path).map_err(Error::io(&path))?,
            (_, false) if drawn || name == SHEET => {
                let fault = "is not of this program, and attention would be drawn over it; choose another folder";
                return Err(Error::Config(format!("{}: {fault}", path.display())));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The sheet of all words, and what tells that this program has drawn it.
const SHEET: &str = "caption.svg";
const MARK: &[u8] = b"<!-- candlewick attention -->";

/// Pictures in rows, each with its word below, and the sentence on top.
fn sheet(sentence: &str, tiles: &[(String, Vec<u8>)], (width, height): (u32, u32)) -> String {
    const GAP: u32 = 12;
    const LINE: u32 = 30;
    let columns = (tiles.len() as u32).clamp(1, 6);
    let rows = (tiles.len() as u32).div_ceil(columns);
    let (tile_width, tile_height) = (SIDE, (SIDE * height).div_ceil(width.max(1)));
    let total = (columns * (tile_width + GAP) + GAP, rows * (tile_height + LINE + GAP) + LINE + 2 * GAP);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} {1}\" \
         font-family=\"sans-serif\">{3}\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"{GAP}\" y=\"{LINE}\" font-size=\"22\" fill=\"#111111\">{2}</text>\n",
        total.0,
        total.1,
        escaped(sentence),
        String::from_utf8_lossy(MARK)
    );
    for (index, (word, bytes)) in tiles.iter().enumerate() {
        let (column, row) = (index as u32 % columns, index as u32 / columns);
        let (x, y) = (GAP + column * (tile_width + GAP), LINE + 2 * GAP + row * (tile_height + LINE + GAP));
        let data = base64::engine::general_purpose::STANDARD.encode(bytes);
        let (middle, below) = (x + tile_width / 2, y + tile_height + 22);
        // Writing to a string cannot fail.
        let _ = writeln!(
            svg,
            "<image x=\"{x}\" y=\"{y}\" width=\"{tile_width}\" height=\"{tile_height}\" href=\"data:image/png;base64,{data}\"/>\n\
             <text x=\"{middle}\" y=\"{below}\" font-size=\"18\" text-anchor=\"middle\" fill=\"#333333\">{}</text>",
            escaped(word)
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

fn png(picture: &RgbImage) -> Result<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    picture
        .write_to(&mut bytes, ImageFormat::Png)
        .map_err(|error| Error::Config(format!("a picture cannot be written as PNG: {error}")))?;
    Ok(bytes.into_inner())
}

/// The picture as an address that a page holds in itself.
pub(crate) fn data_url(picture: &RgbImage) -> Result<String> {
    let most = picture.width().max(picture.height());
    if most > LARGEST {
        let side = |side: u32| (u64::from(side) * u64::from(LARGEST) / u64::from(most)).max(1) as u32;
        return data_url(&thumbnail(picture, side(picture.width()), side(picture.height())));
    }
    let data = base64::engine::general_purpose::STANDARD.encode(png(picture)?);
    Ok(format!("data:image/png;base64,{data}"))
}

fn file_name(word: &str) -> String {
    // A sentence without spaces is one word, and longer than a file's name may be.
    word.chars().take(40).map(|c| if c.is_alphanumeric() { c } else { '_' }).collect()
}

pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
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
        std::fs::write(path("caption.svg"), sheet("a dog", &[], (1, 1))).unwrap();
        clear(folder.path()).unwrap();
        let names =
            std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut left: Vec<String> = names.collect();
        left.sort();
        assert_eq!(left, ["00-a.txt", "1-dog.png", "caption.svg", "dog.png"]);
    }
}
