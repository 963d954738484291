//! The weights of a recurrence, ready for products of a few rows, and the inputs that they project.

use super::packed::Part;
use crate::cpu::gemm::bf16::{Isa, RoundedMatrix};
use crate::cpu::gemm::gemv::{self, RowMajor};
use crate::cpu::gemm::{A, PANEL, PackedB, PanelB};

/// Rows whose input is projected in one product.
const PROJECTED_ROWS: usize = 128;

/// Below this many rows in all, weights are used row-major: packing them would cost more than it saves.
pub const PACKING_PAYS: usize = 8;

/// Weights (GATES·H, ..), a matrix for each gate, ready for products of a few rows.
pub enum GateWeights<'a> {
    Packed(Vec<PackedB>),
    RowMajor { values: &'a [f32], h: usize },
}

/// Hidden units, whose gates one chunk of work computes.
#[derive(Clone, Copy)]
pub struct Units {
    pub start: usize,
    pub width: usize,
}

impl Units {
    /// The units of a block.
    pub fn of(block: usize, h: usize) -> Self {
        Self { start: block * PANEL, width: PANEL.min(h - block * PANEL) }
    }
}

impl<'a> GateWeights<'a> {
    /// (GATES·H, `width`) for so many rows in all.
    pub fn new(values: &'a [f32], h: usize, width: usize, rows: usize) -> Self {
        match rows < PACKING_PAYS {
            true => Self::RowMajor { values, h },
            false => {
                Self::Packed(values.chunks_exact(h * width).map(|gate| PackedB::transposed(gate, h, width)).collect())
            }
        }
    }

    /// The instructions for which A operands are rounded to bf16.
    pub fn isa(&self) -> Option<Isa> {
        match self {
            Self::Packed(gates) => gates.first().and_then(PackedB::isa),
            Self::RowMajor { .. } => None,
        }
    }

    /// A times the weights of some units of each gate, plus their biases: (rows, gates, 32).
    pub fn multiply(&self, a: A, Units { start, width }: Units, bias: Option<&[f32]>, into: &mut [f32]) {
        let stride = into.len() / a.rows.max(1);
        let gates = match self {
            Self::Packed(gates) => gates.len(),
            Self::RowMajor { .. } => stride / PANEL,
        };
        for gate in 0..gates {
            let bias = bias.map(|bias| &bias[gate * (bias.len() / gates) + start..][..width]);
            if let Some(bias) = bias {
                into.chunks_exact_mut(stride).for_each(|row| row[gate * PANEL..][..width].copy_from_slice(bias));
            }
            match self {
                Self::Packed(gates) => {
                    gates[gate].multiply(a, start / PANEL, &mut into[gate * PANEL..], stride, bias.is_some());
                }
                Self::RowMajor { values, h } => {
                    let depth = a.matrix.row;
                    if bias.is_none() {
                        into.chunks_exact_mut(stride).for_each(|row| row[gate * PANEL..][..width].fill(0.0));
                    }
                    let rows = RowMajor { values: a.matrix.values, stride: depth, count: a.rows };
                    let values = &values[(gate * h + start) * depth..];
                    let weights = RowMajor { values, stride: depth, count: width };
                    gemv::add(&mut into[gate * PANEL..], stride, rows, weights, depth);
                }
            }
        }
    }
}

/// The projected inputs W_ih x + b.
pub enum Projection<'a> {
    /// Formed before, (R, GATES·H).
    Done(Vec<f32>),
    /// Formed from the rows of xs (R, D) for some steps at a time, so that they never leave the cache.
    Fused { rows: Vec<f32>, weights: GateWeights<'a>, bias: Option<&'a [f32]> },
}

/// Groups of steps of a part of the batch whose inputs are projected in one product.
pub struct StepGroups {
    /// The steps of a group; 0 where the inputs are projected already.
    pub steps: usize,
    /// The rows of each group in bf16, where products round them.
    rounded: Vec<RoundedMatrix>,
}

impl Projection<'_> {
    /// The groups of a part's steps.
    pub fn step_groups(&self, part: &Part, d: usize) -> StepGroups {
        let Self::Fused { rows, weights, .. } = self else { return StepGroups { steps: 0, rounded: vec![] } };
        let steps = (PROJECTED_ROWS / part.order.len().max(1)).clamp(1, part.steps().max(1));
        let group = |isa: Isa, first: usize| {
            let rows_of = part.rows_of_steps(first, steps);
            let a = A::rows(&rows[rows_of.start * d..rows_of.end * d], rows_of.len(), d);
            isa.round_matrix(a, std::slice::from_ref(&(0..d)))
        };
        let groups = |isa| (0..part.steps()).step_by(steps).map(|first| group(isa, first)).collect();
        StepGroups { steps, rounded: weights.isa().map_or_else(Vec::new, groups) }
    }
}

impl StepGroups {
    /// The group to which a step belongs, in bf16.
    pub fn rounded(&self, step: usize) -> Option<&RoundedMatrix> {
        self.rounded.get(step / self.steps)
    }
}
