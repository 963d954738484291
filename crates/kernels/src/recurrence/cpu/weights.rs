//! The weights of a recurrence, ready for products of a few rows, and the inputs that they project.

use super::packed::Part;
use crate::cpu::gemm::bf16::{Path, Whole};
use crate::cpu::gemm::gemv::{self, Lines};
use crate::cpu::gemm::{Left, PANEL, Packed, Right};

/// Rows whose input is projected in one go.
const TOGETHER: usize = 128;

/// Below this many rows in all, weights are used as they lie: packing them would cost more than it saves.
pub const WORTH_PACKING: usize = 8;

/// Weights (GATES·H, ..), a matrix for each gate, ready for products of a few rows.
pub enum Weights<'a> {
    Packed(Vec<Packed>),
    Plain(&'a [f32], usize),
}

impl<'a> Weights<'a> {
    /// For so many rows in all.
    pub fn new(values: &'a [f32], (h, width): (usize, usize), rows: usize) -> Self {
        match rows < WORTH_PACKING {
            true => Self::Plain(values, h),
            false => {
                Self::Packed(values.chunks_exact(h * width).map(|gate| Packed::transposed(gate, h, width)).collect())
            }
        }
    }

    /// On which path left sides are rounded.
    pub fn path(&self) -> Option<Path> {
        match self {
            Self::Packed(gates) => gates.first().and_then(Packed::path),
            Self::Plain(..) => None,
        }
    }

    /// `left` times the weights of `width` units of each gate from `start` on, plus their biases: (rows, gates, 32).
    pub fn multiply(&self, left: Left, (start, width): (usize, usize), bias: Option<&[f32]>, into: &mut [f32]) {
        let stride = into.len() / left.rows.max(1);
        let (gates, h) = match self {
            Self::Packed(gates) => (gates.len(), 0),
            Self::Plain(_, h) => (stride / PANEL, *h),
        };
        for gate in 0..gates {
            let bias = bias.map(|bias| &bias[gate * (bias.len() / gates) + start..][..width]);
            if let Some(bias) = bias {
                into.chunks_exact_mut(stride).for_each(|row| row[gate * PANEL..][..width].copy_from_slice(bias));
            }
            match self {
                Self::Packed(gates) => {
                    gates[gate].multiply(left, start / PANEL, &mut into[gate * PANEL..], stride, bias.is_some());
                }
                Self::Plain(values, _) => {
                    let depth = left.strides.0;
                    if bias.is_none() {
                        into.chunks_exact_mut(stride).for_each(|row| row[gate * PANEL..][..width].fill(0.0));
                    }
                    let rows = Lines { values: left.values, stride: depth, count: left.rows };
                    let weights = Lines { values: &values[(gate * h + start) * depth..], stride: depth, count: width };
                    gemv::add(&mut into[gate * PANEL..], stride, rows, weights, depth);
                }
            }
        }
    }
}

/// The projected inputs W_ih x + b.
pub enum Projected<'a> {
    /// As they came, (R, GATES·H).
    Given(Vec<f32>),
    /// Formed from the rows of xs (R, D) for some steps at a time, so that they never leave the cache.
    Formed { rows: Vec<f32>, weights: Weights<'a>, bias: Option<&'a [f32]> },
}

/// The steps of a part of the batch whose inputs are projected in one go.
pub struct Together {
    /// How many steps; 0 where the inputs came projected.
    pub steps: usize,
    /// The rows of each group of steps, where products round them.
    rounded: Vec<Whole>,
}

impl<'a> Projected<'a> {
    /// Of `count` rows (R, D) with W_ih and its bias, for H units.
    pub fn formed(
        rows: Vec<f32>,
        (w_ih, bias): (&'a [f32], Option<&'a [f32]>),
        (count, d, h): (usize, usize, usize),
    ) -> Self {
        Self::Formed { rows, weights: Weights::new(w_ih, (h, d), count), bias }
    }

    /// How those of a part are formed.
    pub fn together(&self, part: &Part, d: usize) -> Together {
        let Self::Formed { rows, weights, .. } = self else { return Together { steps: 0, rounded: vec![] } };
        let steps = (TOGETHER / part.order.len().max(1)).clamp(1, part.steps().max(1));
        let whole = |path: Path, first: usize| {
            let (start, end) = part.together(first, steps);
            path.whole(Left::rows(&rows[start * d..end * d], end - start, d), std::slice::from_ref(&(0..d)))
        };
        let rounded = weights
            .path()
            .map_or_else(Vec::new, |path| (0..part.steps()).step_by(steps).map(|first| whole(path, first)).collect());
        Together { steps, rounded }
    }
}

impl Together {
    /// The group to which a step belongs, rounded.
    pub fn rounded(&self, step: usize) -> Option<&Whole> {
        self.rounded.get(step / self.steps)
    }
}
