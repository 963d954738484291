//! RNN, LSTM and GRU, f32, CPU: a team of threads goes through all steps, each member with its own hidden units.
//!
//! The units are shared out in blocks of 32: a block's part of W_hh h and its gates are one piece of work, so that there is one
//! barrier a step. Sequences are packed, step after step, the longest row first: rows that have ended cost nothing, and the
//! products with W_ih and of the weights' gradients are each one for all steps.

mod backward;
mod forward;
pub(crate) mod gates;
mod packed;
mod weights;

use super::steps::Steps;
use super::{Cell, Input, Recurrence};
use crate::cpu::disjoint::DisjointSlice;
use crate::cpu::gemm::PANEL;
use crate::cpu::team;
use crate::node::{Call, Operation, Value, apply_array, with_all_f32};
use candle_core::{Result, Tensor};
use gates::Blocks;

/// The loops over the gates of one cell, for some hidden units of one row of the batch. There are slices for up to four
/// gates; those that a cell lacks are empty.
pub trait Gates: Cell {
    /// Blocks of H in the projected inputs and in W_hh.
    const GATES: usize;
    /// Whether the backward pass needs H values a step beyond the gates and the state.
    const SAVES_EXTRA: bool;
    /// Blocks of H in the gradient of a step: the first `GATES` belong to the projected input, the last to W_hh h.
    const GRADIENT: usize = Self::GATES;
    /// The gate whose gradient comes first; the others follow in order, and those before it at the end.
    const GRADIENT_ROTATION: usize = 0;
    /// Whether a step reads h where it writes it.
    const READS_H: bool = false;

    /// One step from the projected input and W_hh h (+ b_hh): `gates` get the activations, h and c become new.
    fn forward(&self, sums: [Blocks; 2], gates: [&mut [f32]; 4], h: &mut [f32], c: &mut [f32], extra: &mut [f32]);

    /// One step back: `dh` and `dc` come as gradients of the new state and leave as gradients of the one before, without
    /// what flows through W_hh; `gradient` gets those of the projected input and of W_hh h.
    fn backward(&self, saved: SavedUnits, dh: &mut [f32], dc: &mut [f32], gradient: [&mut [f32]; 4]);
}

/// What a step saved of some units of one row.
#[derive(Clone, Copy)]
pub struct SavedUnits<'a> {
    pub gates: [&'a [f32]; 4],
    pub extra: &'a [f32],
    /// h_{t−1}.
    pub previous: &'a [f32],
}

/// The whole sequence as one node.
pub fn recurrence<K: Gates, const N: usize>(cell: K, steps: Steps, call: &Recurrence) -> Result<[Tensor; N]> {
    let weight_ih = matches!(call.input, Input::Sequence { .. });
    apply_array(SequenceOp { cell, steps, bias_hh: call.b_hh.is_some(), weight_ih }, &call.inputs())
}

/// The whole sequence on xs, w_hh, h0, then c0 or b_hh, then w_ih and its bias. Without w_ih, xs are projected already.
pub struct SequenceOp<K> {
    pub cell: K,
    pub steps: Steps,
    pub bias_hh: bool,
    pub weight_ih: bool,
}

/// The inputs as slices.
pub struct Inputs<'a> {
    pub xs: &'a [f32],
    pub w_hh: &'a [f32],
    pub h: &'a [f32],
    pub c: Option<&'a [f32]>,
    pub b_hh: Option<&'a [f32]>,
    pub w_ih: Option<&'a [f32]>,
    pub b_ih: Option<&'a [f32]>,
    pub sizes: Sizes,
}

/// N, T, the width of xs, and H.
#[derive(Clone, Copy)]
pub struct Sizes {
    pub n: usize,
    pub t: usize,
    pub d: usize,
    pub h: usize,
}

/// What the steps leave for the backward pass.
pub struct Saved {
    /// Where a gradient will be asked for, the gates and the extra values: of a step, of a block of 32 units, of a row. A chunk of work
    /// writes and reads one piece of memory, which the hardware prefetches.
    pub gates: Vec<f32>,
    /// The state before each step, row after row of all steps (R, H).
    pub previous: Vec<f32>,
}

/// How many values a step saves of a row in a block of units.
pub const fn saved_width<K: Gates>() -> usize {
    (K::GATES + K::SAVES_EXTRA as usize) * PANEL
}

/// States of sorted rows of the batch, tiled in blocks of units: what one chunk of work reads and writes is contiguous.
pub struct Tiled<'a> {
    pub order: &'a [usize],
    pub h: usize,
}

