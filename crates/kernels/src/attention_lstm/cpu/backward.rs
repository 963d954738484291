//! Backward pass of the attention LSTM, f32, CPU.
//!
//! Each step has three phases: the gates (with what comes back through h from the step after), the product that gives
//! ∂L/∂ẑ, and attention. The weights' gradients are products over all steps at the end.

use super::{AttentionLstm, Inputs, Saved};
use crate::additive_attention::cpu::rows;
use crate::attention_lstm::{NAME, Sizes};
use crate::cpu::disjoint::{DisjointSlice, share};
use crate::cpu::gemm::bf16::{self, RoundedRows, TERMS};
use crate::cpu::gemm::gemv::{self, RowMajor};
use crate::cpu::gemm::{A, GemmShape, PANEL, PackedB, PanelB, Strided, gemm};
use crate::cpu::reduce::{add_scaled, column_sums};
use crate::cpu::simd_math::{dot, vectorised};
use crate::cpu::team;
use crate::node::{Call, with_all_f32};
use crate::recurrence::cpu::gates::{four, lstm_backward};
use candle_core::{Device, Result, Tensor};

/// The gradients of all inputs, in their order.
pub fn run(operation: &AttentionLstm, call: &Call<Saved>, gradients: &[Tensor]) -> Result<Vec<Option<Tensor>>> {
    operation.with_inputs(call.inputs, |inputs| {
        with_all_f32(NAME, call.outputs, |outputs| {
            with_all_f32(NAME, gradients, |gradients| {
                let (saved, d_outputs) = (call.saved, [gradients[0], gradients[1], gradients[2]]);
                let steps = through_steps(operation, inputs, saved, outputs[2], d_outputs, call.wants(2));
                input_gradients(operation.sizes, inputs, call, steps)
            })
        })
    })???
}

/// The gradients from those of all steps: each weight's is one product.
fn input_gradients(
    sizes: Sizes,
    inputs: &Inputs,
    call: &Call<Saved>,
    steps: StepGradients,
) -> Result<Vec<Option<Tensor>>> {
    let Sizes { n, t, p, e, c, a, h } = sizes;
    let (count, full) = (n * t, 4 * h + c + a);
    let tensor = |values: Vec<f32>, shape: &[usize]| Tensor::from_vec(values, shape, &Device::Cpu).map(Some);
    let weight_gradient = |m: usize, xs: &[f32], n: usize| {
        gemm(Strided::columns(&steps.all, full), Strided::rows(xs, n), GemmShape { m, n, k: count }, None)
    };
    let xs = || {
        let (d_gates, weight) = (Strided::rows(&steps.all, full), Strided::rows(inputs.input, e + c));
        gemm(d_gates, weight, GemmShape { m: count, n: e, k: 4 * h }, None)
    };
    let input = || weight_gradient(4 * h, &call.saved.inputs, e + c);
    // W_hh, W_β and W_q, one below the other, and their biases.
    let hidden = || tensor(weight_gradient(full, &call.saved.previous, h), &[full, h]);
    let hidden = if [6, 8, 11].into_iter().any(|i| call.wants(i)) { hidden()? } else { None };
    let biases = tensor(column_sums(&steps.all, full, full), &[full])?;
    let part = |all: &Option<Tensor>, start: usize, count: usize| {
        all.as_ref().map(|all| all.narrow(0, start, count)).transpose()
    };
    let mut all = vec![
        if call.wants(0) { tensor(xs(), &[n, t, e])? } else { None },
        tensor(steps.keys, &[n, p, a])?,
        if call.wants(2) { tensor(steps.annotations, &[n, p, c])? } else { None },
        tensor(steps.h0, &[n, h])?,
        tensor(steps.c0, &[n, h])?,
        if call.wants(5) { tensor(input(), &[4 * h, e + c])? } else { None },
        part(&hidden, 0, 4 * h)?,
        part(&biases, 0, 4 * h)?,
        part(&hidden, 4 * h + c, a)?,
        part(&biases, 4 * h + c, a)?,
        tensor(column_sums(&steps.v, a, a), &[a])?,
    ];
    if inputs.beta.is_some() {
        all.extend([part(&hidden, 4 * h, c)?, part(&biases, 4 * h, c)?]);
    }
    Ok(all)
}

