//! Forward pass of RNN, LSTM and GRU, f32, CPU.

use super::gates::{Blocks, copy};
use super::packed::{PackedSteps, Part, Step};
use super::weights::{GateWeights, PACKING_PAYS, Projection, StepGroups, Units};
use super::{Gates, Inputs, Partition, Saved, SequenceOp, Sizes, Tiled, partition, saved_width};
use crate::cpu::disjoint::{self, DisjointSlice};
use crate::cpu::gemm::bf16::RoundedRows;
use crate::cpu::gemm::{A, GemmShape, PANEL, Strided, gemm};
use crate::cpu::team;
use rayon::prelude::*;

/// What going forward gives.
pub struct Forward {
    /// h of all steps (N, T, H), and the last h and c (N, H).
    pub out: Vec<f32>,
    pub h: Vec<f32>,
    pub c: Vec<f32>,
    pub saved: Saved,
}

/// All steps; the gates are `saved` where a gradient will be asked for.
pub fn run<K: Gates>(of: &SequenceOp<K>, inputs: &Inputs, saved: bool) -> Forward {
    let Sizes { n, t, h, .. } = inputs.sizes;
    let Partition { parts, members } = partition::<K>(inputs.sizes);
    let (blocks, packed) = (h.div_ceil(PANEL), PackedSteps::new(&of.steps, n, parts));
    let (rows, width) = (packed.rows, saved_width::<K>());
    let (projection, weights) = (project::<K>(inputs, &packed), GateWeights::new(inputs.w_hh, h, h, rows));
    let (mut last, mut c) = (inputs.h.to_vec(), inputs.c.map_or_else(Vec::new, <[f32]>::to_vec));
    let mut work = |gates: &DisjointSlice, previous: &DisjointSlice, out: &DisjointSlice| {
        if rows < n * t {
            // SAFETY: no part has begun, and nobody else has `out`.
            unsafe { out.write(0, n * t * h).fill(0.0) };
        }
        let (last, c) = (&DisjointSlice::new(&mut last), &DisjointSlice::new(&mut c));
        let (cell, projection, weights) = (of.cell, &projection, &weights);
        let pass = Pass { cell, inputs, saved, projection, weights, gates, previous, out, last, c };
        packed.parts.par_iter().for_each(|part| pass.run(part, members));
    };
    let (mut previous, mut out) = (vec![], vec![]);
    // SAFETY: the parts go through all rows of all steps. For each row and each block of units `PartPass::block` writes all that is saved
    // of the gates, and `PartPass::row` h into `out`, which was cleared before where it has more rows than there are. The state before a
    // row is written by `PartPass::begin` where a sequence begins, and else by `PartPass::row` of the step before.
    let gates = unsafe {
        disjoint::fill(if saved { rows * blocks * width } else { 0 }, |gates| {
            previous = disjoint::fill(rows * h, |previous| {
                out = disjoint::fill(n * t * h, |out| work(gates, previous, out));
            });
        })
    };
    Forward { out, h: last, c, saved: Saved { gates, previous } }
}

fn project<'a, K: Gates>(inputs: &Inputs<'a>, packed: &PackedSteps) -> Projection<'a> {
    let Sizes { t, d, h, .. } = inputs.sizes;
    let rows = packed.pack(inputs.xs, d);
    match inputs.w_ih {
        None => Projection::Done(rows),
        // Weights that serve one step only are not packed for more.
        Some(w_ih) if t == 1 && packed.rows >= PACKING_PAYS => {
            let shape = GemmShape { m: packed.rows, n: K::GATES * h, k: d };
            Projection::Done(gemm(Strided::rows(&rows, d), Strided::columns(w_ih, d), shape, inputs.b_ih))
        }
        Some(w_ih) => Projection::Fused { rows, weights: GateWeights::new(w_ih, h, d, packed.rows), bias: inputs.b_ih },
    }
}

/// What all parts share.
struct Pass<'a, K> {
    cell: K,
    inputs: &'a Inputs<'a>,
    saved: bool,
    projection: &'a Projection<'a>,
    weights: &'a GateWeights<'a>,
    /// As in [`Saved`].
    gates: &'a DisjointSlice<'a>,
    previous: &'a DisjointSlice<'a>,
    out: &'a DisjointSlice<'a>,
    /// The last h and c (N, H).
    last: &'a DisjointSlice<'a>,
    c: &'a DisjointSlice<'a>,
}

