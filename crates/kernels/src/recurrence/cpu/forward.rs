//! Forward pass of RNN, LSTM and GRU, f32, CPU.

use super::gates::{Blocks, copied};
use super::packed::{PackedSteps, Part, Step};
use super::weights::{Projected, Together, WORTH_PACKING, Weights};
use super::{Gates, Given, InBlocks, Kept, Sequence, Sizes, kept_width, shared_out};
use crate::cpu::gemm::bf16::RoundedRows;
use crate::cpu::gemm::{Left, PANEL, gemm_into};
use crate::cpu::team::{self, Shared, filled};
use rayon::prelude::*;

/// What going forward gives.
pub struct Forward {
    /// h of all steps (N, T, H), and the last h and c (N, H).
    pub out: Vec<f32>,
    pub h: Vec<f32>,
    pub c: Vec<f32>,
    pub kept: Kept,
}

/// All steps; the gates are kept where they will be `saved` for the way back.
pub fn steps<K: Gates>(of: &Sequence<K>, given: &Given, saved: bool) -> Forward {
    let Sizes { n, t, d, h } = given.sizes;
    let (parts, members) = shared_out::<K>(given.sizes);
    let (blocks, packed) = (h.div_ceil(PANEL), PackedSteps::new(&of.steps, n, parts));
    let (rows, kept) = (packed.rows, kept_width::<K>());
    let gathered = packed.gathered(given.xs, d);
    let projected = match given.w_ih {
        None => Projected::Given(gathered),
        // Weights that serve one step only are not laid out for more.
        Some(w_ih) if t == 1 && rows >= WORTH_PACKING => {
            let size = (rows, K::GATES * h, d);
            Projected::Given(gemm_into(&gathered, (d, 1), w_ih, (1, d), size, given.b_ih))
        }
        Some(w_ih) => Projected::formed(gathered, (w_ih, given.b_ih), (rows, d, h)),
    };
    let weights = Weights::new(given.w_hh, (h, h), rows);
    let (mut last, mut c) = (given.h.to_vec(), given.c.map_or_else(Vec::new, <[f32]>::to_vec));
    let mut run = |gates: &Shared, previous: &Shared, out: &Shared| {
        if rows < n * t {
            // SAFETY: no part has begun its walk, and nobody else has `out`.
            unsafe { out.write(0, n * t * h).fill(0.0) };
        }
        let (last, c) = (&Shared::new(&mut last), &Shared::new(&mut c));
        let (kernel, projected, weights) = (of.kernel, &projected, &weights);
        let batch = Batch { kernel, given, saved, projected, weights, gates, previous, out, last, c };
        packed.parts.par_iter().for_each(|part| batch.walk(part, members));
    };
    let (mut previous, mut out) = (vec![], vec![]);
    // SAFETY: the walks of all parts go through all rows of all steps. For each row and each block of units `Walk::block` writes all that
    // is kept of the gates, and `Walk::row` h into `out`, which was cleared before where it has more rows than there are. The state
    // before a row is written by `Walk::begin` where a sequence begins, and else by `Walk::row` of the step before.
    let gates = unsafe {
        filled(if saved { rows * blocks * kept } else { 0 }, |gates| {
            previous = filled(rows * h, |previous| out = filled(n * t * h, |out| run(gates, previous, out)));
        })
    };
    Forward { out, h: last, c, kept: Kept { gates, previous } }
}

/// What the walks through the steps of all parts share.
struct Batch<'a, K> {
    kernel: K,
    given: &'a Given<'a>,
    saved: bool,
    projected: &'a Projected<'a>,
    weights: &'a Weights<'a>,
    /// As in [`Kept`].
    gates: &'a Shared<'a>,
    previous: &'a Shared<'a>,
    out: &'a Shared<'a>,
    /// The last h and c (N, H).
    last: &'a Shared<'a>,
    c: &'a Shared<'a>,
}