/// What going back through the steps gives.
struct StepGradients<S = Vec<f32>> {
    /// The gradients of the LSTM's gates, of W_β h + b_β and of the query of each row and step, (N·T, 4H + C + A).
    all: S,
    keys: S,
    /// Nothing where it is not wanted.
    annotations: S,
    h0: S,
    c0: S,
    /// A row for each row of the batch, (N, A).
    v: S,
}

impl StepGradients {
    fn new(Sizes { n, t, p, c, a, h, .. }: Sizes, annotations: bool) -> Self {
        Self {
            all: vec![0.0; n * t * (4 * h + c + a)],
            keys: vec![0.0; n * p * a],
            annotations: vec![0.0; if annotations { n * p * c } else { 0 }],
            h0: vec![0.0; n * h],
            c0: vec![0.0; n * h],
            v: vec![0.0; n * a],
        }
    }
}

share!(StepGradients { all, keys, annotations, h0, c0, v });

/// What the phases of a step hand on to each other, by sorted rows.
struct Workspace<S = Vec<f32>> {
    /// ∂L/∂h in blocks of units.
    dh: S,
    /// The gates' gradients (2, N, 4H), one half read while the other is written.
    gates: S,
    /// The gradients of z (N, C), of W_β h + b_β (N, C) and of the query (N, A).
    attended: S,
    beta: S,
    query: S,
    /// A panel's part of ∂L/∂ẑ, row after row.
    contexts: S,
}

impl Workspace {
    fn new(Sizes { n, c, a, h, .. }: Sizes) -> Self {
        Self {
            dh: vec![0.0; h.div_ceil(PANEL) * n * PANEL],
            gates: vec![0.0; 2 * n * 4 * h],
            attended: vec![0.0; n * c],
            beta: vec![0.0; n * c],
            query: vec![0.0; n * a],
            contexts: vec![0.0; c.div_ceil(PANEL) * n * PANEL],
        }
    }
}

share!(Workspace { dh, gates, attended, beta, query, contexts });

/// The same in bf16, where products round it; of the gates where a block of each begins a tile.
struct RoundedWorkspace {
    gates: [RoundedRows; 2],
    beta: RoundedRows,
    query: RoundedRows,
}

impl RoundedWorkspace {
    fn new(Sizes { n, c, a, h, .. }: Sizes, isa: Option<bf16::Isa>) -> Self {
        let gates = [(); 2].map(|()| RoundedRows::new(isa.filter(|_| h.is_multiple_of(TERMS)), n, 4 * h));
        Self { gates, beta: RoundedRows::new(isa, n, c), query: RoundedRows::new(isa, n, a) }
    }
}

/// The weights, packed for the products of the backward pass.
struct PackedWeights {
    hidden: PackedB,
    query: PackedB,
    beta: Option<PackedB>,
    context: PackedB,
}

impl PackedWeights {
    fn new(inputs: &Inputs, Sizes { e, c, a, h, .. }: Sizes) -> Self {
        Self {
            hidden: PackedB::rows(inputs.hidden, 4 * h, h),
            query: PackedB::rows(inputs.query.weight, a, h),
            beta: inputs.beta.map(|beta| PackedB::rows(beta.weight, c, h)),
            context: PackedB::new(bf16::isa(), Strided::rows(inputs.input, e + c).from(0, e), 4 * h, c),
        }
    }
}

