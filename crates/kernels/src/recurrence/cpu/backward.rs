//! Backward pass of RNN, LSTM and GRU (backpropagation through time), f32, CPU.

use super::packed::{PackedSteps, Part, Step};
use super::weights::Units;
use super::{Gates, Inputs, Partition, Saved, SavedUnits, SequenceOp, Sizes, Tiled, partition, saved_width};
use crate::cpu::disjoint::{self, DisjointSlice};
use crate::cpu::gemm::bf16::{RoundedRows, TERMS};
use crate::cpu::gemm::{A, GemmShape, PANEL, PackedB, PanelB, Strided, gemm};
use crate::cpu::reduce::column_sums;
use crate::cpu::team;
use crate::node::Call;
use candle_core::{Device, Result, Tensor};
use rayon::prelude::*;
use std::borrow::Cow;

/// What going back gives: the gradients of the first state, and of all gates (R, GRADIENT·H).
pub struct Backward {
    dh: Vec<f32>,
    dc: Vec<f32>,
    gates: Vec<f32>,
}

/// All steps back, from the gradients of the outputs.
pub fn run<K: Gates>(of: &SequenceOp<K>, inputs: &Inputs, saved: &Saved, d_outputs: &[&[f32]]) -> Backward {
    let Sizes { n, h, .. } = inputs.sizes;
    let Partition { parts, members } = partition::<K>(inputs.sizes);
    let packed = PackedSteps::new(&of.steps, n, parts);
    let weights = PackedB::rows(inputs.w_hh, K::GATES * h, h);
    let states = if K::HAS_C { n * h } else { 0 };
    let (mut dh, mut dc) = (vec![0f32; n * h], vec![0f32; states]);
    let work = |d_gates: &DisjointSlice| {
        let (dh, dc) = (&DisjointSlice::new(&mut dh), &DisjointSlice::new(&mut dc));
        let (cell, sizes, weights) = (of.cell, inputs.sizes, &weights);
        let pass = Pass { cell, sizes, saved, d_outputs, weights, d_gates, dh, dc };
        packed.parts.par_iter().for_each(|part| pass.run(part, members));
    };
    // SAFETY: the parts go through all rows of all steps, and for each of them the blocks are all units, of which `Gates::backward` writes
    // all gradients; they are read in `PartPass::through_product` and rounded in `PartPass::gates`, after that.
    let gates = unsafe { disjoint::fill(packed.rows * K::GRADIENT * h, work) };
    Backward { dh, dc, gates }
}

/// What all parts share.
struct Pass<'a, K> {
    cell: K,
    sizes: Sizes,
    saved: &'a Saved,
    /// Of h of all steps (N, T, H), and of the last h and c (N, H).
    d_outputs: &'a [&'a [f32]],
    weights: &'a PackedB,
    /// Of all gates (R, GRADIENT·H).
    d_gates: &'a DisjointSlice<'a>,
    /// Of the first h and c (N, H).
    dh: &'a DisjointSlice<'a>,
    dc: &'a DisjointSlice<'a>,
}

impl<K: Gates> Pass<'_, K> {
    /// Takes a part back through the steps.
    fn run(&self, part: &Part, members: usize) {
        let Sizes { h, .. } = self.sizes;
        let (n, blocks, tiled) = (part.order.len(), h.div_ceil(PANEL), Tiled { order: &part.order, h });
        let mut dh = tiled.of(self.d_outputs[1]);
        let mut dc = if K::HAS_C { tiled.of(self.d_outputs[2]) } else { vec![] };
        let isa = self.weights.isa().filter(|_| h.is_multiple_of(TERMS));
        let pass = PartPass {
            pass: self,
            part,
            dh: DisjointSlice::new(&mut dh),
            dc: DisjointSlice::new(&mut dc),
            rounded: isa.map(|isa| [(); 2].map(|()| RoundedRows::new(Some(isa), n, K::GATES * h))),
        };
        // The phase after the last step only takes the gradient through W_hh to the first state.
        team::run(members, part.steps() + 1, |_| blocks, |phase, block| pass.block(phase, block));
        // SAFETY: the team is through, and a row of the batch is in the order of one part alone.
        unsafe { tiled.write(&dh, self.dh) };
        if K::HAS_C {
            // SAFETY: the same holds for c.
            unsafe { tiled.write(&dc, self.dc) };
        }
    }
}

