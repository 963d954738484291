//! Matrix: a heat map whose rows and columns have words, such as the alignment of a translation or a classifier's confusions.

use crate::chart::{Area, Draw, Drawn, LABEL, NOTE, TITLE, letters};
use crate::lightness_scale::{is_dark, shaded};
use crate::raster::{lacks, text_width};
use crate::{DrawingFormat, Error, Result};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Words with a value for each pair.
///
/// ```
/// use candlewick_pages::{DrawingFormat, Matrix};
///
/// let alignment = [0.9, 0.1, 0.2, 0.8];
/// let matrix = Matrix {
///     title: "Where it looked",
///     row_label: "written",
///     column_label: "read",
///     rows: &["a", "dog"],
///     columns: &["ein", "Hund"],
///     values: &alignment,
///     largest: Some(1.0),
/// };
/// let svg = String::from_utf8(matrix.file(DrawingFormat::Svg)?)?;
/// assert!(svg.contains("Hund") && svg.contains("0.90"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    /// What is shown.
    pub title: &'a str,
    /// What the rows are.
    pub row_label: &'a str,
    /// What the columns are.
    pub column_label: &'a str,
    /// The rows' words, 200 at most.
    pub rows: &'a [&'a str],
    /// The columns' words, 200 at most.
    pub columns: &'a [&'a str],
    /// (rows, columns): values from 0, which is white; whole numbers are written as such, others with two decimals.
    pub values: &'a [f32],
    /// What is darkest; the largest value where nothing is given.
    pub largest: Option<f32>,
}

/// As many words as a side may have, and as many as a side has with values written.
const MOST: usize = 200;
const WRITTEN: usize = 48;

/// The side of a cell without its value, the height of one with it, and the width of the longest word, in pixels.
const SMALL: i32 = 15;
const HIGH: i32 = 26;
const WORD: f64 = 240.0;

/// Values below this share of the largest have fainter letters.
const FAINT: f64 = 0.05;

/// Around all, between things, and the height of a line of notes.
const GAP: i32 = 14;
const LINE: i32 = 18;

/// The bar that tells the scale.
const BAR: i32 = 160;

impl Matrix<'_> {
    /// The drawing as the content of a file.
    ///
    /// Words longer than 240 pixels are cut with `…` and stand whole below; beyond 48 words a side values are not written.
    ///
    /// # Errors
    /// When counts do not agree, a side has no words or more than 200, or it cannot be drawn.
    pub fn file(&self, format: DrawingFormat) -> Result<Vec<u8>> {
        let (rows, columns) = (self.rows.len(), self.columns.len());
        Error::count("values", self.values.len(), "rows times columns", rows * columns)?;
        if rows.min(columns) == 0 {
            return Err(Error::Empty("word of a row or a column"));
        }
        if rows.max(columns) > MOST {
            return Err(Error::Words { found: rows.max(columns), most: MOST });
        }
        Sheet::of(self, format).file(format)
    }

    fn largest(&self) -> f32 {
        let values = self.values.iter().copied().filter(|value| value.is_finite());
        self.largest.unwrap_or_else(|| values.fold(0.0, f32::max)).max(f32::MIN_POSITIVE)
    }
}

/// A word as it is drawn.
struct Label {
    text: String,
    width: i32,
}

/// A matrix laid out.
struct Sheet<'a> {
    matrix: &'a Matrix<'a>,
    rows: Vec<Label>,
    columns: Vec<Label>,
    /// What is written in the cells; nothing where they are too many.
    numbers: Option<Vec<String>>,
    cell: (i32, i32),
    largest: f32,
    /// Where the cells begin.
    corner: (i32, i32),
    notes: Vec<String>,
    size: (i32, i32),
}

