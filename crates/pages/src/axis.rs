//! The axes of all plots: where their ticks stand, at 1, 2 or 5 times a power of ten, and what is written there.

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use std::ops::Range;

/// As many decades as a logarithmic axis has with ticks at 2 and 5 too, and as many ticks as it has at most.
const FEW_DECADES: f64 = 3.0;
const MOST_DECADES: f64 = 10.0;

/// An axis: its range, and its ticks.
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    range: Range<f64>,
    ticks: Vec<f64>,
    logarithmic: bool,
    numbers: Numbers,
}

/// How the numbers at the ticks are written, so that no two are alike.
#[derive(Clone, Copy, Debug)]
enum Numbers {
    /// With so many decimals.
    Decimals(usize),
    /// As 2.5e-6, exact to this step.
    Exponent(f64),
    /// With the decimals that its own first digit wants.
    FirstDigit,
    /// As 2·10⁻⁶.
    Power,
}

impl Axis {
    /// A linear axis with `most` ticks at most.
    pub fn linear(range: Range<f64>, most: usize) -> Self {
        let range = widened(range);
        let step = step((range.end - range.start) / most.max(1) as f64);
        let ticks = multiples(&range, step);
        let largest = ticks.iter().fold(0.0f64, |largest, tick| largest.max(tick.abs()));
        let numbers = match largest < 1e6 && (step >= 1e-4 || largest == 0.0) {
            true => Numbers::Decimals(decimals(step)),
            false => Numbers::Exponent(step),
        };
        Self { range, ticks, logarithmic: false, numbers }
    }

