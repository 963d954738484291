//! The recurrence in f32 on the CPU: one product a step, fused loops over the gates, rows in parallel.

use super::steps::Steps;
use crate::node::{Call, Operation, with_f32};
use candle_core::{Device, Result, Tensor};
use rayon::prelude::*;

/// The loops over the gates of one cell, for one row of the batch.
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
    fn forward(&self, projected: &[f32], hidden: &[f32], h: &mut [f32], c: &mut [f32], saved: &mut [f32]);

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
    /// (N, T, SAVED·H).
    gates: Vec<f32>,
    /// The state before each step (N·T, H).
    previous: Tensor,
}

/// Rows are shared out in portions of at least this many values, so that little work stays on one thread.
const PORTION: usize = 8192;

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
            // Once in the pool, a step too small to be shared out costs no hand-over.
            with_f32(K::NAME, &inputs[1], |w| rayon::scope(|_| self.steps_forward(&mut run, projected, w, bias, saved)))
        })??;
        let device = &Device::Cpu;
        let mut outputs = vec![Tensor::from_vec(run.out, (n, t, h), device)?, Tensor::from_vec(run.h, (n, h), device)?];
        if K::CELL {
            outputs.push(Tensor::from_vec(run.c, (n, h), device)?);
        }
        let keep = || -> Result<_> {
            Ok(Saved { gates: run.gates, previous: Tensor::from_vec(run.previous, (n * t, h), device)? })
        };
        Ok((outputs, if saved { Some(keep()?) } else { None }))
    }

    fn backward(&self, call: &Call<Option<Saved>>, gradients: &[Tensor]) -> Result<Vec<Option<Tensor>>> {
        let Some(saved) = call.saved else { candle_core::bail!("{}: nothing was kept for the backward pass", K::NAME) };
        let (n, t, _) = call.inputs[0].dims3()?;
        let h = call.inputs[1].dim(1)?;
        let mut run = Backward {
            dh: with_f32(K::NAME, &gradients[1], <[f32]>::to_vec)?,
            dc: if K::CELL { with_f32(K::NAME, &gradients[2], <[f32]>::to_vec)? } else { vec![0.0; n * h] },
            gradient: vec![0.0; n * t * K::GRADIENT * h],
        };
        with_f32(K::NAME, &gradients[0], |d_out| {
            with_f32(K::NAME, &call.inputs[1], |w| {
                with_f32(K::NAME, &saved.previous, |previous| {
                    rayon::scope(|_| self.steps_backward(&mut run, saved, previous, d_out, w));
                })
            })
        })???;
        let device = &Device::Cpu;
        let all = Tensor::from_vec(run.gradient, (n * t, K::GRADIENT * h), device)?;
        let hidden = all.narrow(1, (K::GRADIENT - K::GATES) * h, K::GATES * h)?;
        let mut found = vec![
            Some(self.kernel.projected(all)?.reshape(call.inputs[0].shape())?),
            if call.wanted[1] && n * t > 0 { Some(hidden.t()?.matmul(&saved.previous)?) } else { None },
            Some(Tensor::from_vec(run.dh, (n, h), device)?),
        ];
        if K::CELL {
            found.push(Some(Tensor::from_vec(run.dc, (n, h), device)?));
        } else if call.inputs.len() > 3 {
            found.push(if call.wanted[3] { Some(hidden.sum(0)?) } else { None });
        }
        Ok(found)
    }
}

struct Forward {
    h: Vec<f32>,
    c: Vec<f32>,
    out: Vec<f32>,
    gates: Vec<f32>,
    previous: Vec<f32>,
}

struct Backward {
    dh: Vec<f32>,
    dc: Vec<f32>,
    gradient: Vec<f32>,
}

