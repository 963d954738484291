//! The recurrence in f32 on the CPU: a team of threads goes through all steps, each member with its own hidden units.
//!
//! The units are shared out in blocks of 32: a block's part of W_hh h and its gates are computed in one go, so there is one
//! meeting of the team a step. Inside, all rows of a step lie together, step after step, the longest row first: rows that
//! have ended cost nothing, and the products with W_ih and of the weights' gradients are each one for all steps.

use super::gates::{Blocks, copied};
use super::packed::PackedSteps;
use super::steps::Steps;
use super::weights::{Projected, Weights};
use crate::node::{Call, Operation, Value, with_all_f32};
use crate::product::bf16::{RoundedRows, TERMS};
use crate::product::{Left, PANEL, Packed, Right, gemm_into};
use crate::reduce::sums_of_columns;
use crate::team::{self, Shared, filled};
use candle_core::{Device, Result, Tensor};
use rayon::prelude::*;
use std::borrow::Cow;

/// The loops over the gates of one cell, for some hidden units of one row of the batch. There are slices for up to four
/// gates; those that a cell lacks are empty.
pub trait Gates: Copy + Send + Sync + 'static {
    /// The name that errors use.
    const NAME: &'static str;
    /// Blocks of H in the projected inputs and in W_hh.
    const GATES: usize;
    /// Whether there is a second state tensor c.
    const CELL: bool;
    /// Whether the backward pass needs H values a step beyond the gates.
    const EXTRA: bool;
    /// Blocks of H in the gradient of a step: the first `GATES` belong to the projected input, the last to W_hh h.
    const GRADIENT: usize = Self::GATES;
    /// The gate whose gradient comes first; the others follow in their order, and those before it at the end.
    const FIRST: usize = 0;
    /// Whether a step reads h where it writes it.
    const UPDATES: bool = false;

    /// One step from the projected input and W_hh h (+ b_hh): `gates` get the activations, h and c become new.
    fn forward(&self, sums: [Blocks; 2], gates: [&mut [f32]; 4], h: &mut [f32], c: &mut [f32], extra: &mut [f32]);

    /// One step back: `dh` and `dc` come as gradients of the new state and leave as gradients of the one before, without
    /// what flows through W_hh; `gradient` gets those of the projected input and of W_hh h.
    fn backward(&self, saved: Saved, dh: &mut [f32], dc: &mut [f32], gradient: [&mut [f32]; 4]);
}

/// What a step left for the way back, for some units of one row.
#[derive(Clone, Copy)]
pub struct Saved<'a> {
    pub gates: [&'a [f32]; 4],
    pub extra: &'a [f32],
    /// h_{t−1}.
    pub previous: &'a [f32],
}

/// The whole sequence on xs, w_hh, h0, then c0 or b_hh, then w_ih and its bias. Without w_ih, xs are projected already.
pub struct Sequence<K> {
    pub kernel: K,
    pub steps: Steps,
    pub bias_hh: bool,
    pub weight_ih: bool,
}

/// The inputs as slices.
struct Given<'a> {
    xs: &'a [f32],
    w_hh: &'a [f32],
    h: &'a [f32],
    c: Option<&'a [f32]>,
    b_hh: Option<&'a [f32]>,
    w_ih: Option<&'a [f32]>,
    b_ih: Option<&'a [f32]>,
    sizes: Sizes,
}

/// N, T, the width of xs, and H.
#[derive(Clone, Copy)]
struct Sizes {
    n: usize,
    t: usize,
    d: usize,
    h: usize,
}

/// What the steps leave for the backward pass.
pub struct Kept {
    /// Where a gradient will be asked for, the gates and what the cell needs beyond them: of a step, of a block of 32 units, of a row.
    /// A chunk of work writes and reads one piece of memory, whose next line the machine fetches by itself.
    gates: Vec<f32>,
    /// The state before each step, row after row of all steps (R, H).
    previous: Vec<f32>,
}

/// How many values a step keeps of a row in a block of units.
const fn kept_width<K: Gates>() -> usize {
    (K::GATES + K::EXTRA as usize) * PANEL
}

/// The states of the batch's rows, sorted, in blocks of units: what one chunk of work reads and writes lies together.
struct InBlocks<'a> {
    order: &'a [usize],
    h: usize,
}

