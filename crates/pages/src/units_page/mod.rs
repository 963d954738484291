//! Units page: a text coloured by the values of a network's units, and the units that best follow properties of the text
//! (Karpathy, Johnson and Li 2015, "Visualizing and understanding recurrent networks").

mod data;
mod packing;

use crate::embedding::escaped;
use crate::{Bar, Bars, ColourScale, Error, Page, Result};
use data::{Data, link};
use packing::STEPS;

/// The largest page, in bytes.
const LARGEST: usize = 8_000_000;

/// Characters that are tried first, how often others are, how full a page then should be, and how full is enough.
const FIRST: usize = 1024;
const TRIES: usize = 12;
const AIM: f64 = 0.99;
const FULL: f64 = 0.97;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// A network's units over a text.
///
/// ```
/// use candlewick_pages::{UnitProperty, UnitsPage};
///
/// let text = "he said \"yes\"";
/// let inside: Vec<f32> = text.char_indices().map(|(at, _)| if at > 8 && at < 12 { 1.0 } else { 0.0 }).collect();
/// // One unit that counts, and one that knows of quotes: values of all units after the first character, the second …
/// let values: Vec<f32> = inside.iter().enumerate().flat_map(|(t, holds)| [t as f32 / 13.0, 1.8 * holds - 0.9]).collect();
/// let values: Vec<&[f32]> = values.chunks(2).collect();
/// let units = ["layer 1 h 0".to_owned(), "layer 1 h 1".to_owned()];
/// let quotes = UnitProperty { name: "in quotes", best: 1, score: 1.0, chance: 0.2, scores: &[0.4, 1.0], marks: &inside };
/// let written = UnitsPage { title: "Units", text, units: &units, values: &values, properties: &[quotes] }.html()?;
/// assert_eq!(written.characters, 13);
/// # Ok::<(), candlewick_pages::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct UnitsPage<'a> {
    /// What the page is called.
    pub title: &'a str,
    /// The text, T characters.
    pub text: &'a str,
    /// The units' names, such as `layer 1 h 37`.
    pub units: &'a [String],
    /// T rows, one after each character: the values of all units, from −1 to 1; what is beyond is shown as ±1.
    pub values: &'a [&'a [f32]],
    /// What of the text the units may follow.
    pub properties: &'a [UnitProperty<'a>],
}

/// A property of the text, and how well each unit follows it.
#[derive(Clone, Copy, Debug)]
pub struct UnitProperty<'a> {
    /// What it is called, such as `in quotes`.
    pub name: &'a str,
    /// The unit that follows it best.
    pub best: usize,
    /// That unit's correlation, on text by which it was not chosen.
    pub score: f32,
    /// What chance gives.
    pub chance: f32,
    /// Each unit's correlation; what is no number is not known.
    pub scores: &'a [f32],
    /// The property of each of the T characters: 0 where it does not hold, and 1 where it does or a number above 0 such as a depth.
    pub marks: &'a [f32],
}

/// A page, and how much of the text it has.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WrittenUnits {
    /// The content of a file, of 8 MB at most.
    pub html: String,
    /// The characters of the text that it shows, from the first.
    pub characters: usize,
}

impl UnitsPage<'_> {
    /// The page, with as much of the text as 8 MB hold: for the 2,048 units of an LSTM some 7,400 characters.
    ///
    /// # Errors
    /// When counts do not agree, there is no text or no unit, a value is no number, or names and scores alone fill the page.
    pub fn html(&self) -> Result<WrittenUnits> {
        self.within(LARGEST)
    }

    /// The longest text in so many bytes, or nearly: what a page takes grows with it, but not evenly.
    fn within(&self, largest: usize) -> Result<WrittenUnits> {
        let all = self.text.chars().count();
        self.check(all)?;
        let empty = self.page(0, all)?.len();
        let (mut characters, mut fits, mut over, mut written) = (all.min(FIRST), 0, all + 1, None);
        for _ in 0..TRIES {
            let html = self.page(characters, all)?;
            let length = html.len();
            if length <= largest {
                fits = characters;
                written = Some(WrittenUnits { html, characters });
            } else {
                over = characters;
            }
            let full = (FULL * largest as f64) as usize..=largest;
            if over - fits <= 1 || full.contains(&length) {
                break;
            }
            let room = largest.saturating_sub(empty) as f64 / length.saturating_sub(empty).max(1) as f64;
            let wanted = ((AIM * room * characters as f64) as usize).min(all);
            characters = if (fits + 1..over).contains(&wanted) { wanted } else { fits.midpoint(over) };
        }
        written.ok_or(Error::Large { units: self.units.len(), megabytes: LARGEST / 1_000_000 })
    }

    fn check(&self, characters: usize) -> Result<()> {
        let units = self.units.len();
        if characters == 0 || units == 0 {
            return Err(Error::Empty(if units == 0 { "unit" } else { "text" }));
        }
        Error::count("rows of values", self.values.len(), "characters", characters)?;
        self.values.iter().try_for_each(|row| Error::count("a row's values", row.len(), "units", units))?;
        for property in self.properties {
            Error::count("a property's scores", property.scores.len(), "units", units)?;
            Error::count("a property's marks", property.marks.len(), "characters", characters)?;
            if property.best >= units {
                return Err(Error::BestUnit { property: property.name.to_owned(), best: property.best, units });
            }
        }
        Ok(())
    }

    /// With so many of all characters.
    fn page(&self, shown: usize, all: usize) -> Result<String> {
        let units = grouped(self.units.len());
        let text = match shown == all {
            true => format!("{} characters", grouped(all)),
            false => format!(
                "the first {} of {} characters, as many as {} MB hold",
                grouped(shown),
                grouped(all),
                LARGEST / 1_000_000
            ),
        };
        let step = 1.0 / f32::from(STEPS);
        let body = format!(
            include_str!("page.html"),
            title = escaped(self.title),
            shown = format_args!("{units} units over {text}; values in steps of {step:.2}."),
            properties = self.bars(),
            legend = ColourScale::Signed.legend(),
            data = Data { page: self, characters: shown }.json()?
        );
        Ok(Page { title: self.title, style: STYLE, body: &body, script: SCRIPT }.html())
    }

    /// The properties' best units, which a click leads to.
    fn bars(&self) -> String {
        if self.properties.is_empty() {
            return String::new();
        }
        // A unit's name stands in one line.
        let best = |property: &UnitProperty<'_>| self.units[property.best].replace(' ', "\u{a0}");
        let name = |property: &UnitProperty<'_>| format!("{} · {}", property.name, best(property));
        let names: Vec<String> = self.properties.iter().map(name).collect();
        let links: Vec<String> =
            (0..).zip(self.properties).map(|(index, property)| link(property.best, index)).collect();
        let labels = names.iter().zip(&links);
        let bars: Vec<Bar<'_>> = self
            .properties
            .iter()
            .zip(labels)
            .map(|(property, (name, link))| Bar {
                name,
                value: property.score,
                chance: Some(property.chance),
                link: Some(link),
            })
            .collect();
        let (names, values, chances) = ("property · its best unit", "correlation", "by chance");
        Bars { names, values, chances, scale: ColourScale::Signed, bars: &bars }.html()
    }
}

/// With a comma before each three digits.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests;
