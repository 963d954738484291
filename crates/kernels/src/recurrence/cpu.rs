//! The recurrence in f32 on the CPU: a team of threads goes through all steps, each member with its own hidden units.
//!
//! The units are shared out in blocks of 32: a block's part of W_hh h and its gates are computed in one go, so there is one
//! meeting of the team a step. Rows are sorted by length, so that those that have ended cost nothing.

use super::gates::Blocks;
use super::smooth::dot;
use super::steps::Steps;
use crate::node::{Call, Operation, with_f32};
use crate::product::{Left, PANEL, Packed, gemm};
use crate::team::{self, Shared};
use candle_core::{Device, Result, Tensor};

/// The loops over the gates of one cell, for some hidden units of one row of the batch.
pub trait Gates: Copy + Send + Sync + 'static {
    /// The name that errors use.
    const NAME: &'static str;
    /// Blocks of H in the projected inputs and in W_hh.
    const GATES: usize;
    /// Blocks of H that the backward pass needs of each step.
    const SAVED: usize;
    /// Whether there is a second state tensor c.
    const CELL: bool;
    /// Blocks of H in the gradient of a step; the last `GATES` of them belong to W_hh h.
    const GRADIENT: usize = Self::GATES;

    /// One step: from the projected input and W_hh h (+ b_hh) to the new h and c.
    fn forward(&self, projected: Blocks, hidden: Blocks, h: &mut [f32], c: &mut [f32], saved: &mut [f32]);

    /// One step back: `dh` and `dc` come as gradients of the new state and leave as gradients of the one before, without
    /// what flows through W_hh; `gradient` gets those of the projected input and of W_hh h.
    fn backward(&self, saved: &[f32], previous: &[f32], dh: &mut [f32], dc: &mut [f32], gradient: &mut [f32]);

    /// The gradient of the projected inputs (N·T, GATES·H) from all steps' gradients (N·T, GRADIENT·H).
    fn projected(&self, gradient: Tensor) -> Result<Tensor> {
        Ok(gradient)
    }
}

/// The whole sequence on projected, w_hh, h0 and then c0 or b_hh.
pub struct Sequence<K> {
    pub kernel: K,
    pub steps: Steps,
}

/// What each step leaves for the backward pass.
pub struct Saved {
    /// (N·T, SAVED·H), in blocks of hidden units.
    gates: Vec<f32>,
    /// The state before each step (N·T, H).
    previous: Vec<f32>,
}

/// Below this many multiplications a step, one thread is faster than a team.
const TEAMWORK: usize = 1 << 15;

/// Below this many rows times steps, W_hh is used as it lies: packing it would cost more than it saves.
const WORTH_PACKING: usize = 8;

impl<K: Gates> Operation for Sequence<K> {
    type Saved = Option<Saved>;

    fn name(&self) -> &'static str {
        K::NAME
    }

    fn forward(&self, inputs: &[Tensor], saved: bool) -> Result<(Vec<Tensor>, Option<Saved>)> {
        let (n, t, _) = inputs[0].dims3()?;
        let h = inputs[1].dim(1)?;
        let mut run = Forward {
            h: with_f32(K::NAME, &inputs[2], <[f32]>::to_vec)?,
            c: if K::CELL { with_f32(K::NAME, &inputs[3], <[f32]>::to_vec)? } else { vec![0.0; n * h] },
            out: vec![0.0; n * t * h],
            gates: vec![0.0; if saved { n * t } else { n } * K::SAVED * h],
            previous: vec![0.0; if saved { n * t * h } else { 0 }],
        };
        let bias = match (K::CELL, inputs.get(3)) {
            (false, Some(bias)) => Some(with_f32(K::NAME, bias, <[f32]>::to_vec)?),
            _ => None,
        };
        with_f32(K::NAME, &inputs[0], |projected| {
            with_f32(K::NAME, &inputs[1], |w| self.steps_forward(&mut run, projected, w, bias.as_deref(), h))
        })??;
        let device = &Device::Cpu;
        let mut outputs = vec![Tensor::from_vec(run.out, (n, t, h), device)?, Tensor::from_vec(run.h, (n, h), device)?];
        if K::CELL {
            outputs.push(Tensor::from_vec(run.c, (n, h), device)?);
        }
        Ok((outputs, saved.then_some(Saved { gates: run.gates, previous: run.previous })))
    }

    fn backward(&self, call: &Call<Option<Saved>>, gradients: &[Tensor]) -> Result<Vec<Option<Tensor>>> {
        let Some(saved) = call.saved else { candle_core::bail!("{}: nothing was kept for the backward pass", K::NAME) };
        let (n, t, _) = call.inputs[0].dims3()?;
        let h = call.inputs[1].dim(1)?;
        let full = K::GRADIENT * h;
        let mut run = Backward {
            dh: with_f32(K::NAME, &gradients[1], <[f32]>::to_vec)?,
            dc: if K::CELL { with_f32(K::NAME, &gradients[2], <[f32]>::to_vec)? } else { vec![0.0; n * h] },
            gradient: vec![0.0; n * t * full],
        };
        with_f32(K::NAME, &gradients[0], |d_out| {
            with_f32(K::NAME, &call.inputs[1], |w| self.steps_backward(&mut run, saved, d_out, w, h))
        })??;
        let device = &Device::Cpu;
        let (wide, skipped) = (K::GATES * h, full - K::GATES * h);
        let d_w = call.wanted[1].then(|| {
            let mut d_w = vec![0f32; wide * h];
            if n * t > 0 {
                let gradient = &run.gradient[skipped..];
                gemm(&mut d_w, gradient, (1, full), &saved.previous, (h, 1), (wide, h, n * t), false);
            }
            Tensor::from_vec(d_w, (wide, h), device)
        });
        let all = Tensor::from_vec(run.gradient, (n * t, full), device)?;
        let d_bias = match (K::CELL, call.wanted.get(3)) {
            (false, Some(true)) => Some(all.narrow(1, skipped, wide)?.sum(0)?),
            _ => None,
        };
        let mut found = vec![
            Some(self.kernel.projected(all)?.reshape(call.inputs[0].shape())?),
            d_w.transpose()?,
            Some(Tensor::from_vec(run.dh, (n, h), device)?),
        ];
        if K::CELL {
            found.push(Some(Tensor::from_vec(run.dc, (n, h), device)?));
        } else if call.inputs.len() > 3 {
            found.push(d_bias);
        }
        Ok(found)
    }
}

