//! Backward pass of RNN, LSTM and GRU (backpropagation through time), f32, CPU.

use super::packed::{PackedSteps, Part, Step};
use super::{Gates, Given, InBlocks, Kept, Saved, Sequence, Sizes, kept_width, shared_out};
use crate::cpu::gemm::bf16::{RoundedRows, TERMS};
use crate::cpu::gemm::{Left, PANEL, Packed, Right, gemm_into};
use crate::cpu::reduce::sums_of_columns;
use crate::cpu::team::{self, Shared, filled};
use crate::node::Call;
use candle_core::{Device, Result, Tensor};
use rayon::prelude::*;
use std::borrow::Cow;

/// What going back gives: the gradients of the first state, and of all gates (R, GRADIENT·H).
pub struct Backward {
    dh: Vec<f32>,
    dc: Vec<f32>,
    gradient: Vec<f32>,
}

/// All steps back, from the gradients of the outputs.
pub fn steps<K: Gates>(of: &Sequence<K>, given: &Given, kept: &Kept, gradients: &[&[f32]]) -> Backward {
    let Sizes { n, h, .. } = given.sizes;
    let (parts, members) = shared_out::<K>(given.sizes);
    let packed = PackedSteps::new(&of.steps, n, parts);
    let weights = Packed::rows(given.w_hh, K::GATES * h, h);
    let states = if K::CELL { n * h } else { 0 };
    let (mut dh, mut dc) = (vec![0f32; n * h], vec![0f32; states]);
    let work = |gradient: &Shared| {
        let (dh, dc) = (&Shared::new(&mut dh), &Shared::new(&mut dc));
        let (kernel, sizes, weights) = (of.kernel, given.sizes, &weights);
        let batch = Batch { kernel, sizes, kept, gradients, weights, gradient, dh, dc };
        packed.parts.par_iter().for_each(|part| batch.walk(part, members));
    };
    // SAFETY: the walks of all parts go through all rows of all steps, and for each of them the blocks are all units, of which
    // `Gates::backward` writes all gradients; they are read in `Walk::through_product` and rounded in `Walk::gates`, after that.
    let gradient = unsafe { filled(packed.rows * K::GRADIENT * h, work) };
    Backward { dh, dc, gradient }
}

/// What the walks back through the steps of all parts share.
struct Batch<'a, K> {
    kernel: K,
    sizes: Sizes,
    kept: &'a Kept,
    /// Of h of all steps (N, T, H), and of the last h and c (N, H).
    gradients: &'a [&'a [f32]],
    weights: &'a Packed,
    /// Of all gates (R, GRADIENT·H).
    gradient: &'a Shared<'a>,
    /// Of the first h and c (N, H).
    dh: &'a Shared<'a>,
    dc: &'a Shared<'a>,
}

impl<K: Gates> Batch<'_, K> {
    /// Walks back through the steps of a part.
    fn walk(&self, part: &Part, members: usize) {
        let Sizes { h, .. } = self.sizes;
        let (n, blocks, in_blocks) = (part.order.len(), h.div_ceil(PANEL), InBlocks { order: &part.order, h });
        let mut dh = in_blocks.of(self.gradients[1]);
        let mut dc = if K::CELL { in_blocks.of(self.gradients[2]) } else { vec![] };
        let path = self.weights.path().filter(|_| h.is_multiple_of(TERMS));
        let walk = Walk {
            batch: self,
            part,
            dh: Shared::new(&mut dh),
            dc: Shared::new(&mut dc),
            rounds: path.map(|path| [(); 2].map(|()| RoundedRows::new(Some(path), n, K::GATES * h))),
        };
        // The phase after the last step only takes the gradient through W_hh to the first state.
        team::run(members, part.steps() + 1, |_| blocks, |phase, block| walk.block(phase, block));
        // SAFETY: the team is through, and a row of the batch is in the order of one part alone.
        unsafe { in_blocks.write(&dh, self.dh) };
        if K::CELL {
            // SAFETY: the same holds for c.
            unsafe { in_blocks.write(&dc, self.dc) };
        }
    }
}

