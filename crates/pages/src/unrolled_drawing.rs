//! A recurrent network unrolled over a few steps, all its numbers in boxes: inputs below, states between, scores above.

use crate::chart::{Area, COLOURS, Draw, Drawn, LABEL, NOTE, TITLE, letters};
use crate::{DrawingFormat, Result};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// One step of a network.
#[derive(Clone, Copy, Debug)]
pub struct DrawnStep<'a> {
    /// What is read, as a word.
    pub token: &'a str,
    /// x_t.
    pub input: &'a [f32],
    /// h_t.
    pub hidden: &'a [f32],
    /// s_t.
    pub scores: &'a [f32],
    /// Which of the scores should be the highest.
    pub target: usize,
}

/// A network's steps.
#[derive(Clone, Debug)]
pub struct DrawnSteps<'a> {
    /// What stands above them.
    pub title: String,
    /// The steps; all have as many numbers.
    pub steps: Vec<DrawnStep<'a>>,
}

/// The same steps of a network at several times, one below the other.
#[derive(Clone, Debug)]
pub struct UnrolledDrawing<'a> {
    /// What the scores are of.
    pub vocabulary: &'a [String],
    /// The network at each time.
    pub times: Vec<DrawnSteps<'a>>,
}

/// Pixels: of a column, a box, a number's line, an arrow between layers, what stands left of the first column, and above and below the
/// boxes.
const COLUMN: i32 = 150;
const BOX: i32 = 92;
const LINE: i32 = 22;
const ARROW: i32 = 34;
const LEFT: i32 = 170;
const ABOVE: i32 = 84;
const BELOW: i32 = 56;

const RIGHT: RGBColor = COLOURS[2];
const WRONG: RGBColor = COLOURS[1];
const ARROWS: RGBColor = COLOURS[0];

impl UnrolledDrawing<'_> {
    /// The drawing, as the content of a file.
    ///
    /// # Errors
    /// When it cannot be drawn.
    pub fn file(&self, format: DrawingFormat) -> Result<Vec<u8>> {
        Draw::file(self, format)
    }

    fn height(&self, steps: &DrawnSteps<'_>) -> i32 {
        let lines = steps.steps.first().map_or(0, |step| step.input.len() + step.hidden.len() + step.scores.len());
        lines as i32 * LINE + 2 * ARROW + ABOVE + BELOW
    }
}

impl Draw for UnrolledDrawing<'_> {
    fn size(&self) -> (u32, u32) {
        let columns = self.times.iter().map(|time| time.steps.len()).max().unwrap_or(0) as i32;
        let height = self.times.iter().map(|time| self.height(time)).sum::<i32>();
        ((LEFT + columns * COLUMN) as u32, height as u32)
    }

    fn draw<DB: DrawingBackend<ErrorType: 'static>>(&self, sheet: &Area<DB>) -> Drawn {
        let mut top = 0;
        for time in &self.times {
            self.time(sheet, time, top)?;
            top += self.height(time);
        }
        Ok(())
    }
}

/// Where the boxes of a step are.
struct Layout {
    scores: i32,
    hidden: i32,
    input: i32,
    end: i32,
}

impl UnrolledDrawing<'_> {
    fn time<DB: DrawingBackend<ErrorType: 'static>>(&self, sheet: &Area<DB>, time: &DrawnSteps<'_>, top: i32) -> Drawn {
        let Some(first) = time.steps.first() else { return Ok(()) };
        let scores = top + ABOVE;
        let hidden = scores + first.scores.len() as i32 * LINE + ARROW;
        let input = hidden + first.hidden.len() as i32 * LINE + ARROW;
        let layout = Layout { scores, hidden, input, end: input + first.input.len() as i32 * LINE };
        write(sheet, &time.title, (16, top + 26), TITLE, &BLACK, HPos::Left)?;
        let middle = |from: i32, count: usize| from + count as i32 * LINE / 2;
        for (name, y) in [
            ("target", scores - 18),
            ("scores s", middle(scores, first.scores.len())),
            ("hidden layer h", middle(hidden, first.hidden.len())),
            ("input layer x", middle(input, first.input.len())),
            ("input", layout.end + 22),
        ] {
            write(sheet, name, (16, y), LABEL, &BLACK, HPos::Left)?;
        }
        for (at, step) in time.steps.iter().enumerate() {
            self.step(sheet, step, LEFT + at as i32 * COLUMN, &layout)?;
            let y = middle(hidden, first.hidden.len());
            let right = LEFT + at as i32 * COLUMN + BOX;
            if at + 1 < time.steps.len() {
                arrow(sheet, (right, y), (right + COLUMN - BOX, y))?;
                let name = (right + (COLUMN - BOX) / 2, y - 14);
                write(sheet, "W_hh", name, NOTE, &ARROWS, HPos::Center)?;
            }
        }
        Ok(())
    }

    fn step<DB: DrawingBackend<ErrorType: 'static>>(
        &self,
        sheet: &Area<DB>,
        step: &DrawnStep<'_>,
        left: i32,
        layout: &Layout,
    ) -> Drawn {
        let centre = left + BOX / 2;
        let best = step.scores.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map(|(id, _)| id);
        let target = self.vocabulary.get(step.target).map_or("", String::as_str);
        write(sheet, target, (centre, layout.scores - 18), TITLE, &BLACK, HPos::Center)?;
        // The highest score is green where it should be it and red where it should not; the target's own is green.
        let colour = |id: usize| match () {
            () if id == step.target => RIGHT,
            () if Some(id) == best => WRONG,
            () => BLACK,
        };
        let names: Vec<&str> = self.vocabulary.iter().map(String::as_str).collect();
        numbers(sheet, step.scores, (left, layout.scores), &colour, &names)?;
        numbers(sheet, step.hidden, (left, layout.hidden), &|_| BLACK, &[])?;
        numbers(sheet, step.input, (left, layout.input), &|_| BLACK, &[])?;
        write(sheet, step.token, (centre, layout.end + 22), TITLE, &BLACK, HPos::Center)?;
        for (name, y) in [("W_xh", layout.input), ("W_hy", layout.hidden)] {
            arrow(sheet, (centre, y), (centre, y - ARROW))?;
            write(sheet, name, (centre + 8, y - ARROW / 2), NOTE, &ARROWS, HPos::Left)?;
        }
        Ok(())
    }
}

