//! The sheet of an attention overlay: SVG with the picture, a tile for each word with its probability, and the scale.

use crate::attention_overlay::{CaptionWord, MARK};
use crate::embedding::{escaped, jpeg_url};
use crate::heatmap::warm;
use crate::raster::text_width;
use image::RgbImage;
use std::fmt::Write as _;

/// A picture of the sheet, and the word below it; the picture alone has none.
pub(crate) struct Tile<'a> {
    pub word: Option<CaptionWord<'a>>,
    pub jpeg: Vec<u8>,
}

/// The sides of a tile at most, how much of them a function word has, and how wide a row of tiles may be, in pixels.
const SIDE: f64 = 224.0;
const SMALL: f64 = 0.6;
const ROW: f64 = 1430.0;

/// Between tiles and beside them, and the letters of sentence, word and number.
const GAP: f64 = 12.0;
const SENTENCE: f64 = 22.0;
const WORD: f64 = 18.0;
const NUMBER: f64 = 14.0;

/// English words that name nothing to look at; the most frequent of captions.
const FUNCTION_WORDS: [&str; 34] = [
    "a", "an", "and", "are", "as", "at", "be", "by", "for", "from", "has", "he", "her", "his", "in", "into", "is",
    "it", "its", "of", "on", "or", "she", "some", "that", "the", "their", "them", "there", "they", "this", "to",
    "while", "with",
];

/// Where a tile stands.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Place {
    /// The middle of its width.
    middle: f64,
    /// The top of the picture.
    top: f64,
    width: f64,
    height: f64,
}

/// Tiles of the picture's form in rows, the sentence above, and below the weight that is drawn `hottest`, where any is.
pub(crate) fn sheet(sentence: &str, tiles: &[Tile<'_>], picture: &RgbImage, hottest: Option<f32>) -> String {
    let shares: Vec<f64> = tiles.iter().map(|tile| share(tile.word)).collect();
    let names: Vec<f64> = tiles.iter().map(|tile| tile.word.map_or(0.0, |word| text_width(word.text, WORD))).collect();
    let (width, places, rows_height) = laid_out(&shares, &names, picture);
    let lines = wrapped(sentence, width - 2.0 * GAP);
    let head = GAP + lines.len() as f64 * SENTENCE * 1.3;
    let foot = if hottest.is_some() { 44.0 } else { 0.0 };
    let height = (head + rows_height + foot + GAP).ceil();
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"sans-serif\">{MARK}\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    for (index, line) in lines.iter().enumerate() {
        let y = GAP + (index as f64 + 0.85) * SENTENCE * 1.3;
        text(&mut svg, (GAP, y), "start", SENTENCE, "#111111", line);
    }
    for (tile, place) in tiles.iter().zip(places) {
        draw(&mut svg, tile, Place { top: place.top + head, ..place });
    }
    if let Some(hottest) = hottest {
        scale(&mut svg, head + rows_height + 14.0, hottest);
    }
    svg + "</svg>\n"
}

/// How large a tile is: full for what can be looked at.
fn share(word: Option<CaptionWord<'_>>) -> f64 {
    match word {
        Some(word) if FUNCTION_WORDS.contains(&word.text.to_lowercase().as_str()) => SMALL,
        _ => 1.0,
    }
}

/// The sheet's width, where the tiles stand below the sentence, and the height of all rows.
fn laid_out(shares: &[f64], names: &[f64], picture: &RgbImage) -> (f64, Vec<Place>, f64) {
    let (wide, high) = (f64::from(picture.width().max(1)), f64::from(picture.height().max(1)));
    let zoom = (SIDE / wide).min(SIDE / high);
    let (mut places, mut x, mut top, mut most) = (Vec::new(), GAP, GAP, 320.0f64);
    // The picture of a whole row, which its smaller tiles stand at the foot of.
    let below = high * zoom + WORD * 1.3 + NUMBER * 1.4 + GAP;
    for (share, name) in shares.iter().zip(names) {
        let (width, height) = ((wide * zoom * share).max(1.0), (high * zoom * share).max(1.0));
        let cell = width.max(*name);
        if x + cell + GAP > ROW && x > GAP {
            (x, top) = (GAP, top + below);
        }
        places.push(Place { middle: x + cell / 2.0, top: top + high * zoom - height, width, height });
        x += cell + GAP;
        most = most.max(x);
    }
    let rows = if places.is_empty() { 0.0 } else { top + below };
    (most.ceil(), places, rows)
}

