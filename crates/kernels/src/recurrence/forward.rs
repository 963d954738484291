//! The recurrence in f32 on the CPU, going forward.

use super::cpu::{Gates, Given, InBlocks, Kept, Sequence, Sizes, TEAMWORK, kept_width};
use super::gates::{Blocks, copied};
use super::packed::{PackedSteps, Step};
use super::weights::{Projected, Weights};
use crate::product::bf16::RoundedRows;
use crate::product::{Left, PANEL};
use crate::team::{self, Shared, filled};

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
    let (blocks, packed) = (h.div_ceil(PANEL), PackedSteps::new(&of.steps, n));
    let (rows, kept) = (packed.rows(), kept_width::<K>());
    let gathered = packed.gathered(given.xs, d);
    let projected = match given.w_ih {
        None => Projected::Given(gathered),
        Some(w_ih) => Projected::formed(gathered, (w_ih, given.b_ih), (n, d, h), &packed),
    };
    let weights = Weights::new(given.w_hh, (h, h), rows);
    let in_blocks = InBlocks { order: &packed.order, h };
    let (mut last, mut c) = (given.h.to_vec(), given.c.map_or_else(Vec::new, |c| in_blocks.of(c)));
    let together = if let Projected::Formed { steps, .. } = projected { steps * n } else { 0 };
    let room = (together + n) * K::GATES * PANEL + kept;
    let mut scratch = vec![0f32; blocks * room];
    let mut run = |gates: &Shared, previous: &Shared, out: &Shared| {
        let states = [(); 2].map(|()| RoundedRows::new(weights.path(), n, h));
        Walk {
            kernel: of.kernel,
            given,
            saved,
            packed: &packed,
            projected: &projected,
            weights: &weights,
            gates,
            previous,
            out,
            last: Shared::new(&mut last),
            c: Shared::new(&mut c),
            scratch: Shared::new(&mut scratch),
            room,
            together,
            states,
        }
        .run();
    };
    let (mut previous, mut out) = (vec![], vec![]);
    // SAFETY: all rows of all steps have their gates, and a state before them; what no step writes of `out` is 0.
    let gates = unsafe {
        filled(if saved { rows * blocks * kept } else { 0 }, |gates| {
            previous = filled(rows * h, |previous| out = filled(n * t * h, |out| run(gates, previous, out)));
        })
    };
    let c = if K::CELL { in_blocks.rows(&c) } else { c };
    Forward { out, h: last, c, kept: Kept { gates, previous } }
}

