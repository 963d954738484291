//! Gradient flow: the norms of the gradient of the last output with respect to the state of each step before it.

use crate::Result;
use crate::axis::LogAxis;
use crate::chart::svg;
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

/// The picture's width and height, and what the legend beside the curves takes of the width.
const WIDTH: u32 = 1020;
const HEIGHT: u32 = 500;
const LEGEND: u32 = 140;

/// One curve of a plot.
struct Curve<'a> {
    label: String,
    norms: &'a [f64],
    style: ShapeStyle,
    dashed: bool,
}

/// Steps across, the norms up on a logarithmic scale, as the content of an SVG file; c is drawn thinner than h, and what was clipped
/// is dashed.
///
/// # Errors
/// When it cannot be drawn.
pub fn gradient_flow_plot(cells: &[GradientNorms<'_>]) -> Result<String> {
    let curves: Vec<Curve<'_>> = cells.iter().enumerate().flat_map(|(index, cell)| curves(index, cell)).collect();
    let all = || curves.iter().flat_map(|curve| curve.norms.iter().copied()).filter(|norm| norm.is_finite());
    let most = all().fold(1.0, f64::max);
    let least = all().filter(|norm| *norm > 0.0).fold(1.0, f64::min).max(FLOOR);
    let low = least.log10().floor();
    let powers = low..most.log10().ceil().max(low + 1.0);
    let steps = curves.iter().map(|curve| curve.norms.len()).max().unwrap_or(1);
    svg(WIDTH, HEIGHT, |sheet| {
        // A chart draws its legend over its curves.
        let (left, legend) = sheet.split_horizontally(WIDTH - LEGEND);
        let mut chart = ChartBuilder::on(&left)
            .margin(20)
            .x_label_area_size(40)
            .y_label_area_size(80)
            .build_cartesian_2d(1..steps.max(2), LogAxis::decades(powers))?;
        chart
            .configure_mesh()
            .disable_mesh()
            .x_desc("step t")
            .y_desc("norm of the gradient of the last output")
            .y_label_formatter(&|power| format!("1e{power:.0}"))
            .draw()?;
        for (y, curve) in (30..).step_by(18).zip(curves) {
            let points = curve.norms.iter().enumerate().filter(|(_, norm)| norm.is_finite() && **norm >= least);
            let points = points.map(|(t, norm)| (t + 1, norm.log10()));
            match curve.dashed {
                true => chart.draw_series(DashedLineSeries::new(points, 6, 4, curve.style))?,
                false => chart.draw_series(LineSeries::new(points, curve.style))?,
            };
            legend.draw(&PathElement::new([(0, y), (if curve.dashed { 8 } else { 20 }, y)], curve.style))?;
            legend.draw(&Text::new(curve.label, (28, y - 6), ("sans-serif", 12)))?;
        }
        Ok(())
    })
}

/// The curves of one cell, in its colour.
fn curves<'a>(index: usize, cell: &GradientNorms<'a>) -> impl Iterator<Item = Curve<'a>> {
    let (colour, name) = (Palette99::pick(index).to_rgba(), cell.name);
    [(cell.norms, false), (cell.clipped, true)].into_iter().flat_map(move |(states, dashed)| {
        states.iter().zip([("h", 2), ("c", 1)]).map(move |(norms, (state, width))| Curve {
            label: format!("{name} {state}{}", if dashed { " clipped" } else { "" }),
            norms,
            style: colour.stroke_width(width),
            dashed,
        })
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_curve_has_a_line_in_the_legend() {
        let norms = |count: usize, factor: f64| vec![(0..40).map(|t| factor.powi(39 - t)).collect::<Vec<f64>>(); count];
        let (rnn, clipped, lstm) = (norms(1, 4.0), norms(1, 1.0), norms(2, 0.9));
        let cells = [
            GradientNorms { name: "rnn", norms: &rnn, clipped: &clipped },
            GradientNorms { name: "lstm", norms: &lstm, clipped: &[] },
        ];
        let drawn = gradient_flow_plot(&cells).unwrap();
        for (label, count) in [("rnn h", 1), ("rnn h clipped", 1), ("lstm h", 1), ("lstm c", 1), ("lstm h clipped", 0)]
        {
            assert_eq!(drawn.lines().filter(|line| line.trim() == label).count(), count, "{label}");
        }
    }
}