/// All steps back, from the gradients of hidden, context and alpha.
fn through_steps(
    of: &AttentionLstm,
    inputs: &Inputs,
    saved: &Saved,
    alpha: &[f32],
    d_outputs: [&[f32]; 3],
    annotations: bool,
) -> StepGradients {
    let Sizes { n, h, .. } = of.sizes;
    let (order, active) = of.steps.sorted(n);
    let weights = PackedWeights::new(inputs, of.sizes);
    let rounded = RoundedWorkspace::new(of.sizes, weights.hidden.isa());
    let (mut found, mut work) = (StepGradients::new(of.sizes, annotations), Workspace::new(of.sizes));
    let (all, shared) = (found.shared(), work.shared());
    let pass = BackwardPass {
        of,
        inputs,
        saved,
        alpha,
        d_outputs,
        annotations,
        weights,
        order: &order,
        active: &active,
        found: all,
        work: shared,
        rounded,
    };
    pass.run();
    for (sorted, &row) in order.iter().enumerate() {
        for (block, into) in found.h0[row * h..][..h].chunks_mut(PANEL).enumerate() {
            into.copy_from_slice(&work.dh[(block * n + sorted) * PANEL..][..into.len()]);
        }
    }
    found
}

/// The pass back through all steps.
struct BackwardPass<'a> {
    of: &'a AttentionLstm,
    inputs: &'a Inputs<'a>,
    saved: &'a Saved,
    alpha: &'a [f32],
    /// Of hidden, context and alpha.
    d_outputs: [&'a [f32]; 3],
    /// Whether the annotations' gradient is wanted.
    annotations: bool,
    weights: PackedWeights,
    /// The rows, the longest first, and how many of them each step has.
    order: &'a [usize],
    active: &'a [usize],
    found: StepGradients<DisjointSlice<'a>>,
    work: Workspace<DisjointSlice<'a>>,
    rounded: RoundedWorkspace,
}