impl<K: Gates> Pass<'_, K> {
    /// Takes a part through the steps.
    fn run(&self, part: &Part, members: usize) {
        let Sizes { d, h, .. } = self.inputs.sizes;
        let (n, blocks, tiled) = (part.order.len(), h.div_ceil(PANEL), Tiled { order: &part.order, h });
        let groups = self.projection.step_groups(part, d);
        let buffer = (groups.steps * n + n) * K::GATES * PANEL + saved_width::<K>();
        let (mut c, mut scratch) = (self.inputs.c.map_or_else(Vec::new, |c| tiled.of(c)), vec![0f32; blocks * buffer]);
        let pass = PartPass {
            pass: self,
            part,
            groups,
            c: DisjointSlice::new(&mut c),
            scratch: DisjointSlice::new(&mut scratch),
            buffer,
            states: [(); 2].map(|()| RoundedRows::new(self.weights.isa(), n, h)),
        };
        pass.begin();
        team::run(members, part.steps(), |_| blocks, |phase, block| pass.block(phase, block));
        if K::HAS_C {
            // SAFETY: the team is through, and a row of the batch is in the order of one part alone.
            unsafe { tiled.write(&c, self.c) };
        }
    }
}

/// One part's pass through the steps.
struct PartPass<'a, K> {
    pass: &'a Pass<'a, K>,
    part: &'a Part,
    groups: StepGroups,
    /// c, tiled.
    c: DisjointSlice<'a>,
    /// For each block of units `buffer` values: W_ih x of the rows of a group of steps, W_hh h of one step, and what is not saved of a
    /// row.
    scratch: DisjointSlice<'a>,
    buffer: usize,
    /// The states before an even step and before an odd one, where products round them. Those of rows that begin later wait there.
    states: [RoundedRows; 2],
}

/// A chunk of work: a block of units of one step.
#[derive(Clone, Copy)]
struct Chunk<'a> {
    phase: usize,
    step: &'a Step,
    units: Units,
}