impl<K: Gates> Sequence<K> {
    fn steps_forward(&self, run: &mut Forward, projected: &[f32], w: &[f32], bias: Option<Vec<f32>>, saved: bool) {
        let (width, t) = (w.len(), self.steps.count);
        let h = width_of_hidden(width, K::GATES);
        let n = run.h.len() / h;
        let wide = K::GATES * h;
        let mut hidden = vec![0f32; n * wide];
        let gates_row = if saved { t } else { 1 } * K::SAVED * h;
        for step in self.steps.order() {
            if let Some(bias) = &bias {
                hidden.chunks_exact_mut(wide).for_each(|row| row.copy_from_slice(bias));
            }
            product(&mut hidden, &run.h, (h, 1), w, (1, h), (n, wide, h), bias.is_some());
            if saved {
                let rows = run.previous.chunks_exact_mut(t * h).zip(run.h.chunks_exact(h));
                rows.for_each(|(previous, h_row)| previous[step * h..][..h].copy_from_slice(h_row));
            }
            let rows = run.h.par_chunks_mut(h).zip(run.c.par_chunks_mut(h)).zip(run.out.par_chunks_mut(t * h));
            let rows = rows.zip(run.gates.par_chunks_mut(gates_row)).zip(hidden.par_chunks(wide));
            rows.enumerate().with_min_len(PORTION.div_ceil(h)).for_each(
                |(row, ((((h_row, c), out), gates), hidden))| {
                    if self.steps.active(row, step) {
                        let projected = &projected[(row * t + step) * wide..][..wide];
                        let start = if saved { step * K::SAVED * h } else { 0 };
                        self.kernel.forward(projected, hidden, h_row, c, &mut gates[start..][..K::SAVED * h]);
                        out[step * h..][..h].copy_from_slice(h_row);
                    }
                },
            );
        }
    }

    fn steps_backward(&self, run: &mut Backward, saved: &Saved, previous: &[f32], d_out: &[f32], w: &[f32]) {
        let t = self.steps.count;
        let h = width_of_hidden(w.len(), K::GATES);
        let n = run.dh.len() / h;
        let (wide, full) = (K::GATES * h, K::GRADIENT * h);
        for step in self.steps.order().rev() {
            let rows =
                run.dh.par_chunks_mut(h).zip(run.dc.par_chunks_mut(h)).zip(run.gradient.par_chunks_mut(t * full));
            rows.enumerate().with_min_len(PORTION.div_ceil(h)).for_each(|(row, ((dh, dc), gradient))| {
                if self.steps.active(row, step) {
                    let at = row * t + step;
                    dh.iter_mut().zip(&d_out[at * h..][..h]).for_each(|(dh, d_out)| *dh += d_out);
                    let gates = &saved.gates[at * K::SAVED * h..][..K::SAVED * h];
                    let gradient = &mut gradient[step * full..][..full];
                    self.kernel.backward(gates, &previous[at * h..][..h], dh, dc, gradient);
                }
            });
            // Rows without this step have gradient 0 here, so the product leaves them as they are.
            let gradient = &run.gradient[step * full + (full - wide)..];
            product(&mut run.dh, gradient, (t * full, 1), w, (h, 1), (n, h, wide), true);
        }
    }
}

/// H from the number of values in W_hh (GATES·H, H).
fn width_of_hidden(count: usize, gates: usize) -> usize {
    (count / gates).isqrt()
}

/// `into` (m, n) = a (m, k) b (k, n), or plus what it holds; strides are (row, column).
fn product(
    into: &mut [f32],
    a: &[f32],
    (a_row, a_column): (usize, usize),
    b: &[f32],
    (b_row, b_column): (usize, usize),
    (m, n, k): (usize, usize, usize),
    add: bool,
) {
    if m == 0 || n == 0 || k == 0 {
        return;
    }
    assert!(into.len() >= m * n);
    assert!(a.len() > (m - 1) * a_row + (k - 1) * a_column);
    assert!(b.len() > (k - 1) * b_row + (n - 1) * b_column);
    // SAFETY: the assertions above keep every index within its slice, and `into` is borrowed by nobody else.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            into.as_mut_ptr(),
            1,
            n as isize,
            add,
            a.as_ptr(),
            a_column as isize,
            a_row as isize,
            b.as_ptr(),
            b_column as isize,
            b_row as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::Rayon(rayon::current_num_threads()),
        );
    }
}