/// One walk back through the steps of a part.
struct Walk<'a, K> {
    batch: &'a Batch<'a, K>,
    part: &'a Part,
    /// Of the state, in blocks of units.
    dh: Shared<'a>,
    dc: Shared<'a>,
    /// The gates' gradients of the step after and of the present one, where products round them and a block of each gate begins a tile.
    rounds: Option<[RoundedRows; 2]>,
}

// Who touches what: parts have rows of their own, of the batch and of all steps. Within a part a phase is a step, and no chunk of it
// begins before the phase before is done (`team::run`). In a phase all members read the gates' gradients of the step after, which the
// phase before has written, and write those of this one, which lie elsewhere. Whatever else they touch is of the units of their
// chunk, which nobody else has in this phase.
impl<K: Gates> Walk<'_, K> {
    fn block(&self, phase: usize, block: usize) {
        let room = self.part.order.len() * PANEL;
        // SAFETY: it is this chunk's block of the walk's own dh.
        let dh = unsafe { self.dh.write(block * room, room) };
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

    /// Adds what W_hh h of the step after brings back.
    fn through_product(&self, phase: usize, block: usize, dh: &mut [f32]) {
        let (batch, after, h) = (self.batch, self.step(phase - 1).rows, self.batch.sizes.h);
        let (wide, full, rows) = (K::GATES * h, K::GRADIENT * h, after.len());
        if rows == 0 {
            return;
        }
        // SAFETY: the phase before has written the gradients of the step after, and in this one only those of this step are written.
        let values = unsafe { batch.gradient.read(after.start * full, rows * full) };
        // SAFETY: in this phase only the other half is written to.
        let rounded = self.rounds.as_ref().and_then(|rounds| unsafe { rounds[phase % 2].read(rows) });
        let left = Left::rows(values.get(full - wide..).unwrap_or_default(), rows, full).with(rounded);
        batch.weights.multiply(left, block, dh, PANEL, true);
    }

    /// A block's gates, row after row.
    fn gates(&self, phase: usize, block: usize, dh: &mut [f32]) {
        let (batch, step, size) = (self.batch, self.step(phase), kept_width::<K>());
        let Sizes { t, h, .. } = batch.sizes;
        let (start, width, full) = (block * PANEL, PANEL.min(h - block * PANEL), K::GRADIENT * h);
        let room = self.part.order.len() * PANEL;
        let dc: &mut [f32] = match K::CELL {
            // SAFETY: it is this chunk's block of the walk's own dc.
            true => unsafe { self.dc.write(block * room, room) },
            false => &mut [],
        };
        let rows = step.rows.len();
        let of_block = &batch.kept.gates[(step.rows.start * h.div_ceil(PANEL) + block * rows) * size..][..rows * size];
        for ((sorted, row), of_row) in step.rows.clone().enumerate().zip(of_block.chunks_exact(size)) {
            let dh = &mut dh[sorted * PANEL..][..width];
            let d_out = &batch.gradients[0][(self.part.order[sorted] * t + step.time) * h + start..][..width];
            dh.iter_mut().zip(d_out).for_each(|(dh, d_out)| *dh += d_out);
            let part = |i: usize, there: bool| if there { &of_row[i * PANEL..][..width] } else { &[] };
            let gate = |gate: usize| part(gate, gate < K::GATES);
            let saved = Saved {
                gates: [gate(0), gate(1), gate(2), gate(3)],
                extra: part(K::GATES, K::EXTRA),
                previous: &batch.kept.previous[row * h + start..][..width],
            };
            let into = |gate: usize| match gate < K::GRADIENT {
                // SAFETY: the row is one of this step and part, the units are this chunk's, and each gate is asked for once. All of it is
                // written and none read.
                true => unsafe { batch.gradient.write(row * full + gate * h + start, width) },
                false => &mut [],
            };
            let dc = if K::CELL { &mut dc[sorted * PANEL..][..width] } else { &mut *dc };
            batch.kernel.backward(saved, dh, dc, [into(0), into(1), into(2), into(3)]);
            for (gate, rounds) in
                self.rounds.iter().flat_map(|rounds| (0..K::GATES).map(|gate| (gate, &rounds[(phase + 1) % 2])))
            {
                let of = row * full + (K::GRADIENT - K::GATES + gate) * h + start;
                // SAFETY: this chunk has written these gradients just now, and nobody writes them again.
                let values = unsafe { batch.gradient.read(of, width) };
                // SAFETY: this half is read in the next phase, and the units, which begin a tile, are this chunk's.
                unsafe { rounds.write(sorted, gate * h + start, values) };
            }
        }
    }
}

