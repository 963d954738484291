//! Training curves: the loss, the learning rate and the validation scores, panels with the same steps across.

use crate::axis::{Axis, linear_range};
use crate::chart::{Area, COLOURS, Draw, Drawn};
use crate::panel::{Line, Marker, Panel, colour, key_width};
use crate::{DrawingFormat, Result};
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

/// The width of the picture, and the heights of its panels, in pixels.
const WIDTH: u32 = 1060;
const TALL: u32 = 360;
const LOW: u32 = 220;

/// More points than pixels only make the file large.
const MOST_POINTS: usize = 1500;

/// Up to here a score is a share or the like.
const SHARE: f64 = 2.0;

impl TrainingCurves {
    /// The plot as the content of a file.
    ///
    /// # Errors
    /// When it cannot be drawn.
    pub fn file(&self, format: DrawingFormat) -> Result<Vec<u8>> {
        Draw::file(self, format)
    }

    /// The panels from above to below, with their heights.
    fn panels(&self) -> Vec<(u32, Panel<'_>)> {
        let mut panels = vec![(TALL, self.loss_panel())];
        if !self.learning_rate.is_empty() {
            let line = self.line("learning rate", &self.learning_rate, COLOURS[1].stroke_width(2));
            panels.push((LOW, self.panel("Learning rate", linear_range(values(&self.learning_rate), 0.0), vec![line])));
        }
        // Shares such as BLEU stand together; numbers such as a perplexity have a panel each.
        let is_share = |curve: &Curve| values(curve).all(|score| score.abs() <= SHARE);
        let (shares, numbers): (Vec<_>, Vec<_>) =
            self.scores.iter().enumerate().partition(|(_, (_, curve))| is_share(curve));
        let line = |index: usize, name: &str, curve: &Curve| Line {
            marker: Some(Marker::of(index)),
            ..self.line(name, curve, colour(index).stroke_width(2))
        };
        if !shares.is_empty() {
            let mut range = linear_range(shares.iter().flat_map(|(_, (_, curve))| values(curve)), 0.0);
            range.end = range.end.max(1.0);
            let lines = shares.iter().map(|(index, (name, curve))| line(*index, name, curve)).collect();
            panels.push((TALL, self.panel("Validation scores", range, lines)));
        }
        for (index, (name, curve)) in numbers {
            let lines = vec![line(index, name, curve)];
            panels.push((LOW, self.panel(name, linear_range(values(curve), 0.0), lines)));
        }
        let key = key_width(panels.iter().flat_map(|(_, panel)| &panel.lines));
        panels.iter_mut().for_each(|(_, panel)| panel.key = key);
        if let Some((height, last)) = panels.last_mut() {
            (*height, last.x_label) = (*height + 22, "step");
        }
        panels
    }

    fn loss_panel(&self) -> Panel<'_> {
        let smooth = smoothed(&self.loss);
        let range = loss_range(&self.loss, &smooth);
        let limit = range.end;
        let above = values(&self.loss).filter(|loss| *loss > limit).count();
        let decimals = (2.0 - limit.log10().floor()).max(0.0) as usize;
        let steps = if above == 1 { "step" } else { "steps" };
        let lines = vec![
            self.line("each step", &self.loss, COLOURS[5].stroke_width(1)),
            self.line("smoothed", &smooth, COLOURS[0].stroke_width(2)),
        ];
        let note = (above > 0).then(|| format!("cut at {:.decimals$}: {above} {steps} above it", limit));
        Panel { note, ..self.panel("Loss", range, lines) }
    }

    fn panel<'a>(&self, title: &'a str, range: Range<f64>, lines: Vec<Line>) -> Panel<'a> {
        let last = self.loss.last().map_or(1.0, |point| point.0).max(1.0);
        // A mark at the last step is whole.
        let x = Axis::linear(0.0..last * 1.015, 10);
        let y = Axis::linear(range, 8);
        Panel { title, note: None, x, y, x_label: "", y_label: "", lines, names_at_ends: true, key: 0 }
    }

    fn line(&self, label: &str, curve: &Curve, style: ShapeStyle) -> Line {
        Line { label: label.to_owned(), points: thinned(curve).collect(), style, dashed: false, marker: None }
    }
}