impl InBlocks<'_> {
    /// Where each row's piece of each block stands among the blocks and among the rows (N, H), and its width.
    fn pieces(&self) -> impl Iterator<Item = (usize, usize, usize)> {
        let (n, h) = (self.order.len(), self.h);
        (0..h).step_by(PANEL).enumerate().flat_map(move |(block, start)| {
            let pieces = self.order.iter().enumerate();
            pieces.map(move |(sorted, of)| ((block * n + sorted) * PANEL, of * h + start, PANEL.min(h - start)))
        })
    }

    /// Rows (N, H) in blocks.
    fn of(&self, rows: &[f32]) -> Vec<f32> {
        let mut blocks = vec![0f32; self.h.div_ceil(PANEL) * self.order.len() * PANEL];
        self.pieces().for_each(|(at, row, width)| blocks[at..at + width].copy_from_slice(&rows[row..row + width]));
        blocks
    }

    /// The rows (N, H) of such blocks.
    fn rows(&self, blocks: &[f32]) -> Vec<f32> {
        let mut rows = vec![0f32; self.order.len() * self.h];
        self.pieces().for_each(|(at, row, width)| rows[row..row + width].copy_from_slice(&blocks[at..at + width]));
        rows
    }
}

/// Below this many multiplications a step, one thread is faster than a team.
const TEAMWORK: usize = 1 << 15;

impl<K: Gates> Operation for Sequence<K> {
    type Saved = Kept;

    fn name(&self) -> &'static str {
        K::NAME
    }

    fn forward(&self, inputs: &[Tensor], saved: bool) -> Result<(Vec<Value>, Kept)> {
        let (run, Sizes { n, t, h, .. }) = with_all_f32(K::NAME, inputs, |values| {
            let given = self.given(inputs, values)?;
            Ok::<_, candle_core::Error>((self.steps_forward(&given, saved), given.sizes))
        })??;
        let mut outputs = vec![Value::new(run.out, (n, t, h)), Value::new(run.h, (n, h))];
        if K::CELL {
            outputs.push(Value::new(run.c, (n, h)));
        }
        Ok((outputs, run.kept))
    }

    fn backward(&self, call: &Call<Kept>, gradients: &[Tensor]) -> Result<Vec<Option<Tensor>>> {
        with_all_f32(K::NAME, call.inputs, |values| {
            with_all_f32(K::NAME, gradients, |gradients| {
                let given = self.given(call.inputs, values)?;
                let back = self.steps_backward(&given, call.saved, gradients);
                self.gradients(&given, call, back)
            })
        })??
    }
}

/// What going forward gives.
struct Forward {
    out: Vec<f32>,
    h: Vec<f32>,
    c: Vec<f32>,
    kept: Kept,
}

/// What going back gives: the gradients of the first state, and of all gates (R, GRADIENT·H).
struct Backward {
    dh: Vec<f32>,
    dc: Vec<f32>,
    gradient: Vec<f32>,
}

/// A slice for each gate that the cell has.
#[inline(always)]
fn each_gate<'a, K: Gates>(mut gate: impl FnMut(usize) -> &'a mut [f32]) -> [&'a mut [f32]; 4] {
    std::array::from_fn(|i| if i < K::GATES { gate(i) } else { &mut [] })
}