/// One part's pass back through the steps.
struct PartPass<'a, K> {
    pass: &'a Pass<'a, K>,
    part: &'a Part,
    /// Of the state, tiled.
    dh: DisjointSlice<'a>,
    dc: DisjointSlice<'a>,
    /// The gates' gradients of the step after and of the present one, where products round them and a block of each gate begins a tile.
    rounded: Option<[RoundedRows; 2]>,
}

// Who touches what: parts have rows of their own, of the batch and of all steps. Within a part a phase is a step, and no chunk of it
// begins before the phase before is done (`team::run`). In a phase all members read the gates' gradients of the step after, which the
// phase before has written, and write those of this one, which are elsewhere. Whatever else they touch is of the units of their
// chunk, which nobody else has in this phase.
impl<K: Gates> PartPass<'_, K> {
    fn block(&self, phase: usize, block: usize) {
        let buffer = self.part.order.len() * PANEL;
        // SAFETY: it is this chunk's block of the part's own dh.
        let dh = unsafe { self.dh.write(block * buffer, buffer) };
        if phase > 0 {
            self.through_product(phase, block, dh);
        }
        if phase < self.part.steps() {
            self.gates(phase, block, dh);
        }
    }

    /// The step that a phase goes back through.
    fn step(&self, phase: usize) -> Step {
        self.part.step(self.part.steps() - 1 - phase)
    }

    /// Adds the gradient through W_hh h of the step after.
    fn through_product(&self, phase: usize, block: usize, dh: &mut [f32]) {
        let (pass, after, h) = (self.pass, self.step(phase - 1).rows, self.pass.sizes.h);
        let (wide, full, rows) = (K::GATES * h, K::GRADIENT * h, after.len());
        if rows == 0 {
            return;
        }
        // SAFETY: the phase before has written the gradients of the step after, and in this one only those of this step are written.
        let values = unsafe { pass.d_gates.read(after.start * full, rows * full) };
        // SAFETY: in this phase only the other half is written to.
        let rounded = self.rounded.as_ref().and_then(|rounded| unsafe { rounded[phase % 2].read(rows) });
        let a = A::rows(values.get(full - wide..).unwrap_or_default(), rows, full).with(rounded);
        pass.weights.multiply(a, block, dh, PANEL, true);
    }

    /// A block's gates, row after row.
    fn gates(&self, phase: usize, block: usize, dh: &mut [f32]) {
        let (pass, step, size) = (self.pass, self.step(phase), saved_width::<K>());
        let Sizes { t, h, .. } = pass.sizes;
        let (Units { start, width }, full) = (Units::of(block, h), K::GRADIENT * h);
        let buffer = self.part.order.len() * PANEL;
        let dc: &mut [f32] = match K::HAS_C {
            // SAFETY: it is this chunk's block of the part's own dc.
            true => unsafe { self.dc.write(block * buffer, buffer) },
            false => &mut [],
        };
        let rows = step.rows.len();
        let of_block = &pass.saved.gates[(step.rows.start * h.div_ceil(PANEL) + block * rows) * size..][..rows * size];
        for ((sorted, row), of_row) in step.rows.clone().enumerate().zip(of_block.chunks_exact(size)) {
            let dh = &mut dh[sorted * PANEL..][..width];
            let d_out = &pass.d_outputs[0][(self.part.order[sorted] * t + step.time) * h + start..][..width];
            dh.iter_mut().zip(d_out).for_each(|(dh, d_out)| *dh += d_out);
            let part = |i: usize, there: bool| if there { &of_row[i * PANEL..][..width] } else { &[] };
            let gate = |gate: usize| part(gate, gate < K::GATES);
            let saved = SavedUnits {
                gates: [gate(0), gate(1), gate(2), gate(3)],
                extra: part(K::GATES, K::SAVES_EXTRA),
                previous: &pass.saved.previous[row * h + start..][..width],
            };
            let into = |gate: usize| match gate < K::GRADIENT {
                // SAFETY: the row is one of this step and part, the units are this chunk's, and each gate is asked for once. All of it is
                // written and none read.
                true => unsafe { pass.d_gates.write(row * full + gate * h + start, width) },
                false => &mut [],
            };
            let dc = if K::HAS_C { &mut dc[sorted * PANEL..][..width] } else { &mut *dc };
            pass.cell.backward(saved, dh, dc, [into(0), into(1), into(2), into(3)]);
            let Some(rounded) = &self.rounded else { continue };
            for gate in 0..K::GATES {
                let of = row * full + (K::GRADIENT - K::GATES + gate) * h + start;
                // SAFETY: this chunk has written these gradients just now, and nobody writes them again.
                let values = unsafe { pass.d_gates.read(of, width) };
                // SAFETY: this half is read in the next phase, and the units, which begin a tile, are this chunk's.
                unsafe { rounded[(phase + 1) % 2].write(sorted, gate * h + start, values) };
            }
        }
    }
}