    /// A logarithmic axis over numbers above 0: ticks at powers of ten, on an axis of few decades at 2 and 5 times those too.
    pub fn logarithmic(range: Range<f64>) -> Self {
        let range = range.start.max(f64::MIN_POSITIVE)..range.end.max(range.start * 1.01);
        let (low, high) = (range.start.log10(), range.end.log10());
        let every = step(((high - low) / MOST_DECADES).max(1.0)) as i32;
        let factors: &[f64] = if high - low < FEW_DECADES { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let powers = (low.floor() as i32..=high.ceil() as i32).filter(|power| power % every == 0);
        let ticks = powers.flat_map(|power| factors.iter().map(move |factor| times_power(*factor, power)));
        let within = |tick: &f64| *tick >= range.start * (1.0 - 1e-9) && *tick <= range.end * (1.0 + 1e-9);
        let ticks: Vec<f64> = ticks.filter(within).collect();
        // Within one decade there may be no such number.
        if ticks.len() < 3 && high - low < 1.0 {
            return Self { logarithmic: true, ..Self::linear(range, 5) };
        }
        let plain = ticks.iter().all(|tick| (1e-3 - 1e-12..1e5).contains(tick));
        let numbers = if plain { Numbers::FirstDigit } else { Numbers::Power };
        Self { range, ticks, logarithmic: true, numbers }
    }

    /// What is written at a tick.
    pub fn label(&self, tick: f64) -> String {
        match self.numbers {
            _ if tick == 0.0 => "0".into(),
            Numbers::Decimals(decimals) => format!("{tick:.decimals$}"),
            Numbers::Exponent(step) => {
                let power = |number: f64| (number.abs().log10() + 1e-9).floor();
                let digits = (power(tick) - power(step)).max(0.0) as usize;
                let text = format!("{tick:.digits$e}");
                let (mantissa, power) = text.split_once('e').unwrap_or((&text, "0"));
                let mantissa = if digits > 0 { mantissa.trim_end_matches('0').trim_end_matches('.') } else { mantissa };
                format!("{mantissa}e{power}")
            }
            Numbers::FirstDigit => format!("{tick:.0$}", decimals(tick)),
            Numbers::Power => {
                let text = format!("{tick:.0e}");
                let (mantissa, power) = text.split_once('e').unwrap_or((&text, "0"));
                let power: String = power.chars().map(superscript).collect();
                if mantissa == "1" { format!("10{power}") } else { format!("{mantissa}·10{power}") }
            }
        }
    }

    /// The place of a value, as a share of the axis; what is beyond an end is at that end.
    fn share(&self, value: f64) -> f64 {
        let Range { start, end } = self.range;
        let share = match self.logarithmic {
            true => (value.max(f64::MIN_POSITIVE) / start).ln() / (end / start).ln(),
            false => (value - start) / (end - start),
        };
        share.clamp(0.0, 1.0)
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        limit.0 + (self.share(*value) * f64::from(limit.1 - limit.0)).round() as i32
    }

    fn key_points<H: KeyPointHint>(&self, _: H) -> Vec<f64> {
        self.ticks.clone()
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, tick: &f64) -> String {
        self.label(*tick)
    }
}

/// From `floor` or the least value to the largest, with a margin beside values.
pub(crate) fn linear_range(values: impl IntoIterator<Item = f64>, floor: f64) -> Range<f64> {
    let finite = values.into_iter().filter(|value| value.is_finite());
    let (low, high) = finite.fold((floor, floor), |(low, high), value| (low.min(value), high.max(value)));
    let margin = if high > low { 0.06 * (high - low) } else { 0.5 * high.abs().max(1e-6) };
    let bottom = if low == floor { low } else { low - margin };
    bottom..high + margin
}

/// The largest number of 1, 2 or 5 times a power of ten that is no larger.
pub(crate) fn round_down(number: f64) -> f64 {
    let power = number.log10().floor() as i32;
    let fits = |factor: &&f64| times_power(**factor, power) <= number * (1.0 + 1e-9);
    [5.0, 2.0, 1.0].iter().find(fits).map_or(number, |factor| times_power(*factor, power))
}

/// The least number of 1, 2 or 5 times a power of ten that is no smaller.
fn step(least: f64) -> f64 {
    let power = least.log10().floor() as i32;
    let fits = |factor: &&f64| times_power(**factor, power) >= least * (1.0 - 1e-9);
    [1.0, 2.0, 5.0].iter().find(fits).map_or(times_power(1.0, power + 1), |factor| times_power(*factor, power))
}

/// The double that is nearest to the decimal number.
fn times_power(factor: f64, power: i32) -> f64 {
    if power < 0 { factor / 10f64.powi(-power) } else { factor * 10f64.powi(power) }
}

fn multiples(range: &Range<f64>, step: f64) -> Vec<f64> {
    let first = (range.start / step - 1e-9).ceil();
    let count = ((range.end / step + 1e-9).floor() - first).max(0.0) as usize;
    // A sum of steps would drift.
    (0..=count).map(|index| (first + index as f64) * step).collect()
}

fn decimals(number: f64) -> usize {
    (-(number.abs().log10() + 1e-9).floor()).max(0.0) as usize
}

/// A range that has a length.
fn widened(range: Range<f64>) -> Range<f64> {
    let least = 1e-9 * range.start.abs().max(range.end.abs()).max(1e-300);
    if range.end - range.start > least { range } else { range.start - least..range.start + least }
}

fn superscript(digit: char) -> char {
    match digit {
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        '-' => '⁻',
        _ => digit.to_digit(10).and_then(|digit| char::from_u32(0x2070 + digit)).unwrap_or(digit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<String> {
        axis.ticks.iter().map(|tick| axis.label(*tick)).collect()
    }

    #[test]
    fn ticks_are_at_one_two_or_five_times_a_power_of_ten() {
        assert_eq!(
            labels(&Axis::linear(0.0..37_500.0, 8)),
            ["0", "5000", "10000", "15000", "20000", "25000", "30000", "35000"]
        );
        assert_eq!(labels(&Axis::linear(0.0..1.06, 6)), ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(&Axis::linear(-0.3..0.3, 4)), ["-0.2", "0", "0.2"]);
        assert_eq!(labels(&Axis::linear(0.0..2.7e-5, 6)), ["0", "5e-6", "1e-5", "1.5e-5", "2e-5", "2.5e-5"]);
        assert_eq!(labels(&Axis::linear(0.0..3.1e6, 4)), ["0", "1e6", "2e6", "3e6"]);
        assert_eq!(labels(&Axis::logarithmic(0.15..60.0)), ["0.2", "0.5", "1", "2", "5", "10", "20", "50"]);
        assert_eq!(labels(&Axis::logarithmic(0.1..1000.0)), ["0.1", "1", "10", "100", "1000"]);
        assert_eq!(labels(&Axis::logarithmic(1e-7..3e-6)), ["10⁻⁷", "2·10⁻⁷", "5·10⁻⁷", "10⁻⁶", "2·10⁻⁶"]);
        assert_eq!(labels(&Axis::logarithmic(1e-20..1e3)), ["10⁻²⁰", "10⁻¹⁵", "10⁻¹⁰", "10⁻⁵", "10⁰"]);
        assert_eq!(labels(&Axis::logarithmic(2.1..4.6)), ["2.5", "3.0", "3.5", "4.0", "4.5"]);
    }

    #[test]
    fn no_number_stands_twice_and_each_tick_lies_within() {
        let ends = [1e-30, 3e-12, 1.7e-7, 1e-4, 0.02, 0.3, 0.97, 1.0, 4.2, 77.0, 1e3, 5.5e4, 3e6, 2e9];
        for (index, &start) in ends.iter().enumerate() {
            for &end in &ends[index + 1..] {
                for axis in [Axis::linear(start..end, 8), Axis::linear(-end..start, 5), Axis::logarithmic(start..end)] {
                    let mut labels = labels(&axis);
                    let count = labels.len();
                    labels.sort();
                    labels.dedup();
                    assert!(labels.len() == count && (2..=12).contains(&count), "{start} to {end}: {labels:?}");
                    let slack = 1e-6 * (axis.range.end - axis.range.start);
                    assert!(
                        axis.ticks
                            .iter()
                            .all(|tick| *tick >= axis.range.start - slack && *tick <= axis.range.end + slack)
                    );
                }
            }
        }
    }

    #[test]
    fn a_value_is_where_it_belongs_and_never_outside() {
        let axis = Axis::logarithmic(1e-2..1e2);
        assert_eq!(
            [1e-9, 0.0, -1.0, 1e-2, 1.0, 10.0, 1e9].map(|value| axis.map(&value, (100, 500))),
            [100, 100, 100, 100, 300, 400, 500]
        );
        assert_eq!([0.5, 9.0].map(|value| Axis::linear(0.0..1.0, 5).map(&value, (400, 0))), [200, 0]);
        // Of one value an axis is made too.
        assert_eq!(Axis::linear(3.0..3.0, 5).map(&3.0, (0, 100)), 50);
    }

    #[test]
    fn a_range_has_a_margin_beside_values_and_none_at_its_floor() {
        assert_eq!(linear_range([1.0, 2.0], 0.0), 0.0..2.12);
        assert_eq!(linear_range([-1.0, 1.0, f64::NAN], 0.0), -1.12..1.12);
        assert_eq!(linear_range([], 0.0), 0.0..5e-7);
        assert_eq!([0.9, 1.0, 37.0, 143.7, 5e6].map(round_down), [0.5, 1.0, 20.0, 100.0, 5e6]);
    }
}