/// The state and what comes of it; `h` and `c` hold the first state before and the last one after.
struct Forward {
    h: Vec<f32>,
    c: Vec<f32>,
    out: Vec<f32>,
    gates: Vec<f32>,
    previous: Vec<f32>,
}

/// `dh` and `dc` hold the gradients of the last state before and of the first one after.
struct Backward {
    dh: Vec<f32>,
    dc: Vec<f32>,
    gradient: Vec<f32>,
}

/// W_hh (GATES·H, H), a matrix for each gate, ready to be multiplied with h.
enum Hidden<'a> {
    Packed(Vec<Packed>),
    Plain(&'a [f32]),
}

impl Hidden<'_> {
    /// Adds the part of W_hh h that belongs to `width` units of one gate from `start` on to `into` (rows, `stride`).
    fn add(&self, left: Left, gate: usize, (start, width): (usize, usize), into: &mut [f32], stride: usize) {
        match self {
            Hidden::Packed(gates) => gates[gate].multiply(left, start / PANEL, into, stride, true),
            Hidden::Plain(w) => {
                let h = left.strides.0;
                for row in 0..left.rows {
                    let state = &left.values[row * h..][..h];
                    let weights = w[(gate * h + start) * h..].chunks_exact(h);
                    let into = &mut into[row * stride..][..width];
                    into.iter_mut().zip(weights).for_each(|(into, weights)| *into += dot(weights, state));
                }
            }
        }
    }
}

impl<K: Gates> Sequence<K> {
    fn steps_forward(&self, run: &mut Forward, projected: &[f32], w: &[f32], bias: Option<&[f32]>, h: usize) {
        let (n, t, wide) = (run.h.len() / h, self.steps.count, K::GATES * h);
        let (order, active) = self.steps.sorted(n);
        let steps: Vec<usize> = self.steps.order().collect();
        let saved = !run.previous.is_empty();
        let weights = match n * steps.len() < WORTH_PACKING {
            true => Hidden::Plain(w),
            false => Hidden::Packed(w.chunks_exact(h * h).map(|gate| Packed::transposed(gate, h, h)).collect()),
        };
        // The state of sorted rows, read from one half and written to the other in turns.
        let mut state: Vec<f32> = order.iter().flat_map(|&row| &run.h[row * h..][..h]).copied().collect();
        state.extend_from_within(..);
        let mut scratch = vec![0f32; h.div_ceil(PANEL) * n * K::GATES * PANEL];
        {
            let (state, scratch) = (Shared::new(&mut state), Shared::new(&mut scratch));
            let (c, out) = (Shared::new(&mut run.c), Shared::new(&mut run.out));
            let (gates, previous) = (Shared::new(&mut run.gates), Shared::new(&mut run.previous));
            let stride = K::GATES * PANEL;
            let chunk = |phase: usize, block: usize| {
                let step = steps[phase];
                let rows = active[step];
                let (start, width) = (block * PANEL, PANEL.min(h - block * PANEL));
                let (from, to) = (phase % 2 * n * h, (phase + 1) % 2 * n * h);
                // SAFETY: in a phase all members read one half of the state and write the other; of everything that is
                // written, the units from `start` on belong to this chunk alone.
                unsafe {
                    let hidden = scratch.write(block * n * stride, rows * stride);
                    for gate in 0..K::GATES {
                        let bias = bias.map(|bias| &bias[gate * h + start..][..width]);
                        for row in hidden.chunks_exact_mut(stride) {
                            let row = &mut row[gate * PANEL..][..PANEL];
                            row.fill(0.0);
                            if let Some(bias) = bias {
                                row[..width].copy_from_slice(bias);
                            }
                        }
                        let left = Left::rows(state.read(from, rows * h), rows, h);
                        let into = hidden.get_mut(gate * PANEL..).unwrap_or_default();
                        weights.add(left, gate, (start, width), into, stride);
                    }
                    for (sorted, &row) in order[..rows].iter().enumerate() {
                        let at = row * t + step;
                        let new = state.write(to + sorted * h + start, width);
                        new.copy_from_slice(state.read(from + sorted * h + start, width));
                        if saved {
                            previous.write(at * h + start, width).copy_from_slice(new);
                        }
                        let kept = if saved { at } else { row } * K::SAVED * h + K::SAVED * start;
                        self.kernel.forward(
                            Blocks { values: &projected[at * wide + start..(at + 1) * wide], stride: h },
                            Blocks { values: &hidden[sorted * stride..][..stride], stride: PANEL },
                            new,
                            c.write(row * h + start, width),
                            gates.write(kept, K::SAVED * width),
                        );
                        out.write(at * h + start, width).copy_from_slice(new);
                    }
                }
            };
            team::run(team::members(n * wide * h, TEAMWORK), steps.len(), |_| h.div_ceil(PANEL), chunk);
        }
        // A row's last state stands where its own last step wrote it.
        for (phase, &step) in steps.iter().enumerate() {
            for (sorted, &row) in order[..active[step]].iter().enumerate() {
                let ends = steps.get(phase + 1).is_none_or(|&next| sorted >= active[next]);
                if ends {
                    run.h[row * h..][..h].copy_from_slice(&state[(phase + 1) % 2 * n * h + sorted * h..][..h]);
                }
            }
        }
    }

