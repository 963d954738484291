//! What the page's script reads: names, scores, the text and the packed values, as JSON that can stand within an element.

use super::packing::{MARKS, STEPS, packed};
use super::{UnitProperty, UnitsPage};
use crate::{Error, Result};
use std::fmt::Write as _;

/// The data of a page that shows so many of its characters.
pub(super) struct Data<'a> {
    pub page: &'a UnitsPage<'a>,
    pub characters: usize,
}

impl Data<'_> {
    pub fn json(&self) -> Result<String> {
        let page = self.page;
        let text: String = page.text.chars().take(self.characters).collect();
        Ok(format!(
            "{{\"steps\":{STEPS},\"marks\":{MARKS},\n\"units\":[{}],\n\"properties\":[{}],\n\"text\":{},\n\"values\":[{}]}}",
            list(page.units.iter().map(|name| string(name))),
            list(page.properties.iter().map(|property| self.property(property)).collect::<Result<Vec<_>>>()?),
            string(&text),
            list((0..page.units.len()).map(|unit| self.unit(unit)).collect::<Result<Vec<_>>>()?)
        ))
    }

    fn unit(&self, unit: usize) -> Result<String> {
        let values = || self.page.values.iter().take(self.characters).map(|row| row[unit]);
        if let Some(character) = values().position(f32::is_nan) {
            return Err(Error::NoNumber { unit: self.page.units[unit].clone(), character });
        }
        quoted(packed(values(), STEPS))
    }

    fn property(&self, property: &UnitProperty<'_>) -> Result<String> {
        let scores = property.scores.iter().map(|score| match score.is_finite() {
            true => format!("{}", (score * 1000.0).round()),
            false => "null".to_owned(),
        });
        let most = property.marks.iter().copied().filter(|mark| mark.is_finite()).fold(0.0, f32::max);
        let marks = property
            .marks
            .iter()
            .take(self.characters)
            .map(|mark| if mark.is_nan() { 0.0 } else { mark.max(0.0) / most.max(f32::MIN_POSITIVE) });
        Ok(format!(
            "{{\"name\":{},\"best\":{},\"marks\":{},\"scores\":[{}]}}",
            string(property.name),
            property.best,
            quoted(packed(marks, MARKS))?,
            list(scores)
        ))
    }
}

/// The address within the page of a unit, with a property's marks.
pub(super) fn link(unit: usize, property: usize) -> String {
    format!("#u{unit}.p{property}")
}

fn list(items: impl IntoIterator<Item = String>) -> String {
    items.into_iter().collect::<Vec<_>>().join(",")
}

fn quoted(packed: std::io::Result<String>) -> Result<String> {
    packed.map(|packed| format!("\"{packed}\"")).map_err(|error| Error::Plot(error.to_string()))
}

/// A string of JSON without `<`, so that no element ends in it.
fn string(text: &str) -> String {
    let mut json = "\"".to_owned();
    for letter in text.chars() {
        match letter {
            '"' | '\\' => json.extend(['\\', letter]),
            '<' | '\0'..='\x1f' => {
                // Writing to a string cannot fail.
                let _ = write!(json, "\\u{:04x}", u32::from(letter));
            }
            _ => json.push(letter),
        }
    }
    json + "\""
}