/// A box with a number on each line, and the names of the numbers left of it.
fn numbers<DB: DrawingBackend<ErrorType: 'static>>(
    sheet: &Area<DB>,
    values: &[f32],
    (left, top): (i32, i32),
    colour: &dyn Fn(usize) -> RGBColor,
    names: &[&str],
) -> Drawn {
    let bottom = top + values.len() as i32 * LINE;
    sheet.draw(&Rectangle::new([(left, top), (left + BOX, bottom)], BLACK.stroke_width(1)))?;
    for (at, value) in values.iter().enumerate() {
        let y = top + at as i32 * LINE + LINE / 2;
        let text = if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.2}") };
        write(sheet, &text.replace('-', "−"), (left + BOX - 20, y), LABEL, &colour(at), HPos::Right)?;
        if let Some(name) = names.get(at) {
            write(sheet, name, (left - 8, y), NOTE, &BLACK.mix(0.6), HPos::Right)?;
        }
    }
    Ok(())
}

fn write<DB: DrawingBackend<ErrorType: 'static>>(
    sheet: &Area<DB>,
    text: &str,
    at: (i32, i32),
    size: f64,
    colour: &dyn Color,
    across: HPos,
) -> Drawn {
    let colour = colour.to_rgba();
    let style = letters(size).color(&colour).pos(Pos::new(across, VPos::Center));
    Ok(sheet.draw(&Text::new(text.to_owned(), at, style))?)
}

/// A line with a head at its end.
fn arrow<DB: DrawingBackend<ErrorType: 'static>>(sheet: &Area<DB>, from: (i32, i32), to: (i32, i32)) -> Drawn {
    let (dx, dy) = ((to.0 - from.0).signum(), (to.1 - from.1).signum());
    let side = |sign: i32| (to.0 - 7 * dx + 4 * sign * dy, to.1 - 7 * dy + 4 * sign * dx);
    sheet.draw(&PathElement::new(vec![from, to], ARROWS.stroke_width(1)))?;
    Ok(sheet.draw(&Polygon::new(vec![to, side(1), side(-1)], ARROWS.filled()))?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_number_stands_in_it_and_the_wrong_one_is_marked() {
        let vocabulary = ["h", "e"].map(String::from);
        let step = DrawnStep { token: "h", input: &[1.0, 0.0], hidden: &[0.31, -0.5], scores: &[2.25, 1.5], target: 1 };
        let time = |title: &str| DrawnSteps { title: title.into(), steps: vec![step, step] };
        let drawing = UnrolledDrawing { vocabulary: &vocabulary, times: vec![time("before"), time("after")] };
        let svg = String::from_utf8(drawing.file(DrawingFormat::Svg).unwrap()).unwrap();
        let lines: Vec<&str> = svg.lines().map(str::trim).collect();
        let count = |text: &str| lines.iter().filter(|line| **line == text).count();
        assert_eq!([count("2.25"), count("1.50"), count("−0.50"), count("before"), count("after")], [4, 4, 4, 1, 1]);
        assert_eq!(count("W_hh"), 2);
        let coloured = |text: &str| {
            let at = lines.iter().position(|line| *line == text).unwrap();
            lines[..at].iter().rev().find(|line| line.starts_with("<text")).unwrap().to_uppercase()
        };
        assert!(coloured("2.25").contains("#D55E00") && coloured("1.50").contains("#009E73"));
        assert!(!drawing.file(DrawingFormat::Png).unwrap().is_empty());
    }
}
