//! Packed sequences: the rows of all steps of a batch, step after step, without padding.

use crate::cpu::fill::par_fill;
use crate::recurrence::steps::Steps;
use rayon::prelude::*;
use std::ops::Range;

/// The place of each row and step of (N, T, ..) among the rows of all steps.
pub struct PackedSteps {
    /// The parts into which the batch is cut, each of which goes through the steps by itself.
    pub parts: Vec<Part>,
    /// R, the rows of all steps of all parts.
    pub rows: usize,
    n: usize,
    t: usize,
}

/// Some rows of the batch; the rows of their steps are contiguous.
pub struct Part {
    /// From the longest to the shortest.
    pub order: Vec<usize>,
    /// The times in the order in which the recurrence takes them.
    times: Vec<usize>,
    /// The first row of each step, and the one after the last.
    starts: Vec<usize>,
}

/// One step.
pub struct Step {
    /// Its index t in (N, T, ..).
    pub time: usize,
    /// Its rows, of the longest sequences first.
    pub rows: Range<usize>,
    /// The rows of the step after it.
    next: Range<usize>,
}

impl Step {
    /// The next step's row of the `sorted`-th sequence.
    pub fn next(&self, sorted: usize) -> Option<usize> {
        (sorted < self.next.len()).then_some(self.next.start + sorted)
    }
}

impl PackedSteps {
    /// In so many parts, each of which gets long sequences and short ones.
    pub fn new(steps: &Steps, n: usize, parts: usize) -> Self {
        let (order, active) = steps.sorted(n);
        let mut rows = 0;
        let part = |part: usize| {
            let order = order.iter().copied().skip(part).step_by(parts).collect();
            let times: Vec<usize> = steps.order().collect();
            let mut starts = vec![rows];
            for &time in &times {
                rows += active[time].saturating_sub(part).div_ceil(parts);
                starts.push(rows);
            }
            Part { order, times, starts }
        };
        Self { parts: (0..parts).map(part).collect(), rows, n, t: steps.count }
    }

    /// The packed rows (R, D) of (N, T, D).
    pub fn pack(&self, values: &[f32], d: usize) -> Vec<f32> {
        let (count, places) = (rows_per_task(d), self.places());
        par_fill(self.rows * d, count * d, places.par_chunks(count), |places, into| {
            places.iter().for_each(|place| into.extend_from_slice(&values[place * d..][..d]));
        })
    }

    /// (N, T, D) of packed rows (R, D), 0 where there is no row.
    pub fn pad(&self, rows: &[f32], d: usize) -> Vec<f32> {
        let (count, places) = (rows_per_task(d), self.n * self.t);
        let mut at = vec![None; places];
        self.places().into_iter().enumerate().for_each(|(row, place)| at[place] = Some(row));
        par_fill(places * d, count * d, at.par_chunks(count), |at, into| {
            for row in at {
                match row {
                    Some(row) => into.extend_from_slice(&rows[row * d..][..d]),
                    None => _ = into.extend_with(d, 0.0),
                }
            }
        })
    }

    /// The place of each row in (N, T).
    fn places(&self) -> Vec<usize> {
        let mut places = Vec::with_capacity(self.rows);
        for part in &self.parts {
            for step in (0..part.steps()).map(|number| part.step(number)) {
                places.extend(part.order[..step.rows.len()].iter().map(|of| of * self.t + step.time));
            }
        }
        places
    }
}

/// How many rows of D values a task copies.
fn rows_per_task(d: usize) -> usize {
    (1usize << 13).div_ceil(d.max(1))
}

impl Part {
    /// How many steps there are.
    pub fn steps(&self) -> usize {
        self.times.len()
    }

    /// A step by its number.
    pub fn step(&self, number: usize) -> Step {
        let rows = |number: usize| self.starts[number]..self.starts[number + 1];
        let next = if number + 1 < self.times.len() { rows(number + 1) } else { 0..0 };
        Step { time: self.times[number], rows: rows(number), next }
    }

    /// The rows of up to `count` steps from `first` on.
    pub fn rows_of_steps(&self, first: usize, count: usize) -> Range<usize> {
        self.starts[first]..self.starts[(first + count).min(self.times.len())]
    }

    /// The rows with which a sequence begins, and whose sequence it is.
    pub fn starts(&self) -> impl Iterator<Item = (usize, usize)> {
        (0..self.steps()).flat_map(move |number| {
            let rows = self.step(number).rows;
            let before = number.checked_sub(1).map_or(0, |before| self.step(before).rows.len());
            (before.min(rows.len())..rows.len()).map(move |sorted| (rows.start + sorted, self.order[sorted]))
        })
    }
}
