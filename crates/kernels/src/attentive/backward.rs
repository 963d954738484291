//! The attentive LSTM in f32 on the CPU, going back.
//!
//! Each step has three phases: the gates (with what comes back through h from the step after), the product that gives
//! ∂L/∂ẑ, and the look at the annotations. The weights' gradients are products over all steps at the end.

use super::cpu::{Attentive, Saved, Slices};
use super::{NAME, Sizes};
use crate::attend::rows;
use crate::node::{Call, with_all_f32};
use crate::product::bf16::{self, RoundedRows, TERMS};
use crate::product::{Left, PANEL, Packed, Right, gemm_into};
use crate::recurrence::gates::{four, lstm_backward};
use crate::reduce::sums_of_columns;
use crate::smooth::{dot, vectorised};
use crate::team::{self, Shared};
use candle_core::{Device, Result, Tensor};

/// The gradients of all inputs, in their order.
pub fn gradients(operation: &Attentive, call: &Call<Saved>, gradients: &[Tensor]) -> Result<Vec<Option<Tensor>>> {
    let Sizes { n, t, p, e, c, a, h } = operation.sizes;
    let found = with_all_f32(NAME, call.inputs, |inputs| {
        let given = Slices::of(inputs);
        with_all_f32(NAME, call.outputs, |outputs| {
            with_all_f32(NAME, gradients, |gradients| {
                let gradients = [gradients[0], gradients[1], gradients[2]];
                let steps = steps(operation, call, &given, outputs[2], gradients);
                weights(operation, call, &given, steps)
            })
        })
    })???;
    let Found { xs, keys, annotations, h0, c0, input, recurrent, biases, v } = found;
    let device = &Device::Cpu;
    let tensor = |values: Vec<f32>, shape: &[usize]| Tensor::from_vec(values, shape, device);
    let recurrent = tensor(recurrent, &[4 * h + c + a, h])?;
    let biases = tensor(biases, &[4 * h + c + a])?;
    let part =
        |all: &Tensor, start: usize, count: usize| Ok::<_, candle_core::Error>(Some(all.narrow(0, start, count)?));
    let mut all = vec![
        Some(tensor(xs, &[n, t, e])?),
        Some(tensor(keys, &[n, p, a])?),
        if call.wanted[2] { Some(tensor(annotations, &[n, p, c])?) } else { None },
        Some(tensor(h0, &[n, h])?),
        Some(tensor(c0, &[n, h])?),
        Some(tensor(input, &[4 * h, e + c])?),
        part(&recurrent, 0, 4 * h)?,
        part(&biases, 0, 4 * h)?,
        part(&recurrent, 4 * h + c, a)?,
        part(&biases, 4 * h + c, a)?,
        Some(tensor(v, &[a])?),
    ];
    if call.inputs.len() > all.len() {
        all.extend([part(&recurrent, 4 * h, c)?, part(&biases, 4 * h, c)?]);
    }
    Ok(all)
}

/// The gradients as values.
struct Found {
    xs: Vec<f32>,
    keys: Vec<f32>,
    annotations: Vec<f32>,
    h0: Vec<f32>,
    c0: Vec<f32>,
    input: Vec<f32>,
    /// Of W_hh, W_β and W_q, one below the other.
    recurrent: Vec<f32>,
    /// Of their biases.
    biases: Vec<f32>,
    v: Vec<f32>,
}

/// What going back through the steps gives.
struct Steps {
    /// The gradients of the LSTM's gates, the gate and the query of each row and step, (N·T, 4H + C + A).
    all: Vec<f32>,
    keys: Vec<f32>,
    annotations: Vec<f32>,
    h0: Vec<f32>,
    c0: Vec<f32>,
    /// A row for each row of the batch, (N, A).
    v: Vec<f32>,
}