impl<'a> Sheet<'a> {
    fn of(matrix: &'a Matrix<'a>, format: DrawingFormat) -> Self {
        let [rows, columns] =
            [matrix.rows, matrix.columns].map(|words| words.iter().map(|word| label(word)).collect::<Vec<_>>());
        let written = rows.len().max(columns.len()) <= WRITTEN;
        let numbers = written.then(|| numbers(matrix.values));
        let cell = match &numbers {
            Some(numbers) => (widest(numbers.iter().map(|number| text_width(number, NOTE))).max(20) + 12, HIGH),
            None => (SMALL, SMALL),
        };
        let wide = |labels: &[Label]| labels.iter().map(|label| label.width).max().unwrap_or_default();
        let corner = (GAP + LINE + wide(&rows) + 8, 44 + LINE + wide(&columns) + 8);
        let right = corner.0 + cell.0 * columns.len() as i32;
        let bar = GAP + BAR + 60 + widest([text_width(&number(matrix.largest()), NOTE)]);
        let width = (right + GAP).max(bar).max(2 * GAP + widest([text_width(matrix.title, TITLE)])).max(420);
        let notes = notes(matrix, written, format, f64::from(width - 2 * GAP));
        let height = corner.1 + cell.1 * rows.len() as i32 + 44 + LINE * notes.len() as i32 + GAP;
        Self { matrix, rows, columns, numbers, cell, largest: matrix.largest(), corner, notes, size: (width, height) }
    }

    fn share(&self, value: f32) -> f64 {
        f64::from(value / self.largest)
    }

    fn draw_cells<DB: DrawingBackend<ErrorType: 'static>>(&self, sheet: &Area<DB>) -> Drawn {
        let centred = letters(NOTE).pos(Pos::new(HPos::Center, VPos::Center));
        for (index, value) in self.matrix.values.iter().enumerate() {
            let (row, column) = (index / self.columns.len(), index % self.columns.len());
            let (left, top) = self.at(row, column);
            let (right, foot) = self.at(row + 1, column + 1);
            let [red, green, blue] = shaded(self.share(*value));
            sheet.draw(&Rectangle::new([(left, top), (right, foot)], RGBColor(red, green, blue).filled()))?;
            if let Some(number) = self.numbers.as_ref().and_then(|numbers| numbers.get(index)) {
                let ink = match self.share(*value) {
                    share if is_dark(share) => WHITE.mix(1.0),
                    // Next to nothing steps back.
                    share if share < FAINT => BLACK.mix(0.6),
                    _ => BLACK.mix(1.0),
                };
                let middle = ((left + right) / 2, (top + foot) / 2);
                sheet.draw(&Text::new(number.clone(), middle, centred.color(&ink)))?;
            }
        }
        let frame = [self.at(0, 0), self.at(self.rows.len(), self.columns.len())];
        sheet.draw(&Rectangle::new(frame, BLACK.mix(0.3).stroke_width(1)))?;
        Ok(())
    }

    fn at(&self, row: usize, column: usize) -> (i32, i32) {
        (self.corner.0 + self.cell.0 * column as i32, self.corner.1 + self.cell.1 * row as i32)
    }

    fn draw_words<DB: DrawingBackend<ErrorType: 'static>>(&self, sheet: &Area<DB>) -> Drawn {
        let upwards = |h, v| letters(NOTE).transform(FontTransform::Rotate270).pos(Pos::new(h, v));
        for (index, label) in self.rows.iter().enumerate() {
            let middle = self.at(index, 0).1 + self.cell.1 / 2;
            let style = letters(NOTE).pos(Pos::new(HPos::Right, VPos::Center));
            sheet.draw(&Text::new(label.text.clone(), (self.corner.0 - 6, middle), style))?;
        }
        for (index, label) in self.columns.iter().enumerate() {
            let middle = self.at(0, index).0 + self.cell.0 / 2;
            sheet.draw(&Text::new(
                label.text.clone(),
                (middle, self.corner.1 - 6),
                upwards(HPos::Left, VPos::Center),
            ))?;
        }
        let (right, foot) = self.at(self.rows.len(), self.columns.len());
        let above = letters(LABEL).pos(Pos::new(HPos::Center, VPos::Center));
        let (across, down) = ((self.corner.0 + right) / 2, (self.corner.1 + foot) / 2);
        sheet.draw(&Text::new(self.matrix.column_label.to_owned(), (across, 52), above))?;
        let beside = letters(LABEL).transform(FontTransform::Rotate270).pos(Pos::new(HPos::Center, VPos::Center));
        sheet.draw(&Text::new(self.matrix.row_label.to_owned(), (GAP + 6, down), beside))?;
        Ok(())
    }

    fn draw_scale<DB: DrawingBackend<ErrorType: 'static>>(&self, sheet: &Area<DB>) -> Drawn {
        const STEPS: i32 = 32;
        let top = self.at(self.rows.len(), 0).1 + 16;
        let left = GAP + 16;
        for step in 0..STEPS {
            let [red, green, blue] = shaded(f64::from(step) / f64::from(STEPS - 1));
            let at = |step: i32| left + step * BAR / STEPS;
            let part = [(at(step), top), (at(step + 1), top + 12)];
            sheet.draw(&Rectangle::new(part, RGBColor(red, green, blue).filled()))?;
        }
        sheet.draw(&Rectangle::new([(left, top), (left + BAR, top + 12)], BLACK.mix(0.3).stroke_width(1)))?;
        let middle = letters(NOTE).pos(Pos::new(HPos::Left, VPos::Center));
        sheet.draw(&Text::new("0", (GAP, top + 6), middle.clone()))?;
        sheet.draw(&Text::new(number(self.largest), (left + BAR + 6, top + 6), middle.clone()))?;
        for (line, note) in self.notes.iter().enumerate() {
            sheet.draw(&Text::new(note.clone(), (GAP, top + 30 + LINE * line as i32), middle.clone()))?;
        }
        Ok(())
    }
}

