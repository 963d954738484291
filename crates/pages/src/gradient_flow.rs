//! Gradient flow: the norms of the gradient of the last output with respect to the state of each step before it.

use crate::axis::Axis;
use crate::chart::{Area, Draw, Drawn};
use crate::panel::{KEY_LINE, Line, Marker, Panel, colour, key_width};
use crate::{DrawingFormat, Result};
use plotters::prelude::*;

/// The norms of a cell's gradients, step by step.
#[derive(Clone, Copy, Debug)]
pub struct GradientNorms<'a> {
    /// What the cell is called.
    pub name: &'a str,
    /// The norms of the gradients of h and, where there is one, c after each step.
    pub norms: &'a [Vec<f64>],
    /// The same where the gradient is clipped at each step; empty where that was not measured.
    pub clipped: &'a [Vec<f64>],
}

/// The smallest norm that is drawn: f32 is about to underflow there.
const FLOOR: f64 = 1e-30;

/// The picture's width, and its least height.
const WIDTH: u32 = 1060;
const HEIGHT: u32 = 560;

/// Steps across, the norms up on a logarithmic scale, as the content of a file; c is drawn thinner than h, and what was clipped is
/// dashed. Norms under 10⁻³⁰ are left out, and the picture says so.
///
/// # Errors
/// When it cannot be drawn.
pub fn gradient_flow_plot(cells: &[GradientNorms<'_>], format: DrawingFormat) -> Result<Vec<u8>> {
    GradientFlowPlot { cells }.file(format)
}

struct GradientFlowPlot<'a> {
    cells: &'a [GradientNorms<'a>],
}

impl GradientFlowPlot<'_> {
    fn states(&self) -> impl Iterator<Item = &Vec<f64>> {
        self.cells.iter().flat_map(|cell| cell.norms.iter().chain(cell.clipped))
    }

    fn norms(&self) -> impl Iterator<Item = f64> {
        self.states().flatten().copied().filter(|norm| norm.is_finite())
    }

    fn panel(&self) -> Panel<'_> {
        let least = self.norms().filter(|norm| *norm >= FLOOR).fold(1.0, f64::min);
        let most = self.norms().fold(1.0, f64::max);
        let low = (least.log10() + 1e-9).floor();
        let high = (most.log10() - 1e-9).ceil().max(low + 1.0);
        let steps = self.cells.iter().flat_map(|cell| cell.norms).map(Vec::len).max().unwrap_or(1).max(2) as f64;
        // No path leads from c after the last step to the output: that 0 is not a norm that became too small.
        let cut = self.states().any(|norms| norms.iter().rev().skip(1).any(|norm| *norm < FLOOR));
        let lines: Vec<Line> = self.cells.iter().enumerate().flat_map(|(index, cell)| lines(index, cell)).collect();
        Panel {
            title: "Gradient flow",
            note: cut.then(|| "cut at 10⁻³⁰: smaller norms are not drawn".to_owned()),
            x: Axis::linear(1.0 - 0.01 * steps..1.01 * steps, 10),
            y: Axis::logarithmic(10f64.powf(low)..10f64.powf(high)),
            x_label: "step t",
            y_label: "norm of the gradient of the last output",
            key: key_width(&lines),
            lines,
            names_at_ends: false,
        }
    }
}

impl Draw for GradientFlowPlot<'_> {
    fn size(&self) -> (u32, u32) {
        let lines = self.cells.iter().map(|cell| cell.norms.len() + cell.clipped.len()).sum::<usize>();
        (WIDTH, HEIGHT.max(lines as u32 * KEY_LINE as u32 + 100))
    }

    fn draw<DB: DrawingBackend<ErrorType: 'static>>(&self, sheet: &Area<DB>) -> Drawn {
        self.panel().draw(sheet)
    }
}