// Who touches what: parts have rows of their own, of the batch and of all steps. Within a part a phase is a step, and no chunk of it
// begins before the step before is done (`team::run`). In a step all members read the states before it, which were written in the
// step before or by `begin`, and write those before the next, which are elsewhere. Whatever else they touch is of the units of
// their chunk, which nobody else has in this step.
impl<K: Gates> PartPass<'_, K> {
    /// The first states.
    fn begin(&self) {
        let (pass, h) = (self.pass, self.pass.inputs.sizes.h);
        let first = |of: usize| &pass.inputs.h[of * h..][..h];
        for (row, of) in self.part.starts() {
            // SAFETY: the row is one of this part, whose team has not begun.
            unsafe { pass.previous.write(row * h, h) }.copy_from_slice(first(of));
        }
        for (sorted, &of) in self.part.order.iter().enumerate() {
            for states in &self.states {
                // SAFETY: the states are this part's own, whose team has not begun.
                unsafe { states.write(sorted, 0, first(of)) };
            }
        }
    }

    fn block(&self, phase: usize, block: usize) {
        let (pass, n, h) = (self.pass, self.part.order.len(), self.pass.inputs.sizes.h);
        let step = &self.part.step(phase);
        let (rows, blocks, stride, width) = (step.rows.len(), h.div_ceil(PANEL), K::GATES * PANEL, saved_width::<K>());
        let chunk = Chunk { phase, step, units: Units::of(block, h) };
        // SAFETY: it is the room of this chunk's block in the part's own scratch.
        let scratch = unsafe { self.scratch.write(block * self.buffer, self.buffer) };
        let (projected, rest) = scratch.split_at_mut(self.groups.steps * n * stride);
        let (hidden, unsaved) = rest.split_at_mut(n * stride);
        let hidden = &mut hidden[..rows * stride];
        let c: &mut [f32] = match K::HAS_C {
            // SAFETY: it is this chunk's block of the part's own c.
            true => unsafe { self.c.write(block * n * PANEL, n * PANEL) },
            false => &mut [],
        };
        let saved: &mut [f32] = match pass.saved {
            // SAFETY: these are the gates of this step's rows, which are of this part, in this chunk's block. They are written below: all
            // units of a whole block by `row`, and where a block is narrow the rest before.
            true => unsafe { pass.gates.write((step.rows.start * blocks + block * rows) * width, rows * width) },
            false => &mut [],
        };
        if chunk.units.width < PANEL {
            saved.fill(0.0);
        }
        if rows > 0 {
            self.hidden_product(chunk, hidden);
        }
        let first = self.input_product(chunk, projected);
        for (sorted, row) in step.rows.clone().enumerate() {
            let of_input = match pass.projection {
                Projection::Done(rows) => Blocks { values: &rows[row * K::GATES * h + chunk.units.start..], stride: h },
                Projection::Fused { .. } => {
                    Blocks { values: &projected[(row - first) * stride..][..stride], stride: PANEL }
                }
            };
            let of_hidden = Blocks { values: &hidden[sorted * stride..][..stride], stride: PANEL };
            let saved = if pass.saved { &mut saved[sorted * width..][..width] } else { &mut *unsaved };
            let c = if K::HAS_C { &mut c[sorted * PANEL..][..chunk.units.width] } else { &mut *c };
            self.row(chunk, sorted, [of_input, of_hidden], saved, c);
        }
    }

    /// W_hh h (+ b_hh) of all rows.
    fn hidden_product(&self, Chunk { phase, step, units }: Chunk, into: &mut [f32]) {
        let (pass, h, rows) = (self.pass, self.pass.inputs.sizes.h, step.rows.len());
        // SAFETY: the states before this step are written, and in this step only those before the next are written to, in other rows.
        let previous = unsafe { pass.previous.read(step.rows.start * h, rows * h) };
        // SAFETY: in this step only the other states are written to.
        let rounded = unsafe { self.states[phase % 2].read(rows) };
        pass.weights.multiply(A::rows(previous, rows, h).with(rounded), units, pass.inputs.b_hh, into);
    }

    /// W_ih x + b of the rows of a group of steps, where one begins; and the first of the rows that are there.
    fn input_product(&self, Chunk { phase, units, .. }: Chunk, into: &mut [f32]) -> usize {
        let Projection::Fused { rows, weights, bias } = self.pass.projection else { return 0 };
        let (d, steps) = (self.pass.inputs.sizes.d, self.groups.steps);
        let group = self.part.rows_of_steps(phase / steps * steps, steps);
        if phase.is_multiple_of(steps) && !group.is_empty() {
            let rounded = self.groups.rounded(phase).map(|rounded| rounded.block(0..group.len(), 0..d));
            let a = A::rows(&rows[group.start * d..group.end * d], group.len(), d).with(rounded);
            weights.multiply(a, units, *bias, &mut into[..group.len() * K::GATES * PANEL]);
        }
        group.start
    }

    /// A row's gates and its new state.
    #[inline(always)]
    fn row(&self, chunk: Chunk, sorted: usize, sums: [Blocks; 2], saved: &mut [f32], c: &mut [f32]) {
        let Chunk { phase, step, units: Units { start, width } } = chunk;
        let (pass, of, row) = (self.pass, self.part.order[sorted], step.rows.start + sorted);
        let Sizes { t, h, .. } = pass.inputs.sizes;
        let (gates, extra) = saved.split_at_mut(K::GATES * PANEL);
        let mut gates = gates.chunks_exact_mut(PANEL);
        let gates = each_gate::<K>(|_| gates.next().map_or(&mut [], |gate| &mut gate[..width]));
        let extra = if K::SAVES_EXTRA { &mut extra[..width] } else { extra };
        // SAFETY: the place (of, time) of `out` is this row's alone, and the units are this chunk's. A cell writes all of it, and reads it
        // only where it `READS_H`, which is copied there first.
        let new = unsafe { pass.out.write((of * t + step.time) * h + start, width) };
        if K::READS_H {
            // SAFETY: the states before this step are written, and in this step only those before the next are written to.
            copy(unsafe { pass.previous.read(row * h + start, width) }, new);
        }
        pass.cell.forward(sums, gates, new, c, extra);
        match step.next(sorted) {
            Some(next) => {
                // SAFETY: row `next` belongs to the next step, before which nobody reads it, and the units are this chunk's.
                copy(new, unsafe { pass.previous.write(next * h + start, width) });
                // SAFETY: these states are read in the next step, and the units, which begin a tile, are this chunk's.
                unsafe { self.states[(phase + 1) % 2].write(sorted, start, new) };
            }
            // SAFETY: nobody reads the last states before all parts are through; the row `of` is this part's, the units this chunk's.
            None => unsafe { pass.last.write(of * h + start, width) }.copy_from_slice(new),
        }
    }
}

/// A slice for each gate that the cell has.
#[inline(always)]
fn each_gate<'a, K: Gates>(mut gate: impl FnMut(usize) -> &'a mut [f32]) -> [&'a mut [f32]; 4] {
    std::array::from_fn(|i| if i < K::GATES { gate(i) } else { &mut [] })
}