impl<K: Gates> Batch<'_, K> {
    /// Walks through the steps of a part.
    fn walk(&self, part: &Part, members: usize) {
        let Sizes { d, h, .. } = self.given.sizes;
        let (n, blocks, in_blocks) = (part.order.len(), h.div_ceil(PANEL), InBlocks { order: &part.order, h });
        let together = self.projected.together(part, d);
        let room = (together.steps * n + n) * K::GATES * PANEL + kept_width::<K>();
        let (mut c, mut scratch) = (self.given.c.map_or_else(Vec::new, |c| in_blocks.of(c)), vec![0f32; blocks * room]);
        let walk = Walk {
            batch: self,
            part,
            together,
            c: Shared::new(&mut c),
            scratch: Shared::new(&mut scratch),
            room,
            states: [(); 2].map(|()| RoundedRows::new(self.weights.path(), n, h)),
        };
        walk.begin();
        team::run(members, part.steps(), |_| blocks, |phase, block| walk.block(phase, block));
        if K::CELL {
            // SAFETY: the team is through, and a row of the batch is in the order of one part alone.
            unsafe { in_blocks.write(&c, self.c) };
        }
    }
}

/// One walk through the steps of a part.
struct Walk<'a, K> {
    batch: &'a Batch<'a, K>,
    part: &'a Part,
    together: Together,
    /// c in blocks of units.
    c: Shared<'a>,
    /// For each block of units `room` values: W_ih x of the rows of the steps that are together, W_hh h of one, and what nobody keeps
    /// of a row.
    scratch: Shared<'a>,
    room: usize,
    /// The states before an even step and before an odd one, where products round them. Those of rows that begin later wait there.
    states: [RoundedRows; 2],
}

/// A chunk of work: a block of units of one step.
#[derive(Clone, Copy)]
struct Chunk<'a> {
    phase: usize,
    step: &'a Step,
    /// Its first unit and how many it has.
    start: usize,
    width: usize,
}

