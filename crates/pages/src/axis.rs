//! The axes of all plots: linear ranges with a margin, logarithmic axes with round ticks, and what stands at a tick.

use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use std::ops::Range;

/// A logarithmic axis, whose values are the exponents of ten; its ticks are round numbers, each labelled once.
pub struct LogAxis {
    range: Range<f64>,
    ticks: Vec<f64>,
}

impl LogAxis {
    /// Ticks at whole powers, so far apart that there are ten at most.
    pub fn decades(range: Range<f64>) -> Self {
        let every = ((range.end - range.start) / 10.0).ceil().max(1.0);
        let steps = ((range.end - range.start) / every) as usize;
        let ticks = (0..=steps).map(|step| range.start.ceil() + step as f64 * every);
        Self { ticks: ticks.filter(|tick| *tick <= range.end).collect(), range }
    }

    /// Ticks at 1, 2 and 5 times each power.
    pub fn one_two_five(range: Range<f64>) -> Self {
        let decades = range.start.floor() as i32..=range.end.ceil() as i32;
        let ticks = decades.flat_map(|decade| [1.0f64, 2.0, 5.0].map(|times| times.log10() + f64::from(decade)));
        Self { ticks: ticks.filter(|tick| range.contains(tick)).collect(), range }
    }
}

impl Ranged for LogAxis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let share = (value - self.range.start) / (self.range.end - self.range.start).max(f64::MIN_POSITIVE);
        limit.0 + (share * f64::from(limit.1 - limit.0)).round() as i32
    }

    fn key_points<H: KeyPointHint>(&self, _: H) -> Vec<f64> {
        self.ticks.clone()
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

/// The number at a tick of [`LogAxis::one_two_five`], with the one digit that it has.
pub fn power_label(power: &f64) -> String {
    let digits = (-power.floor()).max(0.0) as usize;
    format!("{:.digits$}", 10f64.powf(*power))
}

/// The number at a linear tick, with three decimals at most.
pub fn decimal_label(value: &f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// From `floor` or the least value to the largest, with a margin beside values.
pub fn linear_range(values: impl IntoIterator<Item = f64>, floor: f64) -> Range<f64> {
    let (low, high) = values.into_iter().fold((floor, floor), |(low, high), value| (low.min(value), high.max(value)));
    let margin = if high > low { 0.06 * (high - low) } else { 0.5 * high.abs().max(1e-6) };
    let bottom = if low == floor { low } else { low - margin };
    bottom..high + margin
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_label_stands_twice() {
        for (start, end) in [(-30.0, 3.0), (-1.0, 3.0), (0.0, 1.0), (-7.0, 0.0)] {
            let ticks = LogAxis::decades(start..end).ticks;
            assert!((2..=11).contains(&ticks.len()) && ticks.iter().all(|tick| tick.fract() == 0.0), "{ticks:?}");
        }
        let labels: Vec<String> = LogAxis::one_two_five(-0.7..1.9).ticks.iter().map(power_label).collect();
        assert_eq!(labels, ["0.2", "0.5", "1", "2", "5", "10", "20", "50"]);
    }

    #[test]
    fn a_range_has_a_margin_beside_values_and_none_at_its_floor() {
        assert_eq!(linear_range([1.0, 2.0], 0.0), 0.0..2.12);
        assert_eq!(linear_range([-1.0, 1.0], 0.0), -1.12..1.12);
        assert_eq!(linear_range([], 0.0), 0.0..5e-7);
    }
}