/// The gradients of all inputs, in their order: each weight's is one product over all steps.
pub fn of_inputs<K: Gates>(
    of: &Sequence<K>,
    given: &Given,
    call: &Call<Kept>,
    back: Backward,
) -> Result<Vec<Option<Tensor>>> {
    let Sizes { n, t, d, h } = given.sizes;
    let (wide, full) = (K::GATES * h, K::GRADIENT * h);
    let packed = PackedSteps::new(&of.steps, n, shared_out::<K>(given.sizes).0);
    let (rows, gradient) = (packed.rows, &back.gradient[..]);
    let of_hidden = gradient.get(full - wide..).unwrap_or_default();
    // Where the first gate's rows of W_ih go, in whose order the gates' gradients do not stand.
    let first = K::FIRST * h % wide.max(1);
    // One step by itself is likely one of many, whose weights' gradients are best formed together.
    let alone = t == 1 && rows == n && full == wide && first == 0;
    let tensor = |values: Vec<f32>, i: usize| Tensor::from_vec(values, call.inputs[i].shape(), &Device::Cpu).map(Some);
    let weight = |i: usize, gates: &[f32], (xs, width): (&[f32], usize), first: usize| {
        if alone {
            let dys = Tensor::from_slice(gates, (rows, wide), &Device::Cpu)?;
            call.defer_matmul_gradient(i, dys, Tensor::from_slice(xs, (rows, width), &Device::Cpu)?);
            return Ok(None);
        }
        let mut product = gemm_into(gates, (1, full), xs, (width, 1), (wide, width, rows), None);
        product.rotate_right(first * width);
        tensor(product, i)
    };
    let of_xs = || packed.scattered(&of_rows::<K>(given, gradient), d);
    let mut found = vec![
        if call.wanted[0] { tensor(of_xs(), 0)? } else { None },
        if call.wanted[1] { weight(1, of_hidden, (&call.saved.previous, h), 0)? } else { None },
        tensor(back.dh, 2)?,
    ];
    if K::CELL {
        found.push(tensor(back.dc, found.len())?);
    }
    if of.bias_hh {
        found.push(tensor(sums_of_columns(of_hidden, full, wide), found.len())?);
    }
    if of.weight_ih {
        let of_weight = || weight(found.len(), gradient, (&packed.gathered(given.xs, d), d), first);
        found.push(if call.wanted[found.len()] { of_weight()? } else { None });
    }
    if given.b_ih.is_some() {
        let mut sums = sums_of_columns(gradient, full, wide);
        sums.rotate_right(first);
        found.push(tensor(sums, found.len())?);
    }
    Ok(found)
}

/// The gradients of the rows of xs (R, D).
fn of_rows<K: Gates>(given: &Given, gradient: &[f32]) -> Vec<f32> {
    let Sizes { d, h, .. } = given.sizes;
    let (wide, full) = (K::GATES * h, K::GRADIENT * h);
    let Some(w_ih) = given.w_ih else {
        let row = |row: &[f32]| (0..wide).map(|j| row[(j + wide - K::FIRST * h) % wide]).collect::<Vec<_>>();
        return gradient.par_chunks_exact(full.max(1)).flat_map_iter(row).collect();
    };
    // The rows of W_ih in the order in which the gates' gradients stand.
    let (last, first) = w_ih.split_at(K::FIRST * h * d);
    let turned = if last.is_empty() { Cow::Borrowed(first) } else { Cow::Owned([first, last].concat()) };
    gemm_into(gradient, (full, 1), &turned, (d, 1), (gradient.len() / full.max(1), d, wide), None)
}
