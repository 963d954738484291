//! The units page of a text: units that follow the line, the words and nothing, as a page to open in a browser.
//!
//! `cargo run -p candlewick-pages --example units_page [FILE]`

#![allow(clippy::print_stdout)]

use candlewick_pages::{UnitProperty, UnitsPage};
use std::path::PathBuf;

const TEXT: &str = "A recurrent network reads one character after the other,\nand its state is all that it keeps of them.\n\n\
    \"Some units,\" they found, \"count the line;\nothers know whether a quotation is open.\"\n";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path: PathBuf = match std::env::args_os().nth(1) {
        Some(path) => path.into(),
        None => std::env::temp_dir().join("candlewick-units.html"),
    };
    let columns: Vec<f32> =
        TEXT.split_inclusive('\n').flat_map(|line| (0..line.chars().count()).map(|column| column as f32)).collect();
    let words: Vec<f32> = TEXT.chars().map(|letter| if letter.is_alphabetic() { 1.0 } else { 0.0 }).collect();
    let units = ["layer 1 h 0", "layer 1 h 1", "layer 1 h 2"].map(str::to_owned);
    let values = columns
        .iter()
        .zip(&words)
        .enumerate()
        .flat_map(|(t, (column, word))| [column / 30.0 - 1.0, 0.9 - 1.8 * word, (t as f32 * 2.4).sin()]);
    let values: Vec<f32> = values.collect();
    let values: Vec<&[f32]> = values.chunks(units.len()).collect();
    let properties = [
        UnitProperty {
            name: "position in the line",
            best: 0,
            score: 1.0,
            chance: 0.1,
            scores: &[1.0, 0.0, 0.0],
            marks: &columns,
        },
        UnitProperty { name: "in a word", best: 1, score: -1.0, chance: 0.1, scores: &[0.0, -1.0, 0.0], marks: &words },
    ];
    let page = UnitsPage { title: "Units", text: TEXT, units: &units, values: &values, properties: &properties };
    let written = page.html()?;
    std::fs::write(&path, &written.html)?;
    println!("{} characters, {} bytes in {}", written.characters, written.html.len(), path.display());
    Ok(())
}