/// The gradients of all inputs, in their order: each weight's is one product over all steps.
pub fn input_gradients<K: Gates>(
    of: &SequenceOp<K>,
    inputs: &Inputs,
    call: &Call<Saved>,
    back: Backward,
) -> Result<Vec<Option<Tensor>>> {
    let Sizes { n, t, d, h } = inputs.sizes;
    let (wide, full) = (K::GATES * h, K::GRADIENT * h);
    let packed = PackedSteps::new(&of.steps, n, partition::<K>(inputs.sizes).parts);
    let (rows, d_gates) = (packed.rows, &back.gates[..]);
    let d_hidden = d_gates.get(full - wide..).unwrap_or_default();
    // The gates' gradients start with gate GRADIENT_ROTATION, the rows of W_ih with gate 0.
    let rotation = K::GRADIENT_ROTATION * h % wide.max(1);
    // One step by itself is likely one of many, whose weights' gradients are best formed together.
    let deferred = t == 1 && rows == n && full == wide && rotation == 0;
    let tensor = |values: Vec<f32>, i: usize| Tensor::from_vec(values, call.inputs[i].shape(), &Device::Cpu).map(Some);
    let weight = |i: usize, d_gates: &[f32], xs: &[f32], width: usize, rotation: usize| {
        if deferred {
            let dys = Tensor::from_slice(d_gates, (rows, wide), &Device::Cpu)?;
            call.defer_matmul_gradient(i, dys, Tensor::from_slice(xs, (rows, width), &Device::Cpu)?);
            return Ok(None);
        }
        let shape = GemmShape { m: wide, n: width, k: rows };
        let mut product = gemm(Strided::columns(d_gates, full), Strided::rows(xs, width), shape, None);
        product.rotate_right(rotation * width);
        tensor(product, i)
    };
    let mut found = vec![
        if call.wants(0) { tensor(packed.pad(&row_gradients::<K>(inputs, d_gates), d), 0)? } else { None },
        if call.wants(1) { weight(1, d_hidden, &call.saved.previous, h, 0)? } else { None },
        tensor(back.dh, 2)?,
    ];
    if K::HAS_C {
        found.push(tensor(back.dc, found.len())?);
    }
    if of.bias_hh {
        found.push(tensor(column_sums(d_hidden, full, wide), found.len())?);
    }
    if of.weight_ih {
        let of_weight = || weight(found.len(), d_gates, &packed.pack(inputs.xs, d), d, rotation);
        found.push(if call.wants(found.len()) { of_weight()? } else { None });
    }
    if inputs.b_ih.is_some() {
        let mut sums = column_sums(d_gates, full, wide);
        sums.rotate_right(rotation);
        found.push(tensor(sums, found.len())?);
    }
    Ok(found)
}

/// The gradients of the packed rows of xs (R, D).
fn row_gradients<K: Gates>(inputs: &Inputs, d_gates: &[f32]) -> Vec<f32> {
    let Sizes { d, h, .. } = inputs.sizes;
    let (wide, full) = (K::GATES * h, K::GRADIENT * h);
    let Some(w_ih) = inputs.w_ih else {
        let row =
            |row: &[f32]| (0..wide).map(|j| row[(j + wide - K::GRADIENT_ROTATION * h) % wide]).collect::<Vec<_>>();
        return d_gates.par_chunks_exact(full.max(1)).flat_map_iter(row).collect();
    };
    // The rows of W_ih in the order of the gates' gradients.
    let (last, first) = w_ih.split_at(K::GRADIENT_ROTATION * h * d);
    let rotated = if last.is_empty() { Cow::Borrowed(first) } else { Cow::Owned([first, last].concat()) };
    let shape = GemmShape { m: d_gates.len() / full.max(1), n: d, k: wide };
    gemm(Strided::rows(d_gates, full), Strided::rows(&rotated, d), shape, None)
}