fn steps(operation: &Attentive, call: &Call<Saved>, given: &Slices, alpha: &[f32], gradients: [&[f32]; 3]) -> Steps {
    let Sizes { n, t, p, e, c, a, h } = operation.sizes;
    let [d_hidden, d_context, d_alpha] = gradients;
    let saved = call.saved;
    let (order, active) = operation.steps.sorted(n);
    let count = active.len();
    let (blocks, panels, full) = (h.div_ceil(PANEL), c.div_ceil(PANEL), 4 * h + c + a);
    let of_hidden = Packed::rows(given.hidden, 4 * h, h);
    let of_query = Packed::rows(given.query.0, a, h);
    let of_gate = given.gate.map(|(weight, _)| Packed::rows(weight, c, h));
    let of_context = Packed::new(bf16::path(), &given.input[e.min(given.input.len())..], (e + c, 1), 4 * h, c);
    let mut found = Steps {
        all: vec![0.0; n * t * full],
        keys: vec![0.0; n * p * a],
        annotations: vec![0.0; if call.wanted[2] { n * p * c } else { 0 }],
        h0: vec![0.0; n * h],
        c0: vec![0.0; n * h],
        v: vec![0.0; n * a],
    };
    // By sorted rows: ∂L/∂h in blocks of units; the gates' gradients in two halves, one read while the other is written; those
    // of z, of the gate and of the query of the present step.
    let mut dh = vec![0f32; blocks * n * PANEL];
    let mut gates = vec![0f32; 2 * n * 4 * h];
    let (mut d_looked, mut d_gate, mut d_query) = (vec![0f32; n * c], vec![0f32; n * c], vec![0f32; n * a]);
    let mut scratch = vec![0f32; panels * n * PANEL];
    // The same where they are rounded; the gates' where a block of each begins a tile.
    let path = of_hidden.path();
    let gates_rounded = [(); 2].map(|()| RoundedRows::new(path.filter(|_| h.is_multiple_of(TERMS)), n, 4 * h));
    let (gate_rounded, query_rounded) = (RoundedRows::new(path, n, c), RoundedRows::new(path, n, a));
    {
        let (dh, gates, scratch) = (Shared::new(&mut dh), Shared::new(&mut gates), Shared::new(&mut scratch));
        let (d_looked, d_gate, d_query) =
            (Shared::new(&mut d_looked), Shared::new(&mut d_gate), Shared::new(&mut d_query));
        let (all, d_keys, d_v) = (Shared::new(&mut found.all), Shared::new(&mut found.keys), Shared::new(&mut found.v));
        let (d_annotations, dc) = (Shared::new(&mut found.annotations), Shared::new(&mut found.c0));
        // SAFETY of the three phases: what a phase writes is its chunk's own (units, panels or rows, and of the gates'
        // gradients the half that is not read), and what it reads was written in phases before.
        let units = |i: usize, block: usize| {
            let (start, width) = (block * PANEL, PANEL.min(h - block * PANEL));
            let (from, to) = (i % 2 * n * 4 * h, (i + 1) % 2 * n * 4 * h);
            let dh = unsafe { dh.write(block * n * PANEL, n * PANEL) };
            if i > 0 {
                let rows = active[count - i];
                let mut left =
                    |(shared, start): (&'_ Shared, usize), kept: &RoundedRows, stride: usize, packed: &Packed| {
                        let values = unsafe { shared.read(start, rows * stride) };
                        let left = Left::rows(values, rows, stride).with(unsafe { kept.read(rows) });
                        packed.multiply(left, block, dh, PANEL, true);
                    };
                left((&gates, from), &gates_rounded[i % 2], 4 * h, &of_hidden);
                left((&d_query, 0), &query_rounded, a, &of_query);
                of_gate.iter().for_each(|packed| left((&d_gate, 0), &gate_rounded, c, packed));
            }
            let Some(step) = (count - i).checked_sub(1) else { return };
            for (sorted, &row) in order[..active[step]].iter().enumerate() {
                let at = row * t + step;
                let dh = &mut dh[sorted * PANEL..][..width];
                dh.iter_mut().zip(&d_hidden[at * h + start..][..width]).for_each(|(dh, d)| *dh += d);
                let mut local = [0f32; 4 * PANEL];
                let local = &mut local[..4 * width];
                let kept = &saved.gates[(at * h + start) * 5..][..5 * width];
                unsafe {
                    let part = |i: usize| &kept[i * width..][..width];
                    let dc = dc.write(row * h + start, width);
                    let of_gates = four(&mut *local, width);
                    lstm_backward([part(0), part(1), part(2), part(3)], part(4), dh, dc, of_gates);
                    for (gate, values) in local.chunks_exact(width).enumerate() {
                        gates.write(to + (sorted * 4 + gate) * h + start, width).copy_from_slice(values);
                        gates_rounded[(i + 1) % 2].write(sorted, gate * h + start, values);
                        all.write(at * full + gate * h + start, width).copy_from_slice(values);
                    }
                }
            }
        };
        let context = |i: usize, panel: usize| {
            let step = count - 1 - i;
            let rows = active[step];
            let (start, width) = of_context.span(panel);
            let product = unsafe { scratch.write(panel * n * PANEL, rows * PANEL) };
            let values = unsafe { gates.read((i + 1) % 2 * n * 4 * h, rows * 4 * h) };
            let left = Left::rows(values, rows, 4 * h).with(unsafe { gates_rounded[(i + 1) % 2].read(rows) });
            of_context.multiply(left, panel, product, PANEL, false);
            for (sorted, &row) in order[..rows].iter().enumerate() {
                let at = row * t + step;
                let product = &mut product[sorted * PANEL..][..width];
                product.iter_mut().zip(&d_context[at * c + start..]).for_each(|(sum, d)| *sum += d);
                unsafe {
                    let d_looked = d_looked.write(sorted * c + start, width);
                    if given.gate.is_none() {
                        d_looked.copy_from_slice(product);
                        continue;
                    }
                    let d_gate = d_gate.write(sorted * c + start, width);
                    let (gate, looked) = (&saved.gate[at * c + start..], &saved.looked[at * c + start..]);
                    close(product, gate, looked, d_looked, d_gate);
                    all.write(at * full + 4 * h + start, width).copy_from_slice(d_gate);
                    gate_rounded.write(sorted, start, d_gate);
                }
            }
        };
        let look = |i: usize, sorted: usize| {
            let step = count - 1 - i;
            let row = order[sorted];
            let at = row * t + step;
            let d_looked = unsafe { d_looked.read(sorted * c, c) };
            // What the row does not have is not looked at: it may be NaN.
            let count = operation.count(row);
            let alpha = &alpha[at * p..][..count];
            let mut d_energies: Vec<f32> = d_alpha[at * p..][..count].to_vec();
            let chosen = operation.chosen(at, alpha);
            if chosen.is_none() {
                let annotations = given.annotations[row * p * c..].chunks_exact(c);
                d_energies.iter_mut().zip(annotations).for_each(|(d, annotation)| *d += dot(d_looked, annotation));
            }
            let mean = dot(alpha, &d_energies);
            d_energies.iter_mut().zip(alpha).for_each(|(d, alpha)| *d = alpha * (*d - mean));
            let query = &saved.query[at * a..][..a];
            unsafe {
                let (d_query, d_v) = (d_query.write(sorted * a, a), d_v.write(row * a, a));
                d_query.fill(0.0);
                let keys = given.keys[row * p * a..].chunks_exact(a);
                let d_keys = d_keys.write(row * p * a, p * a).chunks_exact_mut(a);
                for ((keys, d_keys), &d_energy) in keys.zip(d_keys).zip(&d_energies) {
                    rows::key_gradient(keys, query, given.v, d_energy, d_keys, d_query, d_v);
                }
                all.write(at * full + 4 * h + c, a).copy_from_slice(d_query);
                query_rounded.write(sorted, 0, d_query);
                if call.wanted[2] {
                    let d_annotations = d_annotations.write(row * p * c, p * c).chunks_exact_mut(c);
                    match chosen {
                        Some(position) => {
                            d_annotations.skip(position).take(1).for_each(|into| rows::add_scaled(d_looked, 1.0, into));
                        }
                        None => {
                            d_annotations.zip(alpha).for_each(|(into, &alpha)| rows::add_scaled(d_looked, alpha, into));
                        }
                    }
                }
            }
        };
        let chunks = |phase: usize| match phase % 3 {
            0 => blocks,
            1 => panels,
            _ => active[count - 1 - phase / 3],
        };
        let work = |phase: usize, chunk: usize| match phase % 3 {
            0 => units(phase / 3, chunk),
            1 => context(phase / 3, chunk),
            _ => look(phase / 3, chunk),
        };
        // The phase after the last step only takes the gradient through the products to the first h.
        team::run(rayon::current_num_threads(), 3 * count + 1, chunks, work);
    }
    for (sorted, &row) in order.iter().enumerate() {
        for (block, into) in found.h0[row * h..][..h].chunks_mut(PANEL).enumerate() {
            into.copy_from_slice(&dh[(block * n + sorted) * PANEL..][..into.len()]);
        }
    }
    found
}

