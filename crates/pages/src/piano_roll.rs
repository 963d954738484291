//! Piano roll: notes upwards and steps to the right, how likely each note was held to be behind those that sounded, as SVG.

use crate::chart::{NOTE, TITLE};
use crate::embedding::escaped;
use crate::lightness_scale::shaded;
use crate::raster::text_width;
use crate::{Error, Result};
use std::fmt::Write as _;

/// A piece of music, and what was expected of it.
///
/// ```
/// use candlewick_pages::PianoRoll;
///
/// let roll = PianoRoll { title: "A third", names: &["C4", "D4", "E4"], sounding: &[1.0, 0.0, 1.0, 0.0, 1.0, 0.0], expected: &[0.2, 0.7, 0.1] };
/// let svg = roll.svg()?;
/// assert!(svg.contains("C4") && svg.contains("A third"));
/// # Ok::<(), candlewick_pages::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct PianoRoll<'a> {
    /// What is shown.
    pub title: &'a str,
    /// The notes' names, K of them, the lowest first.
    pub names: &'a [&'a str],
    /// (T, K): 1 where a note sounds, 0 elsewhere; it is outlined.
    pub sounding: &'a [f32],
    /// (S, K) of S steps: the probability that was given to each note of the step behind this one; the darker the likelier.
    pub expected: &'a [f32],
}

/// Notes that are held to be less likely are not shown where they never sound.
const LIKELY: f32 = 0.05;

/// The size of a cell, and what is above, below and beside all, in pixels.
const CELL: [usize; 2] = [12, 12];
const HEAD: usize = 44;
const FOOT: usize = 48;
const LEFT: usize = 48;