/// A sentence in lines that are no wider, but where a word alone is.
fn wrapped(sentence: &str, width: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in sentence.split_whitespace() {
        match lines.last_mut() {
            Some(line) if text_width(&format!("{line} {word}"), SENTENCE) <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

fn draw(svg: &mut String, tile: &Tile<'_>, place: Place) {
    let Place { middle, top, width, height } = place;
    let (left, foot) = (middle - width / 2.0, top + height);
    // Writing to a string cannot fail.
    let _ = writeln!(
        svg,
        "<image x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" href=\"{}\"/>",
        jpeg_url(&tile.jpeg)
    );
    let Some(word) = tile.word else { return };
    text(svg, (middle, foot + WORD * 1.1), "middle", WORD, "#111111", word.text);
    if let Some(probability) = word.probability {
        let number = format!("{probability:.2}");
        text(svg, (middle, foot + WORD * 1.1 + NUMBER * 1.3), "middle", NUMBER, "#555555", &number);
    }
}

fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, size: f64, colour: &str, text: &str) {
    let text = escaped(text);
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\" text-anchor=\"{anchor}\" fill=\"{colour}\">{text}</text>"
    );
}

/// What the colours stand for.
fn scale(svg: &mut String, top: f64, hottest: f32) {
    const BAR: f64 = 160.0;
    const STEPS: usize = 32;
    for step in 0..STEPS {
        let [red, green, blue] = warm(step as f32 / (STEPS - 1) as f32);
        let (x, width) = (GAP + 12.0 + step as f64 * BAR / STEPS as f64, BAR / STEPS as f64 + 0.5);
        let _ = writeln!(
            svg,
            "<rect x=\"{x:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"16\" fill=\"#{red:02x}{green:02x}{blue:02x}\"/>"
        );
    }
    let y = top + 13.0;
    text(svg, (GAP + 8.0, y), "end", NUMBER, "#111111", "0");
    let digits = (1.0 - hottest.max(1e-9).log10().floor()).clamp(0.0, 9.0) as usize;
    let told = format!("{hottest:.digits$}   attention weight of a position, the same scale for all words");
    text(svg, (GAP + 12.0 + BAR + 6.0, y), "start", NUMBER, "#111111", &told);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(text: &str) -> Option<CaptionWord<'_>> {
        Some(CaptionWord { text, probability: None, heatmap: None })
    }

    #[test]
    fn function_words_are_smaller_and_no_tile_lies_on_another() {
        assert_eq!([word("The"), word("of"), word("dog"), None].map(share), [SMALL, SMALL, 1.0, 1.0]);
        for (width, height) in [(448, 448), (448, 40), (40, 448), (1024, 683), (1, 1000)] {
            let picture = RgbImage::new(width, height);
            let shares = [1.0, SMALL, 1.0, SMALL, SMALL, 1.0, 1.0, 1.0, SMALL, 1.0];
            let names = [0.0, 10.0, 300.0, 20.0, 20.0, 40.0, 90.0, 50.0, 10.0, 60.0];
            let (across, places, down) = laid_out(&shares, &names, &picture);
            assert!(across <= ROW + GAP, "{across}");
            for (index, (place, name)) in places.iter().zip(names).enumerate() {
                let half = place.width.max(name) / 2.0;
                assert!(place.middle - half >= GAP - 1e-6 && place.middle + half <= across, "{place:?}");
                assert!(place.height <= SIDE && place.top + place.height + WORD + NUMBER < down, "{place:?}");
                for (other, other_name) in places.iter().zip(names).take(index) {
                    let apart = (place.middle - other.middle).abs() >= half + other.width.max(other_name) / 2.0;
                    let (upper, lower) = if other.top < place.top { (other, place) } else { (place, other) };
                    assert!(apart || upper.top + upper.height + WORD + NUMBER <= lower.top, "{other:?} {place:?}");
                }
            }
        }
    }

    #[test]
    fn a_long_sentence_has_lines() {
        let lines = wrapped("a man in a blue shirt is standing on a ladder cleaning a window", 300.0);
        assert!(lines.len() > 1 && lines.iter().all(|line| text_width(line, SENTENCE) <= 300.0), "{lines:?}");
        assert_eq!(wrapped("一只狗在草地上奔跑", 20.0).len(), 1);
        assert!(wrapped("", 300.0).is_empty());
    }
}