impl Draw for TrainingCurves {
    fn size(&self) -> (u32, u32) {
        (WIDTH, self.panels().iter().map(|(height, _)| height).sum())
    }

    fn draw<DB: DrawingBackend<ErrorType: 'static>>(&self, sheet: &Area<DB>) -> Drawn {
        let mut rest = sheet.clone();
        for (height, panel) in self.panels() {
            let (upper, lower) = rest.split_vertically(height);
            panel.draw(&upper)?;
            rest = lower;
        }
        Ok(())
    }
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
    use crate::raster::text_width;

    fn curve(of: fn(f64) -> f64) -> Curve {
        (1..=200).map(|step| (f64::from(step), of(f64::from(step)))).collect()
    }

    fn lines_of(curves: &TrainingCurves) -> Vec<String> {
        let svg = String::from_utf8(curves.file(DrawingFormat::Svg).unwrap()).unwrap();
        svg.lines().map(|line| line.trim().to_owned()).collect()
    }

    #[test]
    fn every_curve_is_drawn_and_named() {
        let mut curves =
            TrainingCurves { loss: curve(|x| 3.0 / x), learning_rate: curve(|_| 1e-3), ..Default::default() };
        let drawn = lines_of(&curves);
        assert!(drawn.iter().any(|line| line == "smoothed") && !drawn.iter().any(|line| line == "Validation scores"));
        curves.scores.insert("bleu".into(), vec![(10.0, 0.1), (50.0, 0.3)]);
        curves.scores.insert("perplexity".into(), vec![(10.0, 90.0), (50.0, 20.0)]);
        let drawn = lines_of(&curves);
        // A share has an axis to 1, and a perplexity, which is the title of its panel too, one of its own.
        let wanted =
            [("bleu", 1), ("perplexity", 2), ("Validation scores", 1), ("0.8", 1), ("80", 1), ("200", 4), ("step", 1)];
        for (text, count) in wanted {
            assert_eq!(drawn.iter().filter(|line| *line == text).count(), count, "{text}");
        }
        // The marks of the first score: two, and one in the key.
        assert_eq!(drawn.iter().filter(|line| line.starts_with("<circle")).count(), 3);
    }

    #[test]
    fn a_loss_beyond_the_picture_is_told() {
        let told = |curves: &TrainingCurves| lines_of(curves).into_iter().find(|line| line.starts_with("cut at"));
        let curves = TrainingCurves { loss: curve(|x| 1.0 + 1.0 / x), ..Default::default() };
        assert_eq!(told(&curves), None);
        let mut loss: Curve = (1..=2000).map(|step| (f64::from(step), 1.0)).collect();
        loss[1500].1 = 40.0;
        let curves = TrainingCurves { loss, ..Default::default() };
        assert!(told(&curves).unwrap().ends_with(": 1 step above it"));
    }

    #[test]
    fn letters_are_large_enough_and_none_is_cut_off() {
        let scores = [("a long name of a score".to_owned(), vec![(200.0, 0.5)])].into();
        let curves = TrainingCurves { loss: curve(|x| 1.0 / x), learning_rate: curve(|x| 1e-6 * x), scores };
        let (width, height) = Draw::size(&curves);
        let attribute = |line: &str, name: &str| -> f64 {
            let (_, after) = line.split_once(&format!(" {name}=\"")).unwrap();
            after.split_once('"').unwrap().0.parse().unwrap()
        };
        let lines = lines_of(&curves);
        for (at, line) in lines.iter().enumerate().filter(|(_, line)| line.starts_with("<text")) {
            assert!(attribute(line, "font-size") >= 13.0, "{line}");
            let (x, y) = (attribute(line, "x"), attribute(line, "y"));
            let end =
                if line.contains("\"start\"") { text_width(&lines[at + 1], attribute(line, "font-size")) } else { 0.0 };
            assert!(x >= 0.0 && x + end <= f64::from(width) && (0.0..f64::from(height)).contains(&y), "{line}");
        }
    }
}