/// The lines of one cell, in its colour and with its marks.
fn lines(index: usize, cell: &GradientNorms<'_>) -> Vec<Line> {
    let line = |norms: &[f64], state: &str, clipped: bool| Line {
        label: format!("{} {state}{}", cell.name, if clipped { " clipped" } else { "" }),
        points: (1..)
            .map(f64::from)
            .zip(norms.iter().copied())
            .filter(|(_, norm)| *norm >= FLOOR && norm.is_finite())
            .collect(),
        style: colour(index).stroke_width(if state == "h" { 2 } else { 1 }),
        dashed: clipped,
        marker: (state == "h").then(|| Marker::of(index)),
    };
    let states = [(cell.norms, false), (cell.clipped, true)];
    let lines = states.into_iter().flat_map(|(states, clipped)| {
        states.iter().zip(["h", "c"]).map(move |(norms, state)| line(norms, state, clipped))
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn drawn(cells: &[GradientNorms<'_>]) -> Vec<String> {
        let svg = String::from_utf8(gradient_flow_plot(cells, DrawingFormat::Svg).unwrap()).unwrap();
        svg.lines().map(|line| line.trim().to_owned()).collect()
    }

    fn norms(count: usize, factor: f64) -> Vec<Vec<f64>> {
        vec![(0..40).map(|t| factor.powi(39 - t)).collect(); count]
    }

    #[test]
    fn every_curve_has_a_line_in_the_key() {
        let (rnn, clipped, lstm) = (norms(1, 4.0), norms(1, 1.0), norms(2, 0.9));
        let cells = [
            GradientNorms { name: "rnn", norms: &rnn, clipped: &clipped },
            GradientNorms { name: "lstm", norms: &lstm, clipped: &[] },
        ];
        let drawn = drawn(&cells);
        for (label, count) in [("rnn h", 1), ("rnn h clipped", 1), ("lstm h", 1), ("lstm c", 1), ("lstm h clipped", 0)]
        {
            assert_eq!(drawn.iter().filter(|line| *line == label).count(), count, "{label}");
        }
        assert!(!drawn.iter().any(|line| line.starts_with("cut at")));
    }

    #[test]
    fn the_same_is_drawn_in_pixels() {
        let (rnn, lstm) = (norms(1, 0.5), norms(2, 0.9));
        let cells = [
            GradientNorms { name: "rnn", norms: &rnn, clipped: &[] },
            GradientNorms { name: "lstm", norms: &lstm, clipped: &lstm },
        ];
        let png = gradient_flow_plot(&cells, DrawingFormat::Png).unwrap();
        let picture = image::load_from_memory_with_format(&png, image::ImageFormat::Png).unwrap().to_rgb8();
        assert_eq!(picture.dimensions(), (2 * WIDTH, 2 * HEIGHT));
        let count =
            |colour: RGBColor| picture.pixels().filter(|pixel| pixel.0 == [colour.0, colour.1, colour.2]).count();
        // Lines and marks of both cells, letters, and a white sheet.
        assert!(count(colour(0)) > 1000 && count(colour(1)) > 1000 && count(BLACK) > 1000, "{}", count(BLACK));
        assert!(count(WHITE) > picture.pixels().len() * 9 / 10);
    }

    #[test]
    fn a_last_state_that_the_output_does_not_read_is_no_cut() {
        let mut lstm = norms(2, 0.9);
        lstm[1][39] = 0.0;
        let drawn = drawn(&[GradientNorms { name: "lstm", norms: &lstm, clipped: &[] }]);
        assert!(!drawn.iter().any(|line| line.starts_with("cut at")));
    }

    #[test]
    fn a_cut_at_the_floor_is_told_and_no_number_stands_twice_at_the_axis() {
        for (factor, told) in [(0.1, true), (0.2, false), (1.0, false), (2.5, false), (1e3, false)] {
            let rnn = norms(1, factor);
            let drawn = drawn(&[GradientNorms { name: "rnn", norms: &rnn, clipped: &[] }]);
            assert_eq!(drawn.iter().any(|line| line.starts_with("cut at 10⁻³⁰")), told, "{factor}");
            let is_number = |line: &&String| line.starts_with(|first: char| first.is_ascii_digit());
            let mut numbers: Vec<&String> = drawn.iter().filter(is_number).collect();
            // Those of the steps come first.
            let count = numbers.split_off(9).iter().fold(Vec::new(), |mut known: Vec<&String>, number| {
                assert!(!known.contains(number), "{factor}: {number} stands twice");
                known.push(number);
                known
            });
            assert!((3..=11).contains(&count.len()), "{factor}: {count:?}");
        }
    }
}
