//! Training curves: the loss and the learning rate above, the validation scores below.

use crate::Result;
use crate::axis::{decimal_label, linear_range};
use crate::chart::{Area, Drawn, svg};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use std::collections::BTreeMap;
use std::ops::Range;

/// Values by step: (step, value), in the order of the steps.
pub type Curve = Vec<(f64, f64)>;

/// The numbers of a run by step.
#[derive(Clone, Debug, Default)]
pub struct TrainingCurves {
    /// The loss of each step.
    pub loss: Curve,
    /// The learning rate of each step.
    pub learning_rate: Curve,
    /// The validation scores by name.
    pub scores: BTreeMap<String, Curve>,
}

type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

const RAW: RGBColor = RGBColor(178, 205, 232);
const SMOOTH: RGBColor = RGBColor(31, 90, 153);
const RATE: RGBColor = RGBColor(222, 125, 31);
const LINES: [RGBColor; 8] = [
    RGBColor(31, 90, 153),
    RGBColor(222, 125, 31),
    RGBColor(46, 139, 87),
    RGBColor(192, 57, 57),
    RGBColor(126, 87, 170),
    RGBColor(20, 150, 160),
    RGBColor(140, 98, 57),
    RGBColor(110, 110, 110),
];

/// More points than pixels only make the file large.
const MOST_POINTS: usize = 1500;

/// Up to here a score is a share or the like.
const SHARE: f64 = 2.0;

impl TrainingCurves {
    /// The plot as the content of an SVG file.
    ///
    /// # Errors
    /// When it cannot be drawn.
    pub fn svg(&self) -> Result<String> {
        if self.scores.is_empty() {
            return svg(960, 420, |sheet| self.draw_loss(sheet));
        }
        svg(960, 800, |sheet| {
            let (upper, lower) = sheet.split_vertically(400);
            self.draw_loss(&upper)?;
            self.draw_scores(&lower)
        })
    }

    fn steps(&self) -> Range<f64> {
        let last = self.loss.last().map_or(1.0, |point| point.0);
        0.0..last.max(1.0)
    }

    fn draw_loss(&self, area: &Area<'_>) -> Drawn {
        let smooth = smoothed(&self.loss);
        let mut chart = ChartBuilder::on(area)
            .caption("Loss and learning rate", ("sans-serif", 20))
            .margin(12)
            .x_label_area_size(45)
            .y_label_area_size(75)
            .right_y_label_area_size(75)
            .build_cartesian_2d(self.steps(), loss_range(&self.loss, &smooth))?
            .set_secondary_coord(self.steps(), linear_range(values(&self.learning_rate), 0.0));
        mesh(&mut chart, "loss")?;
        chart
            .configure_secondary_axes()
            .y_desc("learning rate")
            .y_labels(6)
            .y_label_formatter(&|y| if *y == 0.0 { "0".to_owned() } else { format!("{y:.1e}") })
            .label_style(("sans-serif", 14).into_font().color(&RATE))
            .axis_desc_style(("sans-serif", 15).into_font().color(&RATE))
            .draw()?;
        let line = |curve, style| LineSeries::new(thinned(curve), style);
        chart.draw_series(line(&self.loss, RAW.stroke_width(1)))?.label("loss").legend(key(RAW));
        chart.draw_series(line(&smooth, SMOOTH.stroke_width(2)))?.label("smoothed loss").legend(key(SMOOTH));
        chart
            .draw_secondary_series(line(&self.learning_rate, RATE.stroke_width(2)))?
            .label("learning rate")
            .legend(key(RATE));
        legend(&mut chart, SeriesLabelPosition::UpperRight)
    }

    fn draw_scores(&self, area: &Area<'_>) -> Drawn {
        // Shares such as BLEU and numbers such as a perplexity have an axis each where there are both.
        let (shares, numbers): (Vec<_>, Vec<_>) =
            self.scores.iter().partition(|(_, curve)| values(curve).all(|score| score.abs() <= SHARE));
        let two = !shares.is_empty() && !numbers.is_empty();
        let range =
            |scores: &[(&String, &Curve)]| linear_range(scores.iter().flat_map(|(_, curve)| values(curve)), 0.0);
        let mut left = range(if shares.is_empty() { &numbers } else { &shares });
        if !shares.is_empty() {
            left.end = left.end.max(1.0);
        }
        let mut chart = ChartBuilder::on(area)
            .caption("Validation scores", ("sans-serif", 20))
            .margin(12)
            .x_label_area_size(45)
            .y_label_area_size(75)
            .right_y_label_area_size(75)
            .build_cartesian_2d(self.steps(), left)?
            .set_secondary_coord(self.steps(), range(if two { &numbers } else { &[] }));
        mesh(&mut chart, "score")?;
        if two {
            let names: Vec<&str> = numbers.iter().map(|(name, _)| name.as_str()).collect();
            chart
                .configure_secondary_axes()
                .y_desc(names.join(", "))
                .y_labels(8)
                .y_label_formatter(&decimal_label)
                .label_style(("sans-serif", 14))
                .axis_desc_style(("sans-serif", 15))
                .draw()?;
        }
        for ((name, curve), color) in self.scores.iter().zip(LINES.iter().cycle().copied()) {
            let line = LineSeries::new(curve.iter().copied(), color.stroke_width(2)).point_size(3);
            let right = two && numbers.iter().any(|(number, _)| *number == name);
            let drawn = if right { chart.draw_secondary_series(line)? } else { chart.draw_series(line)? };
            drawn.label(name).legend(key(color));
        }
        legend(&mut chart, SeriesLabelPosition::UpperLeft)
    }
}