impl Tiled<'_> {
    /// Where each row's piece of each block starts among the blocks and among the rows (N, H), and its width.
    fn pieces(&self) -> impl Iterator<Item = (usize, usize, usize)> {
        let (n, h) = (self.order.len(), self.h);
        (0..h).step_by(PANEL).enumerate().flat_map(move |(block, start)| {
            let pieces = self.order.iter().enumerate();
            pieces.map(move |(sorted, of)| ((block * n + sorted) * PANEL, of * h + start, PANEL.min(h - start)))
        })
    }

    /// Rows (N, H), tiled.
    pub fn of(&self, rows: &[f32]) -> Vec<f32> {
        let mut blocks = vec![0f32; self.h.div_ceil(PANEL) * self.order.len() * PANEL];
        self.pieces().for_each(|(at, row, width)| blocks[at..at + width].copy_from_slice(&rows[row..row + width]));
        blocks
    }

    /// Writes tiled states to the rows (N, H).
    ///
    /// # Safety
    /// Nobody else reads or writes the rows of `order` meanwhile.
    pub unsafe fn write(&self, blocks: &[f32], rows: &DisjointSlice) {
        for (at, row, width) in self.pieces() {
            // SAFETY: it is a piece of a row of `order`, which the caller promises that nobody else reads or writes.
            unsafe { rows.write(row, width).copy_from_slice(&blocks[at..at + width]) };
        }
    }
}

/// Below this many multiplications a step, one thread is faster than a team.
const TEAM_PAYS: usize = 1 << 15;

/// Up to so many bytes of weights stay in a core's second-level cache. The batch is then cut into parts, and each thread takes rows of
/// its own through all steps without a barrier; otherwise it takes units of all rows.
const CACHED_WEIGHTS: usize = 1 << 20;

/// With fewer rows than that in a part, weights would be read for too little work.
const PART_ROWS: usize = 12;

/// How the batch is shared out.
pub struct Partition {
    /// Into how many parts it is cut: the same with any number of threads, as the order of sums depends on them.
    pub parts: usize,
    /// How many threads take each part through the steps.
    pub members: usize,
}

pub fn partition<K: Gates>(Sizes { n, t, h, .. }: Sizes) -> Partition {
    let (work, weights) = (n * K::GATES * h * h, K::GATES * h * h * size_of::<f32>());
    let cut = t > 1 && weights <= CACHED_WEIGHTS && work >= TEAM_PAYS && n >= 2 * PART_ROWS;
    let parts = if cut { 2 * (n / (4 * PART_ROWS)).max(1).next_power_of_two() } else { 1 };
    Partition { parts, members: team::members(work / parts, TEAM_PAYS).div_ceil(parts) }
}

impl<K: Gates> Operation for SequenceOp<K> {
    const NAME: &'static str = K::NAME;
    type Saved = Saved;

    fn forward(&self, inputs: &[Tensor], saved: bool) -> Result<(Vec<Value>, Saved)> {
        let (run, Sizes { n, t, h, .. }) = with_all_f32(K::NAME, inputs, |values| {
            let inputs = self.inputs(inputs, values)?;
            Ok::<_, candle_core::Error>((forward::run(self, &inputs, saved), inputs.sizes))
        })??;
        let mut outputs = vec![Value::new(run.out, (n, t, h)), Value::new(run.h, (n, h))];
        if K::HAS_C {
            outputs.push(Value::new(run.c, (n, h)));
        }
        Ok((outputs, run.saved))
    }

    fn backward(&self, call: &Call<Saved>, gradients: &[Tensor]) -> Result<Vec<Option<Tensor>>> {
        with_all_f32(K::NAME, call.inputs, |values| {
            with_all_f32(K::NAME, gradients, |gradients| {
                let inputs = self.inputs(call.inputs, values)?;
                let back = backward::run(self, &inputs, call.saved, gradients);
                backward::input_gradients(self, &inputs, call, back)
            })
        })??
    }
}

impl<K: Gates> SequenceOp<K> {
    fn inputs<'a>(&self, inputs: &[Tensor], values: &[&'a [f32]]) -> Result<Inputs<'a>> {
        let (n, t, d) = inputs[0].dims3()?;
        let mut rest = values[3..].iter().copied();
        let mut next = |there: bool| if there { rest.next() } else { None };
        let (c, b_hh, w_ih) = (next(K::HAS_C), next(self.bias_hh), next(self.weight_ih));
        let sizes = Sizes { n, t, d, h: inputs[1].dim(1)? };
        Ok(Inputs { xs: values[0], w_hh: values[1], h: values[2], c, b_hh, w_ih, b_ih: next(true), sizes })
    }
}