/// One walk through all steps.
struct Walk<'a, K> {
    kernel: K,
    given: &'a Given<'a>,
    saved: bool,
    packed: &'a PackedSteps,
    projected: &'a Projected<'a>,
    weights: &'a Weights<'a>,
    /// As in [`Kept`].
    gates: &'a Shared<'a>,
    previous: &'a Shared<'a>,
    out: &'a Shared<'a>,
    /// The last h (N, H), and c in blocks of units.
    last: Shared<'a>,
    c: Shared<'a>,
    /// For each block of units `room` values: W_ih x of the rows of some steps, of which there are `together`, W_hh h of one, and
    /// what nobody keeps of a row.
    scratch: Shared<'a>,
    room: usize,
    together: usize,
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
    fn run(&self) {
        let Sizes { n, h, .. } = self.given.sizes;
        self.begin();
        let members = team::members(n * K::GATES * h * h, TEAMWORK);
        team::run(members, self.packed.steps(), |_| h.div_ceil(PANEL), |phase, block| self.block(phase, block));
    }

    /// The first states, and 0 where no step will write.
    fn begin(&self) {
        let Sizes { n, t, h, .. } = self.given.sizes;
        let first = |of: usize| &self.given.h[of * h..][..h];
        // SAFETY: nobody else is here yet.
        unsafe {
            if self.packed.rows() < n * t {
                self.out.write(0, n * t * h).fill(0.0);
            }
            self.packed.starts().for_each(|(row, of)| self.previous.write(row * h, h).copy_from_slice(first(of)));
            for (sorted, &of) in self.packed.order.iter().enumerate() {
                self.states.iter().for_each(|states| states.write(sorted, 0, first(of)));
            }
        }
    }

    fn block(&self, phase: usize, block: usize) {
        let (Sizes { n, h, .. }, step) = (self.given.sizes, &self.packed.step(phase));
        let (rows, blocks, stride, kept) = (step.rows.len(), h.div_ceil(PANEL), K::GATES * PANEL, kept_width::<K>());
        let chunk = Chunk { phase, step, start: block * PANEL, width: PANEL.min(h - block * PANEL) };
        let scratch = unsafe { self.scratch.write(block * self.room, self.room) };
        let (formed, rest) = scratch.split_at_mut(self.together * stride);
        let (hidden, unkept) = rest.split_at_mut(n * stride);
        let hidden = &mut hidden[..rows * stride];
        let c: &mut [f32] = if K::CELL { unsafe { self.c.write(block * n * PANEL, n * PANEL) } } else { &mut [] };
        let keeping: &mut [f32] = match self.saved {
            true => unsafe { self.gates.write((step.rows.start * blocks + block * rows) * kept, rows * kept) },
            false => &mut [],
        };
        if chunk.width < PANEL {
            keeping.fill(0.0);
        }
        self.of_hidden(chunk, hidden);
        let first = self.of_inputs(chunk, formed);
        for (sorted, row) in step.rows.clone().enumerate() {
            let of_input = match self.projected {
                Projected::Given(rows) => Blocks { values: &rows[row * K::GATES * h + chunk.start..], stride: h },
                Projected::Formed { .. } => {
                    Blocks { values: &formed[(row - first) * stride..][..stride], stride: PANEL }
                }
            };
            let of_hidden = Blocks { values: &hidden[sorted * stride..][..stride], stride: PANEL };
            let here = if self.saved { &mut keeping[sorted * kept..][..kept] } else { &mut *unkept };
            let c = if K::CELL { &mut c[sorted * PANEL..][..chunk.width] } else { &mut *c };
            self.row(chunk, (sorted, row), [of_input, of_hidden], here, c);
        }
    }

    /// W_hh h (+ b_hh) of all rows.
    fn of_hidden(&self, Chunk { phase, step, start, width }: Chunk, into: &mut [f32]) {
        let (h, rows) = (self.given.sizes.h, step.rows.len());
        let left = Left::rows(unsafe { self.previous.read(step.rows.start * h, rows * h) }, rows, h);
        let left = left.with(unsafe { self.states[phase % 2].read(rows) });
        self.weights.multiply(left, (start, width), self.given.b_hh, into);
    }

    /// W_ih x + b of the rows of the next steps, where the last ones are used up; and the first of the rows that are there.
    fn of_inputs(&self, Chunk { phase, start, width, .. }: Chunk, into: &mut [f32]) -> usize {
        let Projected::Formed { rows, rounded, weights, bias, steps } = self.projected else { return 0 };
        let d = self.given.sizes.d;
        let (first, end) = self.packed.together(phase / steps * steps, *steps);
        if phase.is_multiple_of(*steps) {
            let rounded = rounded.get(phase / steps).map(|whole| whole.block(0..end - first, 0..d));
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
        let (Sizes { t, h, .. }, of) = (self.given.sizes, self.packed.order[sorted]);
        let (gates, extra) = here.split_at_mut(K::GATES * PANEL);
        let mut gates = gates.chunks_exact_mut(PANEL);
        let gates = each_gate::<K>(|_| gates.next().map_or(&mut [], |gate| &mut gate[..width]));
        let extra = if K::EXTRA { &mut extra[..width] } else { extra };
        unsafe {
            let new = self.out.write((of * t + step.time) * h + start, width);
            if K::UPDATES {
                copied(self.previous.read(row * h + start, width), new);
            }
            self.kernel.forward(sums, gates, new, c, extra);
            match step.next(sorted) {
                Some(next) => {
                    copied(new, self.previous.write(next * h + start, width));
                    self.states[(phase + 1) % 2].write(sorted, start, new);
                }
                None => self.last.write(of * h + start, width).copy_from_slice(new),
            }
        }
    }
}

/// A slice for each gate that the cell has.
#[inline(always)]
fn each_gate<'a, K: Gates>(mut gate: impl FnMut(usize) -> &'a mut [f32]) -> [&'a mut [f32]; 4] {
    std::array::from_fn(|i| if i < K::GATES { gate(i) } else { &mut [] })
}