impl Draw for Sheet<'_> {
    fn size(&self) -> (u32, u32) {
        (self.size.0.unsigned_abs(), self.size.1.unsigned_abs())
    }

    fn draw<DB: DrawingBackend<ErrorType: 'static>>(&self, sheet: &Area<DB>) -> Drawn {
        sheet.draw(&Text::new(self.matrix.title.to_owned(), (GAP, GAP), letters(TITLE)))?;
        self.draw_cells(sheet)?;
        self.draw_words(sheet)?;
        self.draw_scale(sheet)
    }
}

fn widest(widths: impl IntoIterator<Item = f64>) -> i32 {
    widths.into_iter().fold(0.0, f64::max).ceil() as i32
}

/// A word with what steers as escapes, for SVG has no letter for that.
fn plain(word: &str) -> String {
    word.chars()
        .map(|letter| if letter.is_control() { letter.escape_default().to_string() } else { letter.into() })
        .collect()
}

/// A word that is no wider than may be, with `…` where it goes on.
fn label(word: &str) -> Label {
    let mut text = plain(word);
    if text_width(&text, NOTE) > WORD {
        while text_width(&text, NOTE) + text_width("…", NOTE) > WORD && text.pop().is_some() {}
        text.push('…');
    }
    Label { width: widest([text_width(&text, NOTE)]), text }
}

/// Whole numbers as such where all are.
fn numbers(values: &[f32]) -> Vec<String> {
    let whole = values.iter().all(|value| value.fract() == 0.0);
    values.iter().map(|value| if whole { format!("{value:.0}") } else { format!("{value:.2}") }).collect()
}