// Who touches what: no chunk of a phase begins before the phase before is done (`team::run`), and each chunk is one member's. What a
// phase writes is of its chunk alone: in the first a block of units, of the gates' gradients the half that is not read in this phase,
// in the second a panel of ∂L/∂ẑ, in the third a row. What else it reads was written in earlier phases, and none of that is written in
// this one. Of `all`, the three write different columns.
impl BackwardPass<'_> {
    fn run(&self) {
        let Sizes { c, h, .. } = self.of.sizes;
        let (count, blocks, panels) = (self.active.len(), h.div_ceil(PANEL), c.div_ceil(PANEL));
        let chunks = |phase: usize| match phase % 3 {
            0 => blocks,
            1 => panels,
            _ => self.active[count - 1 - phase / 3],
        };
        let work = |phase: usize, chunk: usize| match phase % 3 {
            0 => self.gates(phase / 3, chunk),
            1 => self.context(phase / 3, chunk),
            _ => self.attend(phase / 3, chunk),
        };
        // The phase after the last step only takes the gradient through the products to the first h.
        team::run(rayon::current_num_threads(), 3 * count + 1, chunks, work);
    }

    /// The `i`-th step from the end, and how many rows have it.
    fn step(&self, i: usize) -> (usize, usize) {
        let step = self.active.len() - 1 - i;
        (step, self.active[step])
    }

    /// The gradients of the gates of a block of units, with what comes back through h from the step after.
    fn gates(&self, i: usize, block: usize) {
        let (Sizes { n, t, c, a, h, .. }, Self { work, rounded, .. }) = (self.of.sizes, self);
        // SAFETY: it is this chunk's block of units, and no other phase touches dh.
        let dh = unsafe { work.dh.write(block * n * PANEL, n * PANEL) };
        if i > 0 {
            self.through_products(i, block, dh);
        }
        if i == self.active.len() {
            return;
        }
        let (step, rows) = self.step(i);
        let (start, width, full) = (block * PANEL, PANEL.min(h - block * PANEL), 4 * h + c + a);
        let to = (i + 1) % 2 * n * 4 * h;
        for (sorted, &row) in self.order[..rows].iter().enumerate() {
            let at = row * t + step;
            let dh = &mut dh[sorted * PANEL..][..width];
            dh.iter_mut().zip(&self.d_outputs[0][at * h + start..][..width]).for_each(|(dh, d)| *dh += d);
            let mut local = [0f32; 4 * PANEL];
            let local = &mut local[..4 * width];
            let saved = &self.saved.gates[(at * h + start) * 5..][..5 * width];
            let part = |i: usize| &saved[i * width..][..width];
            // SAFETY: the gradient of c is touched in this phase alone, and these units of it by this chunk alone.
            let dc = unsafe { self.found.c0.write(row * h + start, width) };
            lstm_backward([part(0), part(1), part(2), part(3)], part(4), dh, dc, four(&mut *local, width));
            for (gate, values) in local.chunks_exact(width).enumerate() {
                // SAFETY: this half of the gates' gradients is read in later phases; the units are this chunk's.
                unsafe { work.gates.write(to + (sorted * 4 + gate) * h + start, width) }.copy_from_slice(values);
                // SAFETY: the same holds where they are rounded, and the units begin a tile (`RoundedWorkspace::new`).
                unsafe { rounded.gates[(i + 1) % 2].write(sorted, gate * h + start, values) };
                // SAFETY: row and step are met once, the units are this chunk's, and nobody reads `all` before the pass is over.
                unsafe { self.found.all.write(at * full + gate * h + start, width) }.copy_from_slice(values);
            }
        }
    }

    /// Adds the gradient through the products with h of the step after.
    fn through_products(&self, i: usize, block: usize, dh: &mut [f32]) {
        let (Sizes { n, c, a, h, .. }, Self { weights, work, rounded, .. }) = (self.of.sizes, self);
        let (_, rows) = self.step(i - 1);
        let mut add = |values: &DisjointSlice, start: usize, rounded: &RoundedRows, width: usize, packed: &PackedB| {
            // SAFETY: these values were written in the phases of the step after; in this phase only the other half of the gates'
            // gradients is written to.
            let (values, rounded) = unsafe { (values.read(start, rows * width), rounded.read(rows)) };
            packed.multiply(A::rows(values, rows, width).with(rounded), block, dh, PANEL, true);
        };
        add(&work.gates, i % 2 * n * 4 * h, &rounded.gates[i % 2], 4 * h, &weights.hidden);
        add(&work.query, 0, &rounded.query, a, &weights.query);
        weights.beta.iter().for_each(|packed| add(&work.beta, 0, &rounded.beta, c, packed));
    }

    /// A panel of ∂L/∂ẑ of all rows, and of the gradients of z and of W_β h + b_β.
    fn context(&self, i: usize, panel: usize) {
        let (Sizes { n, t, c, a, h, .. }, Self { saved, work, rounded, .. }) = (self.of.sizes, self);
        let (step, rows) = self.step(i);
        let (start, width) = self.weights.context.span(panel);
        // SAFETY: it is this chunk's panel, and no other phase touches `contexts`.
        let product = unsafe { work.contexts.write(panel * n * PANEL, rows * PANEL) };
        // SAFETY: the phase before has written this half of the gates' gradients, and this one writes to neither.
        let values = unsafe { work.gates.read((i + 1) % 2 * n * 4 * h, rows * 4 * h) };
        // SAFETY: the same holds where they are rounded.
        let of_gates = unsafe { rounded.gates[(i + 1) % 2].read(rows) };
        let a_rows = A::rows(values, rows, 4 * h).with(of_gates);
        self.weights.context.multiply(a_rows, panel, product, PANEL, false);
        for (sorted, &row) in self.order[..rows].iter().enumerate() {
            let at = row * t + step;
            let product = &mut product[sorted * PANEL..][..width];
            product.iter_mut().zip(&self.d_outputs[1][at * c + start..]).for_each(|(sum, d)| *sum += d);
            // SAFETY: the columns are this chunk's; they are read in the next phase.
            let d_attended = unsafe { work.attended.write(sorted * c + start, width) };
            if self.inputs.beta.is_none() {
                d_attended.copy_from_slice(product);
                continue;
            }
            // SAFETY: the columns are this chunk's; they are read in the first phase of the next step.
            let d_beta = unsafe { work.beta.write(sorted * c + start, width) };
            let (beta, attended) = (&saved.beta[at * c + start..], &saved.attended[at * c + start..]);
            beta_gradient(product, beta, attended, d_attended, d_beta);
            // SAFETY: row and step are met once, the columns are this chunk's, and nobody reads `all` before the pass is over.
            unsafe { self.found.all.write(at * (4 * h + c + a) + 4 * h + start, width) }.copy_from_slice(d_beta);
            // SAFETY: the columns, which begin a tile, are this chunk's; they are read in the first phase of the next step.
            unsafe { rounded.beta.write(sorted, start, d_beta) };
        }
    }

    /// The gradients of a row's query, its keys, v and its annotations.
    fn attend(&self, i: usize, sorted: usize) {
        let (Sizes { t, p, c, a, h, .. }, Self { inputs, found, .. }) = (self.of.sizes, self);
        let (step, row) = (self.step(i).0, self.order[sorted]);
        let at = row * t + step;
        // SAFETY: the phase before has written it, and this one does not write to `attended`.
        let d_attended = unsafe { self.work.attended.read(sorted * c, c) };
        // Annotations beyond the row's count may be NaN.
        let alpha = &self.alpha[at * p..][..inputs.count(row)];
        let chosen = inputs.chosen(at, alpha);
        let d_energies = self.energies(row, at, d_attended, alpha, chosen.is_none());
        let query = &self.saved.query[at * a..][..a];
        // SAFETY: the row is this chunk's; the query's gradient is read in the first phase of the next step.
        let d_query = unsafe { self.work.query.write(sorted * a, a) };
        // SAFETY: the row is this chunk's, and no other phase touches the gradient of v or that of the keys.
        let (d_v, all_d_keys) = unsafe { (found.v.write(row * a, a), found.keys.write(row * p * a, p * a)) };
        d_query.fill(0.0);
        let keys = inputs.keys[row * p * a..].chunks_exact(a).zip(all_d_keys.chunks_exact_mut(a));
        for ((keys, d_keys), &d_energy) in keys.zip(&d_energies) {
            rows::key_gradient(keys, query, inputs.v, d_energy, d_keys, d_query, d_v);
        }
        // SAFETY: row and step are this chunk's, and nobody reads `all` before the pass is over.
        unsafe { found.all.write(at * (4 * h + c + a) + 4 * h + c, a) }.copy_from_slice(d_query);
        // SAFETY: the row is this chunk's; it is read in the first phase of the next step.
        unsafe { self.rounded.query.write(sorted, 0, d_query) };
        if self.annotations {
            // SAFETY: the row is this chunk's, and no other phase touches the gradient of the annotations.
            let all = unsafe { found.annotations.write(row * p * c, p * c) };
            let mut each = all.chunks_exact_mut(c).zip(alpha);
            match chosen {
                Some(position) => {
                    each.nth(position).into_iter().for_each(|(into, _)| add_scaled(d_attended, 1.0, into))
                }
                None => each.for_each(|(into, &alpha)| add_scaled(d_attended, alpha, into)),
            }
        }
    }

    /// The gradients of a row's energies through α, and through z where that is the mean of the annotations.
    fn energies(&self, row: usize, at: usize, d_attended: &[f32], alpha: &[f32], mean: bool) -> Vec<f32> {
        let Sizes { p, c, .. } = self.of.sizes;
        let mut gradients = self.d_outputs[2][at * p..][..alpha.len()].to_vec();
        if mean {
            let (values, count) = (&self.inputs.annotations[row * p * c..], alpha.len());
            gemv::add(&mut gradients, count, RowMajor::one(d_attended), RowMajor { values, stride: c, count }, c);
        }
        let whole = dot(alpha, &gradients);
        gradients.iter_mut().zip(alpha).for_each(|(d, alpha)| *d = alpha * (*d - whole));
        gradients
    }
}

vectorised! {
    /// From ∂L/∂ẑ: ∂L/∂z = β ⊙ ∂L/∂ẑ, and the gradient of β's argument.
    fn beta_gradient(d_context: &[f32], beta: &[f32], attended: &[f32], d_attended: &mut [f32], d_beta: &mut [f32]) {
        let width = d_beta.len();
        let (d_context, beta, attended) = (&d_context[..width], &beta[..width], &attended[..width]);
        let d_attended = &mut d_attended[..width];
        for j in 0..width {
            d_attended[j] = d_context[j] * beta[j];
            d_beta[j] = d_context[j] * attended[j] * beta[j] * (1.0 - beta[j]);
        }
    }
}