    fn steps_backward(&self, run: &mut Backward, saved: &Saved, d_out: &[f32], w: &[f32], h: usize) {
        let (n, t) = (run.dh.len() / h, self.steps.count);
        let (wide, full) = (K::GATES * h, K::GRADIENT * h);
        let (order, active) = self.steps.sorted(n);
        let steps: Vec<usize> = self.steps.order().rev().collect();
        let weights = Packed::rows(w, wide, h);
        let blocks = h.div_ceil(PANEL);
        // The gradients of sorted rows' state, block after block; those of the gates in two halves, as above.
        let mut dh = vec![0f32; blocks * n * PANEL];
        let pieces = |block: usize, sorted: usize| {
            let (start, width) = (block * PANEL, PANEL.min(h - block * PANEL));
            ((block * n + sorted) * PANEL, order[sorted] * h + start, width)
        };
        let everywhere = || (0..blocks).flat_map(|block| (0..n).map(move |sorted| (block, sorted)));
        for (block, sorted) in everywhere() {
            let (at, from, width) = pieces(block, sorted);
            dh[at..at + width].copy_from_slice(&run.dh[from..from + width]);
        }
        let mut current = vec![0f32; 2 * n * full];
        {
            let (shared, current) = (Shared::new(&mut dh), Shared::new(&mut current));
            let (dc, gradient) = (Shared::new(&mut run.dc), Shared::new(&mut run.gradient));
            let chunk = |phase: usize, block: usize| {
                let (from, to) = (phase % 2 * n * full, (phase + 1) % 2 * n * full);
                // SAFETY: in a phase all members read one half of the gates' gradients and write the other; of everything
                // that is written, this block's units belong to this chunk alone.
                unsafe {
                    let dh = shared.write(block * n * PANEL, n * PANEL);
                    if let Some(&before) = phase.checked_sub(1).and_then(|before| steps.get(before)) {
                        let rows = active[before];
                        let values = current.read(from, rows * full);
                        let values = values.get(full - wide..).unwrap_or_default();
                        weights.multiply(Left::rows(values, rows, full), block, dh, PANEL, true);
                    }
                    let Some(&step) = steps.get(phase) else { return };
                    for (sorted, &row) in order[..active[step]].iter().enumerate() {
                        let (_, of_row, width) = pieces(block, sorted);
                        let start = block * PANEL;
                        let at = row * t + step;
                        let dh = &mut dh[sorted * PANEL..][..width];
                        dh.iter_mut().zip(&d_out[at * h + start..][..width]).for_each(|(dh, d_out)| *dh += d_out);
                        let mut local = [0f32; 4 * PANEL];
                        let local = &mut local[..K::GRADIENT * width];
                        let gates = &saved.gates[(at * h + start) * K::SAVED..][..K::SAVED * width];
                        let previous = &saved.previous[at * h + start..][..width];
                        self.kernel.backward(gates, previous, dh, dc.write(of_row, width), local);
                        for (gate, values) in local.chunks_exact(width).enumerate() {
                            current.write(to + sorted * full + gate * h + start, width).copy_from_slice(values);
                            gradient.write(at * full + gate * h + start, width).copy_from_slice(values);
                        }
                    }
                }
            };
            // The phase after the last step only takes the gradient through W_hh to the first state.
            team::run(team::members(n * wide * h, TEAMWORK), steps.len() + 1, |_| blocks, chunk);
        }
        for (block, sorted) in everywhere() {
            let (at, to, width) = pieces(block, sorted);
            run.dh[to..to + width].copy_from_slice(&dh[at..at + width]);
        }
    }
}