impl PianoRoll<'_> {
    /// The roll as the content of an SVG file: the notes from the lowest to the highest that sound or are likely.
    ///
    /// # Errors
    /// When there is no step, or numbers are no whole steps.
    pub fn svg(&self) -> Result<String> {
        let notes = self.names.len();
        if notes == 0 || self.sounding.is_empty() {
            return Err(Error::Empty("step of a piece"));
        }
        let steps = self.sounding.len() / notes;
        Error::count("the numbers of a piece", self.sounding.len(), "steps times notes", steps * notes)?;
        let told = self.expected.len() / notes;
        Error::count("the probabilities", self.expected.len(), "steps times notes", told * notes)?;
        let shown = |values: &[f32], least: f32| {
            let places = values.iter().enumerate().filter(|(_, value)| **value > least).map(|(at, _)| at % notes);
            places.collect::<Vec<_>>()
        };
        let seen = [shown(self.sounding, 0.5), shown(self.expected, LIKELY)].concat();
        let (low, high) = (seen.iter().min().copied().unwrap_or(0), seen.iter().max().copied().unwrap_or(notes - 1));
        let columns = steps.max(told + 1);
        let title = text_width(self.title, TITLE).ceil() as usize + 28;
        let width = (LEFT + CELL[0] * columns + 14).max(title).max(420);
        let height = HEAD + CELL[1] * (high - low + 1) + FOOT;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
             font-family=\"sans-serif\" font-size=\"{NOTE}\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
             <text x=\"14\" y=\"30\" font-size=\"{TITLE}\">{}</text>\n",
            escaped(self.title)
        );
        self.draw_names(&mut svg, (low, high), columns);
        self.draw_cells(&mut svg, (low, high));
        Ok(svg + "</svg>\n")
    }

    fn draw_cells(&self, svg: &mut String, (low, high): (usize, usize)) {
        let notes = self.names.len();
        let place = |step: usize, note: usize| (LEFT + CELL[0] * step, HEAD + CELL[1] * (high - note));
        let within = |at: &usize| (low..=high).contains(&(at % notes));
        for (at, &value) in self.expected.iter().enumerate().filter(|(at, value)| within(at) && **value > 0.005) {
            let (x, y) = place(at / notes + 1, at % notes);
            let [red, green, blue] = shaded(f64::from(value));
            let (w, h) = (CELL[0], CELL[1]);
            let _ = writeln!(
                svg,
                "<rect x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" fill=\"#{red:02X}{green:02X}{blue:02X}\"/>"
            );
        }
        for (at, _) in self.sounding.iter().enumerate().filter(|(_, value)| **value > 0.5) {
            let (x, y) = place(at / notes, at % notes);
            let (w, h) = (CELL[0] - 2, CELL[1] - 2);
            let _ = writeln!(
                svg,
                "<rect class=\"note\" x=\"{}\" y=\"{}\" width=\"{w}\" height=\"{h}\" fill=\"none\" stroke=\"#d55e00\" stroke-width=\"2\"/>",
                x + 1,
                y + 1
            );
        }
    }

    /// The notes' names with faint lines, every fourth step's number, and what the colours say.
    fn draw_names(&self, svg: &mut String, (low, high): (usize, usize), columns: usize) {
        let right = LEFT + CELL[0] * columns;
        for (note, name) in self.names.iter().enumerate().filter(|(note, _)| (low..=high).contains(note)) {
            let (line, text) = (HEAD + CELL[1] * (high - note + 1), LEFT - 6);
            let _ = write!(
                svg,
                "<path d=\"M{LEFT} {line}H{right}\" stroke=\"#e0e0e0\"/>\n\
                 <text x=\"{text}\" y=\"{}\" font-size=\"10\" text-anchor=\"end\">{}</text>\n",
                line - 2,
                escaped(name)
            );
        }
        let bottom = HEAD + CELL[1] * (high - low + 1);
        for step in (0..columns).step_by(4) {
            let x = LEFT + CELL[0] * step + CELL[0] / 2;
            let _ = writeln!(
                svg,
                "<text x=\"{x}\" y=\"{}\" font-size=\"10\" text-anchor=\"middle\">{}</text>",
                bottom + 13,
                step + 1
            );
        }
        let _ = writeln!(
            svg,
            "<text x=\"14\" y=\"{}\">outlined: sounds; the darker, the likelier it was held to be before</text>",
            bottom + 36
        );
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn notes_are_outlined_and_what_is_expected_stands_behind_the_next_step() {
        let names = ["A", "B", "C", "D"];
        let sounding = [0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0];
        let expected = [0.0, 0.5, 1.0, 0.001, 0.0, 0.0, 0.01, 0.0];
        let svg = PianoRoll { title: "<x>", names: &names, sounding: &sounding, expected: &expected }.svg().unwrap();
        assert!(svg.contains("&lt;x&gt;") && svg.contains(">B</text>") && svg.contains(">C</text>"));
        // Neither the lowest nor the highest ever sounds or is likely.
        assert!(!svg.contains(">A</text>") && !svg.contains(">D</text>"));
        assert_eq!(svg.matches("class=\"note\"").count(), 2);
        let [red, green, blue] = shaded(1.0);
        let darkest = format!(
            "x=\"{}\" y=\"{HEAD}\" width=\"12\" height=\"12\" fill=\"#{red:02X}{green:02X}{blue:02X}\"",
            LEFT + 12
        );
        assert!(svg.contains(&darkest), "{svg}");
        let second = format!("<rect class=\"note\" x=\"{}\" y=\"{}\"", LEFT + 13, HEAD + 1);
        assert!(svg.contains(&second), "{svg}");
    }

    #[test]
    fn whole_steps_are_wanted() {
        let roll = PianoRoll { title: "", names: &["A", "B"], sounding: &[1.0, 0.0, 1.0], expected: &[] };
        let fault = roll.svg().unwrap_err().to_string();
        assert_eq!(fault, "the numbers of a piece: 3 for 2 steps times notes; give one for each");
        assert!(PianoRoll { sounding: &[], ..roll }.svg().is_err());
        assert!(PianoRoll { sounding: &[1.0, 0.0], ..roll }.svg().is_ok());
    }
}
