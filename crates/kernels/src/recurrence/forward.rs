//! The recurrence in f32 on the CPU, going forward.

use super::cpu::{Gates, Given, InBlocks, Kept, Sequence, Sizes, kept_width, shared_out};
use super::gates::{Blocks, copied};
use super::packed::{PackedSteps, Part, Step};
use super::weights::{Projected, Together, WORTH_PACKING, Weights};
use crate::product::bf16::RoundedRows;
use crate::product::{Left, PANEL, gemm_into};
use crate::team::{self, Shared, filled};
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
            // SAFETY: nobody else is here yet.
            unsafe { out.write(0, n * t * h).fill(0.0) };
        }
        let (last, c) = (&Shared::new(&mut last), &Shared::new(&mut c));
        let (kernel, projected, weights) = (of.kernel, &projected, &weights);
        let batch = Batch { kernel, given, saved, projected, weights, gates, previous, out, last, c };
        packed.parts.par_iter().for_each(|part| batch.walk(part, members));
    };
    let (mut previous, mut out) = (vec![], vec![]);
    // SAFETY: all rows of all steps have their gates, and a state before them; what no step writes of `out` is 0.
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
            // SAFETY: these rows belong to this part alone.
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

// SAFETY: in a phase all members read the states before this step and write those before the next; of everything that is
// written, the units of a chunk belong to it alone.
impl<K: Gates> Walk<'_, K> {
    /// The first states.
    fn begin(&self) {
        let (batch, h) = (self.batch, self.batch.given.sizes.h);
        let first = |of: usize| &batch.given.h[of * h..][..h];
        // SAFETY: nobody else is here yet.
        unsafe {
            self.part.starts().for_each(|(row, of)| batch.previous.write(row * h, h).copy_from_slice(first(of)));
            for (sorted, &of) in self.part.order.iter().enumerate() {
                self.states.iter().for_each(|states| states.write(sorted, 0, first(of)));
            }
        }
    }

    fn block(&self, phase: usize, block: usize) {
        let (batch, n, h) = (self.batch, self.part.order.len(), self.batch.given.sizes.h);
        let step = &self.part.step(phase);
        let (rows, blocks, stride, kept) = (step.rows.len(), h.div_ceil(PANEL), K::GATES * PANEL, kept_width::<K>());
        let chunk = Chunk { phase, step, start: block * PANEL, width: PANEL.min(h - block * PANEL) };
        let scratch = unsafe { self.scratch.write(block * self.room, self.room) };
        let (formed, rest) = scratch.split_at_mut(self.together.steps * n * stride);
        let (hidden, unkept) = rest.split_at_mut(n * stride);
        let hidden = &mut hidden[..rows * stride];
        let c: &mut [f32] = if K::CELL { unsafe { self.c.write(block * n * PANEL, n * PANEL) } } else { &mut [] };
        let keeping: &mut [f32] = match batch.saved {
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
        let left = Left::rows(unsafe { batch.previous.read(step.rows.start * h, rows * h) }, rows, h);
        let left = left.with(unsafe { self.states[phase % 2].read(rows) });
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
        unsafe {
            let new = batch.out.write((of * t + step.time) * h + start, width);
            if K::UPDATES {
                copied(batch.previous.read(row * h + start, width), new);
            }
            batch.kernel.forward(sums, gates, new, c, extra);
            match step.next(sorted) {
                Some(next) => {
                    copied(new, batch.previous.write(next * h + start, width));
                    self.states[(phase + 1) % 2].write(sorted, start, new);
                }
                None => batch.last.write(of * h + start, width).copy_from_slice(new),
            }
        }
    }
}

/// A slice for each gate that the cell has.
#[inline(always)]
fn each_gate<'a, K: Gates>(mut gate: impl FnMut(usize) -> &'a mut [f32]) -> [&'a mut [f32]; 4] {
    std::array::from_fn(|i| if i < K::GATES { gate(i) } else { &mut [] })
}