/// The gradients of the weights, and of the words, from those of all steps.
fn weights(operation: &Attentive, call: &Call<Saved>, given: &Slices, steps: Steps) -> Found {
    let Sizes { n, t, e, c, a, h, .. } = operation.sizes;
    let (count, full) = (n * t, 4 * h + c + a);
    let Saved { inputs, previous, .. } = call.saved;
    let input = gemm_into(&steps.all, (1, full), inputs, (e + c, 1), (4 * h, e + c, count), None);
    let recurrent = gemm_into(&steps.all, (1, full), previous, (h, 1), (full, h, count), None);
    let of_words = || gemm_into(&steps.all, (full, 1), given.input, (e + c, 1), (count, e, 4 * h), None);
    let xs = if call.wanted[0] { of_words() } else { vec![0.0; count * e] };
    let (biases, v) = (sums_of_columns(&steps.all, full, full), sums_of_columns(&steps.v, a, a));
    let Steps { keys, annotations, h0, c0, .. } = steps;
    Found { xs, keys, annotations, h0, c0, input, recurrent, biases, v }
}

vectorised! {
    /// From ∂L/∂ẑ: ∂L/∂z = gate ⊙ ∂L/∂ẑ, and the gradient of what the gate's σ was taken of.
    fn close(gradient: &[f32], gate: &[f32], looked: &[f32], d_looked: &mut [f32], d_gate: &mut [f32]) {
        let width = d_gate.len();
        let (gradient, gate, looked) = (&gradient[..width], &gate[..width], &looked[..width]);
        let d_looked = &mut d_looked[..width];
        for j in 0..width {
            d_looked[j] = gradient[j] * gate[j];
            d_gate[j] = gradient[j] * looked[j] * gate[j] * (1.0 - gate[j]);
        }
    }
}
