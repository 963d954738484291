//! The rows of all steps of a batch of sequences, those of a step together, step after step.

use super::steps::Steps;
use crate::team::{Shared, filled};
use rayon::prelude::*;
use std::ops::Range;

/// Where each row and step of (N, T, ..) stands among the rows of all steps.
pub struct PackedSteps {
    /// The rows of the batch from the longest to the shortest.
    pub order: Vec<usize>,
    /// The times in the order in which the recurrence takes them.
    times: Vec<usize>,
    /// The first row of each step, and the number of all rows.
    starts: Vec<usize>,
    /// N and T.
    batch: (usize, usize),
}

/// One step.
pub struct Step {
    /// The step of (N, T, ..) that it stands for.
    pub time: usize,
    /// Its rows, of the longest sequences first.
    pub rows: Range<usize>,
    /// The rows of the step after it.
    next: Range<usize>,
}

impl Step {
    /// The row of the step after it that goes on with the `sorted`-th sequence.
    pub fn next(&self, sorted: usize) -> Option<usize> {
        (sorted < self.next.len()).then_some(self.next.start + sorted)
    }
}

impl PackedSteps {
    pub fn new(steps: &Steps, n: usize) -> Self {
        let (order, active) = steps.sorted(n);
        let times: Vec<usize> = steps.order().collect();
        let mut starts = vec![0];
        times.iter().for_each(|&time| starts.push(starts[starts.len() - 1] + active[time]));
        Self { order, times, starts, batch: (n, steps.count) }
    }

    /// R, the rows of all steps.
    pub fn rows(&self) -> usize {
        self.starts[self.times.len()]
    }

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
    pub fn together(&self, first: usize, count: usize) -> (usize, usize) {
        (self.starts[first], self.starts[(first + count).min(self.times.len())])
    }

    /// The rows with which a sequence begins, and whose sequence it is.
    pub fn starts(&self) -> impl Iterator<Item = (usize, usize)> {
        (0..self.steps()).flat_map(move |number| {
            let rows = self.step(number).rows;
            let before = number.checked_sub(1).map_or(0, |before| self.step(before).rows.len());
            (before.min(rows.len())..rows.len()).map(move |sorted| (rows.start + sorted, self.order[sorted]))
        })
    }

    /// The rows of all steps (R, D) of (N, T, D).
    pub fn gathered(&self, values: &[f32], d: usize) -> Vec<f32> {
        let (_, t) = self.batch;
        let work = |into: &Shared| {
            (0..self.steps()).into_par_iter().for_each(|number| {
                let step = self.step(number);
                for (row, of) in step.rows.zip(&self.order) {
                    // SAFETY: a row belongs to one step.
                    let into = unsafe { into.write(row * d, d) };
                    into.copy_from_slice(&values[(of * t + step.time) * d..][..d]);
                }
            });
        };
        // SAFETY: all rows of all steps are written.
        unsafe { filled(self.rows() * d, work) }
    }

    /// The (N, T, D) of the rows of all steps (R, D), 0 where there is no row.
    pub fn scattered(&self, rows: &[f32], d: usize) -> Vec<f32> {
        let (n, t) = self.batch;
        let write = |into: &Shared| {
            (0..self.steps()).into_par_iter().for_each(|number| {
                let step = self.step(number);
                for (row, of) in step.rows.zip(&self.order) {
                    // SAFETY: each row has a place of its own.
                    let into = unsafe { into.write((of * t + step.time) * d, d) };
                    into.copy_from_slice(&rows[row * d..][..d]);
                }
            });
        };
        if self.rows() == n * t {
            // SAFETY: every place has its row.
            return unsafe { filled(n * t * d, write) };
        }
        let mut all = vec![0f32; n * t * d];
        write(&Shared::new(&mut all));
        all
    }
}