fn mesh(chart: &mut Chart, what: &str) -> Drawn {
    let mesh = &mut chart.configure_mesh();
    mesh.x_desc("step").y_desc(what).x_labels(10).y_labels(8);
    mesh.label_style(("sans-serif", 14)).axis_desc_style(("sans-serif", 15));
    mesh.bold_line_style(BLACK.mix(0.12)).light_line_style(TRANSPARENT);
    mesh.x_label_formatter(&|x| format!("{x:.0}")).y_label_formatter(&decimal_label).draw()?;
    Ok(())
}

fn legend<'a, 'b: 'a>(chart: &mut Chart<'a, 'b>, at: SeriesLabelPosition) -> Drawn {
    let labels = &mut chart.configure_series_labels();
    labels.position(at).label_font(("sans-serif", 14)).margin(8);
    labels.background_style(WHITE.mix(0.85)).border_style(BLACK.mix(0.25)).draw()?;
    Ok(())
}

/// The line that stands for a curve in the legend.
fn key(color: RGBColor) -> impl Fn((i32, i32)) -> PathElement<(i32, i32)> {
    move |(x, y)| PathElement::new(vec![(x, y), (x + 16, y)], color.stroke_width(3))
}

fn values(curve: &Curve) -> impl Iterator<Item = f64> {
    curve.iter().map(|point| point.1)
}

/// The exponential mean without bias, its window a fiftieth of the curve.
fn smoothed(curve: &Curve) -> Curve {
    let decay = 1.0 - 1.0 / (curve.len() as f64 / 50.0).max(5.0);
    let (mut sum, mut weight) = (0.0, 0.0);
    let mean = |&(step, value): &(f64, f64)| {
        (sum, weight) = (decay * sum + value, decay * weight + 1.0);
        (step, sum / weight)
    };
    curve.iter().map(mean).collect()
}

fn thinned(curve: &Curve) -> impl Iterator<Item = (f64, f64)> + '_ {
    let every = curve.len().div_ceil(MOST_POINTS).max(1);
    let last = curve.len().saturating_sub(1);
    curve.iter().enumerate().filter(move |(i, _)| i % every == 0 || *i == last).map(|(_, &point)| point)
}

/// A few wild steps do not flatten the curve: the raw loss is shown up to its 99th percentile, the smoothed one whole.
fn loss_range(raw: &Curve, smooth: &Curve) -> Range<f64> {
    let mut sorted: Vec<f64> = values(raw).collect();
    sorted.sort_by(f64::total_cmp);
    let high = sorted.get(sorted.len().saturating_sub(1) * 99 / 100).copied().unwrap_or(1.0);
    let floor = sorted.first().copied().filter(|&low| low < 0.0).unwrap_or(0.0);
    let range = linear_range(values(smooth), floor);
    range.start..range.end.max(high * 1.04)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_curve_is_drawn_and_named() {
        let curve = |of: fn(f64) -> f64| (1..=50).map(|step| (f64::from(step), of(f64::from(step)))).collect::<Curve>();
        let mut curves =
            TrainingCurves { loss: curve(|x| 3.0 / x), learning_rate: curve(|_| 1e-3), ..Default::default() };
        let drawn = curves.svg().unwrap();
        assert!(drawn.contains("smoothed loss") && !drawn.contains("Validation scores"));
        curves.scores.insert("bleu".into(), vec![(10.0, 0.1), (50.0, 0.3)]);
        curves.scores.insert("perplexity".into(), vec![(10.0, 90.0), (50.0, 20.0)]);
        let drawn = curves.svg().unwrap();
        // A share has the left axis, which goes to 1, and a perplexity the right one.
        for (text, count) in [("bleu", 1), ("perplexity", 2), ("Validation scores", 1), ("90", 0), ("80", 1)] {
            assert_eq!(drawn.lines().filter(|line| line.trim() == text).count(), count, "{text}");
        }
    }
}
