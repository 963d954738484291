//! The curves of a run as a picture: the loss and the learning rate above, the validation scores below.

use crate::{Error, Result, durable};
use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::ops::Range;
use std::path::Path;

/// The name of the picture in a run folder.
pub const CURVES_FILE: &str = "curves.svg";

type Points = Vec<(f64, f64)>;
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;
type Drawn = std::result::Result<(), Box<dyn std::error::Error>>;

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

#[derive(Default)]
struct Curves {
    loss: Points,
    rate: Points,
    scores: BTreeMap<String, Points>,
}

/// Draws the picture of a `log.jsonl`; a run without any step yet has none.
///
/// # Errors
/// When the log cannot be read or the picture cannot be written.
pub fn draw(log: &Path, picture: &Path) -> Result<()> {
    let curves = Curves::read(log)?;
    if curves.loss.is_empty() {
        return Ok(());
    }
    let mut svg = String::new();
    curves.render(&mut svg).map_err(|error| Error::corrupt(picture, format!("the curves cannot be drawn: {error}")))?;
    durable::replace(picture, svg.as_bytes())
}

impl Curves {
    fn read(log: &Path) -> Result<Self> {
        let mut curves = Curves::default();
        let file = File::open(log).map_err(Error::file(log, "cannot be read"))?;
        for line in BufReader::new(file).split(b'\n') {
            let line = line.map_err(Error::file(log, "cannot be read"))?;
            let Ok(value) = serde_json::from_slice::<Value>(&line) else { continue };
            let number = |name: &str| value.get(name).and_then(Value::as_f64).filter(|x| x.is_finite());
            let Some(step) = number("step") else { continue };
            curves.loss.extend(number("loss").map(|y| (step, y)));
            curves.rate.extend(number("learning_rate").map(|y| (step, y)));
            for (name, score) in value.get("scores").and_then(Value::as_object).into_iter().flatten() {
                let points = curves.scores.entry(name.clone()).or_default();
                points.extend(score.as_f64().map(|y| (step, y)));
            }
        }
        Ok(curves)
    }

    fn render(&self, svg: &mut String) -> Drawn {
        let height = if self.scores.is_empty() { 420 } else { 800 };
        let root = SVGBackend::with_string(svg, (960, height)).into_drawing_area();
        root.fill(&WHITE)?;
        if self.scores.is_empty() {
            self.draw_loss(&root)?;
        } else {
            let (upper, lower) = root.split_vertically(400);
            self.draw_loss(&upper)?;
            self.draw_scores(&lower)?;
        }
        root.present()?;
        Ok(())
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
            .set_secondary_coord(self.steps(), span([self.rate.as_slice()], Some(0.0)));
        mesh(&mut chart, "loss")?;
        chart
            .configure_secondary_axes()
            .y_desc("learning rate")
            .y_labels(6)
            .y_label_formatter(&|y| if *y == 0.0 { "0".to_owned() } else { format!("{y:.1e}") })
            .label_style(("sans-serif", 14).into_font().color(&RATE))
            .axis_desc_style(("sans-serif", 15).into_font().color(&RATE))
            .draw()?;
        chart.draw_series(LineSeries::new(thinned(&self.loss), RAW.stroke_width(1)))?.label("loss").legend(key(RAW));
        chart
            .draw_series(LineSeries::new(thinned(&smooth), SMOOTH.stroke_width(2)))?
            .label("smoothed loss")
            .legend(key(SMOOTH));
        chart
            .draw_secondary_series(LineSeries::new(thinned(&self.rate), RATE.stroke_width(2)))?
            .label("learning rate")
            .legend(key(RATE));
        legend(&mut chart, SeriesLabelPosition::UpperRight)
    }