impl<K: Gates> Sequence<K> {
    fn given<'a>(&self, inputs: &[Tensor], values: &[&'a [f32]]) -> Result<Given<'a>> {
        let (n, t, d) = inputs[0].dims3()?;
        let mut rest = values[3..].iter().copied();
        let mut next = |there: bool| if there { rest.next() } else { None };
        let (c, b_hh, w_ih) = (next(K::CELL), next(self.bias_hh), next(self.weight_ih));
        let sizes = Sizes { n, t, d, h: inputs[1].dim(1)? };
        Ok(Given { xs: values[0], w_hh: values[1], h: values[2], c, b_hh, w_ih, b_ih: next(true), sizes })
    }

    fn projected<'a>(&self, given: &Given<'a>, packed: &PackedSteps) -> Projected<'a> {
        let Sizes { n, d, h, .. } = given.sizes;
        let rows = packed.gathered(given.xs, d);
        match given.w_ih {
            None => Projected::Given(rows),
            Some(w_ih) => Projected::formed(rows, (w_ih, given.b_ih), (n, d, h), packed),
        }
    }

    fn steps_forward(&self, given: &Given, saved: bool) -> Forward {
        let Sizes { n, t, d, h } = given.sizes;
        let (wide, stride, blocks) = (K::GATES * h, K::GATES * PANEL, h.div_ceil(PANEL));
        let kept = kept_width::<K>();
        let packed = PackedSteps::new(&self.steps, n);
        let rows = packed.rows();
        let projected = self.projected(given, &packed);
        let weights = Weights::new(given.w_hh, (h, h), rows);
        let in_blocks = InBlocks { order: &packed.order, h };
        let (mut last, mut c) = (given.h.to_vec(), given.c.map_or_else(Vec::new, |c| in_blocks.of(c)));
        let together = if let Projected::Formed { steps, .. } = projected { steps * n } else { 0 };
        // A block's products, W_ih x of some steps and W_hh h of one, and what nobody keeps of a row.
        let room = (together + n) * stride + kept;
        let mut scratch = vec![0f32; blocks * room];
        let mut run = |gates: &Shared, previous: &Shared, out: &Shared| {
            if rows < n * t {
                // SAFETY: nobody else is here yet.
                unsafe { out.write(0, n * t * h) }.fill(0.0);
            }
            packed.starts().for_each(|(row, of)| {
                // SAFETY: as above.
                unsafe { previous.write(row * h, h) }.copy_from_slice(&given.h[of * h..][..h]);
            });
            // The states before an even step and before an odd one. Those of rows that begin later wait there.
            let states = [(); 2].map(|()| RoundedRows::new(weights.path(), n, h));
            for (sorted, of) in packed.order.iter().enumerate() {
                // SAFETY: as above.
                states.iter().for_each(|states| unsafe { states.write(sorted, 0, &given.h[of * h..][..h]) });
            }
            let (last, c) = (Shared::new(&mut last), Shared::new(&mut c));
            let scratch = Shared::new(&mut scratch);
            let chunk = |phase: usize, block: usize| {
                let step = packed.step(phase);
                let count = step.rows.len();
                let (start, width) = (block * PANEL, PANEL.min(h - block * PANEL));
                // SAFETY: in a phase all members read the states before this step and write those before the next; of
                // everything that is written, the units from `start` on belong to this chunk alone.
                unsafe {
                    let (formed, rest) = scratch.write(block * room, room).split_at_mut(together * stride);
                    let (hidden, unkept) = rest.split_at_mut(n * stride);
                    let hidden = &mut hidden[..count * stride];
                    let c: &mut [f32] = if K::CELL { c.write(block * n * PANEL, n * PANEL) } else { &mut [] };
                    let keeping: &mut [f32] = match saved {
                        true => gates.write((step.rows.start * blocks + block * count) * kept, count * kept),
                        false => &mut [],
                    };
                    if width < PANEL {
                        keeping.fill(0.0);
                    }
                    let left = Left::rows(previous.read(step.rows.start * h, count * h), count, h);
                    let left = left.with(states[phase % 2].read(count));
                    weights.multiply(left, (start, width), given.b_hh, hidden);
                    let mut first = 0;
                    if let Projected::Formed { rows, rounded, weights, bias, steps } = &projected {
                        let (start_of_rows, end) = packed.together(phase / steps * steps, *steps);
                        first = start_of_rows;
                        if phase.is_multiple_of(*steps) {
                            let rounded = rounded.get(phase / steps).map(|whole| whole.block(0..end - first, 0..d));
                            let left = Left::rows(&rows[first * d..end * d], end - first, d).with(rounded);
                            weights.multiply(left, (start, width), *bias, &mut formed[..(end - first) * stride]);
                        }
                    }
                    for (sorted, row) in step.rows.clone().enumerate() {
                        let of = packed.order[sorted];
                        let new = out.write((of * t + step.time) * h + start, width);
                        if K::UPDATES {
                            copied(previous.read(row * h + start, width), new);
                        }
                        let here = if saved { &mut keeping[sorted * kept..][..kept] } else { &mut *unkept };
                        let (gates, extra) = here.split_at_mut(K::GATES * PANEL);
                        let mut gates = gates.chunks_exact_mut(PANEL);
                        let gates = each_gate::<K>(|_| gates.next().map_or(&mut [], |gate| &mut gate[..width]));
                        let extra = if K::EXTRA { &mut extra[..width] } else { extra };
                        let c = if K::CELL { &mut c[sorted * PANEL..][..width] } else { &mut *c };
                        let of_input = match &projected {
                            Projected::Given(rows) => Blocks { values: &rows[row * wide + start..], stride: h },
                            Projected::Formed { .. } => {
                                Blocks { values: &formed[(row - first) * stride..][..stride], stride: PANEL }
                            }
                        };
                        let of_hidden = Blocks { values: &hidden[sorted * stride..][..stride], stride: PANEL };
                        self.kernel.forward([of_input, of_hidden], gates, new, c, extra);
                        match step.next(sorted) {
                            Some(next) => {
                                copied(new, previous.write(next * h + start, width));
                                states[(phase + 1) % 2].write(sorted, start, new);
                            }
                            None => last.write(of * h + start, width).copy_from_slice(new),
                        }
                    }
                }
            };
            team::run(team::members(n * wide * h, TEAMWORK), packed.steps(), |_| blocks, chunk);
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

    fn steps_backward(&self, given: &Given, kept: &Kept, gradients: &[&[f32]]) -> Backward {
        let Sizes { n, t, h, .. } = given.sizes;
        let (wide, full, size) = (K::GATES * h, K::GRADIENT * h, kept_width::<K>());
        let packed = PackedSteps::new(&self.steps, n);
        let weights = Packed::rows(given.w_hh, wide, h);
        let blocks = h.div_ceil(PANEL);
        let in_blocks = InBlocks { order: &packed.order, h };
        let mut dh = in_blocks.of(gradients[1]);
        let mut dc = if K::CELL { in_blocks.of(gradients[2]) } else { vec![] };
        let count = packed.steps();
        // The gates' gradients of the step after and of the present one, where a block of each gate begins a tile.
        let path = weights.path().filter(|_| h.is_multiple_of(TERMS));
        let rounds = [(); 2].map(|()| RoundedRows::new(path, n, wide));
        let work = |gradient: &Shared| {
            let (dh, dc) = (Shared::new(&mut dh), Shared::new(&mut dc));
            let chunk = |phase: usize, block: usize| {
                // SAFETY: in a phase all members read the gates' gradients of the step after and write those of this one; of
                // everything that is written, this block's units belong to this chunk alone.
                unsafe {
                    let dh = dh.write(block * n * PANEL, n * PANEL);
                    let dc: &mut [f32] = if K::CELL { dc.write(block * n * PANEL, n * PANEL) } else { &mut [] };
                    if phase > 0 {
                        let after = packed.step(count - phase);
                        let rows = after.rows.len();
                        let values = gradient.read(after.rows.start * full, rows * full);
                        let values = values.get(full - wide..).unwrap_or_default();
                        let left = Left::rows(values, rows, full).with(rounds[phase % 2].read(rows));
                        weights.multiply(left, block, dh, PANEL, true);
                    }
                    if phase == count {
                        return;
                    }
                    let step = packed.step(count - 1 - phase);
                    let (start, width) = (block * PANEL, PANEL.min(h - block * PANEL));
                    let rows = step.rows.len();
                    let of_block = &kept.gates[(step.rows.start * blocks + block * rows) * size..][..rows * size];
                    for ((sorted, row), of_row) in step.rows.clone().enumerate().zip(of_block.chunks_exact(size)) {
                        let dh = &mut dh[sorted * PANEL..][..width];
                        let d_out = &gradients[0][(packed.order[sorted] * t + step.time) * h + start..][..width];
                        dh.iter_mut().zip(d_out).for_each(|(dh, d_out)| *dh += d_out);
                        let part = |i: usize, there: bool| if there { &of_row[i * PANEL..][..width] } else { &[] };
                        let gate = |gate: usize| part(gate, gate < K::GATES);
                        let saved = Saved {
                            gates: [gate(0), gate(1), gate(2), gate(3)],
                            extra: part(K::GATES, K::EXTRA),
                            previous: &kept.previous[row * h + start..][..width],
                        };
                        let into = |gate: usize| match gate < K::GRADIENT {
                            true => gradient.write(row * full + gate * h + start, width),
                            false => &mut [],
                        };
                        let dc = if K::CELL { &mut dc[sorted * PANEL..][..width] } else { &mut *dc };
                        self.kernel.backward(saved, dh, dc, [into(0), into(1), into(2), into(3)]);
                        if path.is_some() {
                            for gate in 0..K::GATES {
                                let of = row * full + (K::GRADIENT - K::GATES + gate) * h + start;
                                rounds[(phase + 1) % 2].write(sorted, gate * h + start, gradient.read(of, width));
                            }
                        }
                    }
                }
            };
            // The phase after the last step only takes the gradient through W_hh to the first state.
            team::run(team::members(n * wide * h, TEAMWORK), count + 1, |_| blocks, chunk);
        };
        // SAFETY: the blocks of all steps cover all rows and units.
        let gradient = unsafe { filled(packed.rows() * full, work) };
        let dc = if K::CELL { in_blocks.rows(&dc) } else { dc };
        Backward { dh: in_blocks.rows(&dh), dc, gradient }
    }

    /// The gradients of all inputs, in their order.
    fn gradients(&self, given: &Given, call: &Call<Kept>, back: Backward) -> Result<Vec<Option<Tensor>>> {
        let Sizes { n, t, d, h } = given.sizes;
        let (wide, full) = (K::GATES * h, K::GRADIENT * h);
        let packed = PackedSteps::new(&self.steps, n);
        let (rows, gradient) = (packed.rows(), &back.gradient[..]);
        let of_hidden = gradient.get(full - wide..).unwrap_or_default();
        let tensor =
            |values: Vec<f32>, i: usize| Tensor::from_vec(values, call.inputs[i].shape(), &Device::Cpu).map(Some);
        // Rows of W_ih, and of its gradient, in the order in which the gates' gradients stand.
        let turned = |row: usize| (row + K::FIRST * h) % wide;
        let mut found = vec![None; call.inputs.len()];
        // One step by itself is likely one of many, whose weights' gradients are best formed together.
        let alone = t == 1 && rows == n && full == wide && K::FIRST == 0;
        let of_gates = || Tensor::from_slice(gradient, (rows, wide), &Device::Cpu);
        if call.wanted[0] {
            let of_rows = match given.w_ih {
                Some(w_ih) => {
                    let (last, first) = w_ih.split_at(K::FIRST * h * d);
                    let turned =
                        if last.is_empty() { Cow::Borrowed(first) } else { Cow::Owned([first, last].concat()) };
                    gemm_into(gradient, (full, 1), &turned, (d, 1), (rows, d, wide), None)
                }
                None => {
                    let row =
                        |row: &[f32]| (0..wide).map(|j| row[(j + wide - K::FIRST * h) % wide]).collect::<Vec<_>>();
                    gradient.par_chunks_exact(full.max(1)).flat_map_iter(row).collect()
                }
            };
            found[0] = tensor(packed.scattered(&of_rows, d), 0)?;
        }
        if call.wanted[1] && alone {
            call.product(1, of_gates()?, Tensor::from_slice(&call.saved.previous, (rows, h), &Device::Cpu)?);
        } else if call.wanted[1] {
            let previous = &call.saved.previous;
            found[1] = tensor(gemm_into(of_hidden, (1, full), previous, (h, 1), (wide, h, rows), None), 1)?;
        }
        found[2] = tensor(back.dh, 2)?;
        let mut at = 3;
        if K::CELL {
            found[at] = tensor(back.dc, at)?;
            at += 1;
        }
        if self.bias_hh {
            found[at] = tensor(sums_of_columns(of_hidden, full, wide), at)?;
            at += 1;
        }
        if self.weight_ih && call.wanted[at] && alone {
            call.product(at, of_gates()?, Tensor::from_vec(packed.gathered(given.xs, d), (rows, d), &Device::Cpu)?);
        } else if self.weight_ih && call.wanted[at] {
            let xs = packed.gathered(given.xs, d);
            let mut d_w = gemm_into(gradient, (1, full), &xs, (d, 1), (wide, d, rows), None);
            d_w.rotate_right(turned(0) * d);
            found[at] = tensor(d_w, at)?;
        }
        if given.b_ih.is_some() {
            let mut sums = sums_of_columns(gradient, full, wide);
            sums.rotate_right(turned(0));
            found[at + 1] = tensor(sums, at + 1)?;
        }
        Ok(found)
    }
}