// Who touches what: parts have rows of their own, of the batch and of all steps. Within a part a phase is a step, and no chunk of it
// begins before the step before is done (`team::run`). In a step all members read the states before it, which were written in the
// step before or by `begin`, and write those before the next, which lie elsewhere. Whatever else they touch is of the units of
// their chunk, which nobody else has in this step.
impl<K: Gates> Walk<'_, K> {
    /// The first states.
    fn begin(&self) {
        let (batch, h) = (self.batch, self.batch.given.sizes.h);
        let first = |of: usize| &batch.given.h[of * h..][..h];
        for (row, of) in self.part.starts() {
            // SAFETY: the row is one of this part, whose team has not begun.
            unsafe { batch.previous.write(row * h, h) }.copy_from_slice(first(of));
        }
        for (sorted, &of) in self.part.order.iter().enumerate() {
            for states in &self.states {
                // SAFETY: the states are this walk's own, whose team has not begun.
                unsafe { states.write(sorted, 0, first(of)) };
            }
        }
    }

    fn block(&self, phase: usize, block: usize) {
        let (batch, n, h) = (self.batch, self.part.order.len(), self.batch.given.sizes.h);
        let step = &self.part.step(phase);
        let (rows, blocks, stride, kept) = (step.rows.len(), h.div_ceil(PANEL), K::GATES * PANEL, kept_width::<K>());
        let chunk = Chunk { phase, step, start: block * PANEL, width: PANEL.min(h - block * PANEL) };
        // SAFETY: it is the room of this chunk's block in the walk's own scratch.
        let scratch = unsafe { self.scratch.write(block * self.room, self.room) };
        let (formed, rest) = scratch.split_at_mut(self.together.steps * n * stride);
        let (hidden, unkept) = rest.split_at_mut(n * stride);
        let hidden = &mut hidden[..rows * stride];
        let c: &mut [f32] = match K::CELL {
            // SAFETY: it is this chunk's block of the walk's own c.
            true => unsafe { self.c.write(block * n * PANEL, n * PANEL) },
            false => &mut [],
        };
        let keeping: &mut [f32] = match batch.saved {
            // SAFETY: these are the gates of this step's rows, which are of this part, in this chunk's block. They are written below: all
            // units of a whole block by `row`, and where a block is narrow the rest before.
            true => unsafe { batch.gates.write((step.rows.start * blocks + block * rows) * kept, rows * kept) },
            false => &mut [],
        };
        if chunk.width < PANEL {
            keeping.fill(0.0);
        }
        if rows > 0 {
            self.of_hidden(chunk, hidden);
        }
        let first = self.of_inputs(chunk, formed);
        for (sorted, row) in step.rows.clone().enumerate() {
            let of_input = match batch.projected {
                Projected::Given(rows) => Blocks { values: &rows[row * K::GATES * h + chunk.start..], stride: h },
                Projected::Formed { .. } => {
                    Blocks { values: &formed[(row - first) * stride..][..stride], stride: PANEL }
                }
            };
            let of_hidden = Blocks { values: &hidden[sorted * stride..][..stride], stride: PANEL };
            let here = if batch.saved { &mut keeping[sorted * kept..][..kept] } else { &mut *unkept };
            let c = if K::CELL { &mut c[sorted * PANEL..][..chunk.width] } else { &mut *c };
            self.row(chunk, (sorted, row), [of_input, of_hidden], here, c);
        }
    }

    /// W_hh h (+ b_hh) of all rows.
    fn of_hidden(&self, Chunk { phase, step, start, width }: Chunk, into: &mut [f32]) {
        let (batch, h, rows) = (self.batch, self.batch.given.sizes.h, step.rows.len());
        // SAFETY: the states before this step are written, and in this step only those before the next are written to, in other rows.
        let previous = unsafe { batch.previous.read(step.rows.start * h, rows * h) };
        // SAFETY: in this step only the other states are written to.
        let rounded = unsafe { self.states[phase % 2].read(rows) };
        let left = Left::rows(previous, rows, h).with(rounded);
        batch.weights.multiply(left, (start, width), batch.given.b_hh, into);
    }

    /// W_ih x + b of the rows of the next steps, where the last ones are used up; and the first of the rows that are there.
    fn of_inputs(&self, Chunk { phase, start, width, .. }: Chunk, into: &mut [f32]) -> usize {
        let Projected::Formed { rows, weights, bias } = self.batch.projected else { return 0 };
        let (d, steps) = (self.batch.given.sizes.d, self.together.steps);
        let (first, end) = self.part.together(phase / steps * steps, steps);
        if phase.is_multiple_of(steps) && first < end {
            let rounded = self.together.rounded(phase).map(|whole| whole.block(0..end - first, 0..d));
            let left = Left::rows(&rows[first * d..end * d], end - first, d).with(rounded);
            weights.multiply(left, (start, width), *bias, &mut into[..(end - first) * K::GATES * PANEL]);
        }
        first
    }

    /// A row's gates and its new state.
    #[inline(always)]
    fn row(
        &self,
        Chunk { phase, step, start, width }: Chunk,
        (sorted, row): (usize, usize),
        sums: [Blocks; 2],
        here: &mut [f32],
        c: &mut [f32],
    ) {
        let (batch, of) = (self.batch, self.part.order[sorted]);
        let Sizes { t, h, .. } = batch.given.sizes;
        let (gates, extra) = here.split_at_mut(K::GATES * PANEL);
        let mut gates = gates.chunks_exact_mut(PANEL);
        let gates = each_gate::<K>(|_| gates.next().map_or(&mut [], |gate| &mut gate[..width]));
        let extra = if K::EXTRA { &mut extra[..width] } else { extra };
        // SAFETY: the place (of, time) of `out` is this row's alone, and the units are this chunk's. A kernel writes all of it, and reads
        // it only where it `UPDATES` what is copied there first.
        let new = unsafe { batch.out.write((of * t + step.time) * h + start, width) };
        if K::UPDATES {
            // SAFETY: the states before this step are written, and in this step only those before the next are written to.
            copied(unsafe { batch.previous.read(row * h + start, width) }, new);
        }
        batch.kernel.forward(sums, gates, new, c, extra);
        match step.next(sorted) {
            Some(next) => {
                // SAFETY: row `next` belongs to the next step, before which nobody reads it, and the units are this chunk's.
                copied(new, unsafe { batch.previous.write(next * h + start, width) });
                // SAFETY: these states are read in the next step, and the units, which begin a tile, are this chunk's.
                unsafe { self.states[(phase + 1) % 2].write(sorted, start, new) };
            }
            // SAFETY: nobody reads the last states before the walks are over; the row `of` is this part's, the units are this chunk's.
            None => unsafe { batch.last.write(of * h + start, width) }.copy_from_slice(new),
        }
    }
}

/// A slice for each gate that the cell has.
#[inline(always)]
fn each_gate<'a, K: Gates>(mut gate: impl FnMut(usize) -> &'a mut [f32]) -> [&'a mut [f32]; 4] {
    std::array::from_fn(|i| if i < K::GATES { gate(i) } else { &mut [] })
}