    fn draw_scores(&self, area: &Area<'_>) -> Drawn {
        // Shares such as BLEU and numbers such as a perplexity have an axis each where there are both.
        let small = |points: &Points| points.iter().all(|point| point.1.abs() <= SHARE);
        let two = self.scores.values().any(small) && !self.scores.values().all(small);
        let on =
            |right: bool| self.scores.values().filter(move |points| two && small(points) != right || !two && !right);
        let ranges = [false, true].map(|right| span(on(right).map(Vec::as_slice), Some(0.0)));
        let [left, right] = ranges;
        let left = if self.scores.values().any(small) { left.start..left.end.max(1.0) } else { left };
        let mut chart = ChartBuilder::on(area)
            .caption("Validation scores", ("sans-serif", 20))
            .margin(12)
            .x_label_area_size(45)
            .y_label_area_size(75)
            .right_y_label_area_size(75)
            .build_cartesian_2d(self.steps(), left)?
            .set_secondary_coord(self.steps(), right);
        mesh(&mut chart, "score")?;
        if two {
            let names: Vec<&str> =
                self.scores.iter().filter(|(_, p)| !small(p)).map(|(name, _)| name.as_str()).collect();
            chart
                .configure_secondary_axes()
                .y_desc(names.join(", "))
                .y_labels(8)
                .y_label_formatter(&|y| label(*y))
                .label_style(("sans-serif", 14))
                .axis_desc_style(("sans-serif", 15))
                .draw()?;
        }
        for ((name, points), color) in self.scores.iter().zip(LINES.iter().cycle().copied()) {
            let line = LineSeries::new(points.iter().copied(), color.stroke_width(2)).point_size(3);
            let drawn =
                if two && !small(points) { chart.draw_secondary_series(line)? } else { chart.draw_series(line)? };
            drawn.label(name).legend(key(color));
        }
        legend(&mut chart, SeriesLabelPosition::UpperLeft)
    }
}

fn mesh(chart: &mut Chart, what: &str) -> Drawn {
    chart
        .configure_mesh()
        .x_desc("step")
        .y_desc(what)
        .x_labels(10)
        .y_labels(8)
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| label(*y))
        .label_style(("sans-serif", 14))
        .axis_desc_style(("sans-serif", 15))
        .bold_line_style(BLACK.mix(0.12))
        .light_line_style(TRANSPARENT)
        .draw()
        .map_err(|error| error.to_string().into())
}

fn legend<'a, 'b: 'a>(chart: &mut Chart<'a, 'b>, at: SeriesLabelPosition) -> Drawn {
    chart
        .configure_series_labels()
        .position(at)
        .label_font(("sans-serif", 14))
        .background_style(WHITE.mix(0.85))
        .border_style(BLACK.mix(0.25))
        .margin(8)
        .draw()
        .map_err(|error| error.to_string().into())
}

/// The line that stands for a curve in the legend.
fn key(color: RGBColor) -> impl Fn((i32, i32)) -> PathElement<(i32, i32)> {
    move |(x, y)| PathElement::new(vec![(x, y), (x + 16, y)], color.stroke_width(3))
}

fn label(y: f64) -> String {
    let text = format!("{y:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The exponential mean, its window a fiftieth of the curve, as if it had begun with the first value's neighbours.
fn smoothed(points: &[(f64, f64)]) -> Points {
    let decay = 1.0 - 1.0 / (points.len() as f64 / 50.0).max(5.0);
    let (mut sum, mut weight) = (0.0, 0.0);
    points
        .iter()
        .map(|&(x, y)| {
            (sum, weight) = (decay * sum + y, decay * weight + 1.0);
            (x, sum / weight)
        })
        .collect()
}

fn thinned(points: &[(f64, f64)]) -> impl Iterator<Item = (f64, f64)> + '_ {
    let every = points.len().div_ceil(MOST_POINTS).max(1);
    let last = points.len().saturating_sub(1);
    points.iter().enumerate().filter(move |(i, _)| i % every == 0 || *i == last).map(|(_, &point)| point)
}

/// From the least to the largest value with a margin; `floor` is shown too.
fn span<'a>(curves: impl IntoIterator<Item = &'a [(f64, f64)]>, floor: Option<f64>) -> Range<f64> {
    let values = curves.into_iter().flatten().map(|point| point.1).chain(floor);
    let (low, high) = values.fold((f64::MAX, f64::MIN), |(low, high), y| (low.min(y), high.max(y)));
    if low > high {
        return 0.0..1.0;
    }
    let margin = if high > low { 0.06 * (high - low) } else { 0.5 * high.abs().max(1e-6) };
    let bottom = if Some(low) == floor { low } else { low - margin };
    bottom..high + margin
}

/// A few wild steps do not flatten the curve: the raw loss is shown up to its 99th percentile, the smoothed one whole.
fn loss_range(raw: &[(f64, f64)], smooth: &[(f64, f64)]) -> Range<f64> {
    let mut sorted: Vec<f64> = raw.iter().map(|point| point.1).collect();
    sorted.sort_by(f64::total_cmp);
    let high = sorted.get(sorted.len().saturating_sub(1) * 99 / 100).copied().unwrap_or(1.0);
    let floor = sorted.first().copied().filter(|&low| low < 0.0).unwrap_or(0.0);
    let range = span([smooth], Some(floor));
    range.start..range.end.max(high * 1.04)
}