fn number(value: f32) -> String {
    if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

/// What the drawing does not show as one would think, in lines of this width.
fn notes(matrix: &Matrix<'_>, written: bool, format: DrawingFormat, width: f64) -> Vec<String> {
    let mut notes = Vec::new();
    if !written {
        notes.push(format!("values are not written: more than {WRITTEN} words a side"));
    }
    let mut words: Vec<&str> = matrix.rows.iter().chain(matrix.columns).copied().collect();
    let named = [matrix.title, matrix.row_label, matrix.column_label];
    if format == DrawingFormat::Png && words.iter().chain(&named).any(|text| lacks(text)) {
        notes.push("letters that this font lacks are boxes; an .svg has them".to_owned());
    }
    words.retain(|word| label(word).text != plain(word));
    words.sort_unstable();
    words.dedup();
    notes.extend(words.into_iter().map(|word| format!("{} is {}", label(word).text, plain(word))));
    notes.iter().flat_map(|note| broken(note, width)).collect()
}

/// A text in lines that are no wider, broken at any letter.
fn broken(text: &str, width: f64) -> Vec<String> {
    let mut lines = vec![String::new()];
    for letter in text.chars() {
        let Some(line) = lines.last_mut() else { break };
        line.push(letter);
        if text_width(line, NOTE) > width && line.chars().count() > 1 {
            line.pop();
            lines.push(letter.to_string());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use image::Rgb;

    fn matrix<'a>(rows: &'a [&'a str], columns: &'a [&'a str], values: &'a [f32]) -> Matrix<'a> {
        Matrix { title: "Title", row_label: "rows", column_label: "columns", rows, columns, values, largest: None }
    }

    fn lines(matrix: &Matrix<'_>) -> Vec<String> {
        let svg = String::from_utf8(matrix.file(DrawingFormat::Svg).unwrap()).unwrap();
        svg.lines().map(|line| line.trim().to_owned()).collect()
    }

    fn count(lines: &[String], wanted: &str) -> usize {
        lines.iter().filter(|line| *line == wanted).count()
    }

    #[test]
    fn every_word_and_value_stands_once_and_the_largest_is_darkest() {
        let values = [0.0, 0.25, 0.5, 1.0, 0.125, f32::NAN];
        let drawn = lines(&matrix(&["<a>", "b\n"], &["x", "y", "한"], &values));
        for wanted in ["Title", "rows", "columns", "&lt;a&gt;", "b\\n", "x", "y", "한", "0.25", "0.50", "0.12", "NaN"]
        {
            assert_eq!(count(&drawn, wanted), 1, "{wanted}");
        }
        let [red, green, blue] = shaded(1.0);
        let darkest = format!("fill=\"#{red:02X}{green:02X}{blue:02X}\"");
        // The cell and the end of the scale.
        assert_eq!(drawn.iter().filter(|line| line.starts_with("<rect") && line.contains(&darkest)).count(), 2);
    }

    #[test]
    fn whole_numbers_have_no_decimals_and_a_given_largest_is_the_scale() {
        let counts = matrix(&["0", "1"], &["zero", "one"], &[980.0, 3.0, 0.0, 1132.0]);
        let drawn = lines(&counts);
        assert_eq!(["980", "3", "1132"].map(|wanted| count(&drawn, wanted)), [1, 1, 2]);
        let drawn = lines(&Matrix { largest: Some(2000.0), ..counts });
        assert_eq!(["2000", "1132"].map(|wanted| count(&drawn, wanted)), [1, 1]);
    }

    #[test]
    fn a_long_word_is_cut_with_a_mark_and_stands_whole_below() {
        let long = "a".repeat(300);
        let drawn = lines(&matrix(&[&long], &[&long], &[0.5]));
        let cut: Vec<&String> = drawn.iter().filter(|line| line.starts_with("aaa") && line.ends_with('…')).collect();
        assert!(cut.len() == 2 && text_width(cut[0], NOTE) <= WORD, "{cut:?}");
        let first = drawn.iter().position(|line| line.contains("… is aaa")).unwrap();
        let letters: usize =
            drawn[first..].iter().filter(|line| !line.starts_with('<')).map(|line| line.matches('a').count()).sum();
        assert_eq!(letters, 300 + cut[0].chars().count() - 1);
    }

    #[test]
    fn of_many_words_no_value_is_written_and_of_too_many_there_is_no_drawing() {
        let words: Vec<&str> = vec!["word"; 201];
        let values = vec![0.5; 201 * 201];
        let drawn = lines(&matrix(&words[..49], &words[..2], &values[..98]));
        assert_eq!((count(&drawn, "word"), count(&drawn, "0.50")), (51, 1));
        assert_eq!(count(&drawn, "values are not written: more than 48 words a side"), 1);
        let fault = |matrix: Matrix<'_>| matrix.file(DrawingFormat::Svg).unwrap_err().to_string();
        let many = fault(matrix(&words, &words, &values));
        assert_eq!(many, "201 words a side cannot be read; draw 200 at most, such as the most frequent");
        let count = fault(matrix(&words[..2], &words[..2], &values[..3]));
        assert_eq!(count, "values: 3 for 4 rows times columns; give one for each");
        let none = fault(matrix(&[], &words, &[]));
        assert_eq!(none, "there is no word of a row or a column to show; give at least one");
    }

    #[test]
    fn pixels_tell_which_letters_their_font_lacks() {
        let alignment = matrix(&["개", "Hund"], &["dog"], &[0.9, 0.1]);
        let [svg, png] = [DrawingFormat::Svg, DrawingFormat::Png].map(|format| Sheet::of(&alignment, format).notes);
        assert!(svg.is_empty() && png.len() == 1 && png[0].contains("boxes"), "{png:?}");
        let picture = image::load_from_memory(&alignment.file(DrawingFormat::Png).unwrap()).unwrap().to_rgb8();
        let dark = Rgb(shaded(1.0));
        assert!(picture.pixels().filter(|pixel| **pixel == dark).count() > 500);
    }
}
