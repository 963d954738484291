//! Forward pass of the attention LSTM, f32, CPU.
//!
//! Each step has three phases: the products with h (W_q, W_β and the LSTM's W_hh, a panel of columns a chunk), attention (a row a
//! chunk), and the product with ẑ and the LSTM's gates (a block of hidden units a chunk).

use super::{AttentionLstm, Inputs, Saved};
use crate::additive_attention::cpu::rows;
use crate::attention_lstm::Sizes;
use crate::cpu::disjoint::{DisjointSlice, share};
use crate::cpu::gemm::bf16::{self, RoundedRows};
use crate::cpu::gemm::{A, GemmShape, PANEL, PackedB, PanelB, Strided, gemm};
use crate::cpu::simd_math::{logistic, vectorised};
use crate::cpu::team;
use crate::recurrence::cpu::gates::{Blocks, four, lstm_forward};
use rayon::prelude::*;

/// Hidden units of a block, times four gates.
const WIDE: usize = 4 * PANEL;

/// The outputs, and where it `keeps` it what the backward pass needs.
pub fn run(of: &AttentionLstm, inputs: &Inputs, keeps: bool) -> (Outputs, Saved) {
    let Sizes { n, t, e, c, h, .. } = of.sizes;
    let (order, active) = of.steps.sorted(n);
    let weights = PackedWeights::new(inputs, of.sizes);
    // The part of x in the LSTM's gates, bias included, for all steps: (N·T, 4H).
    let (xs, weight) = (Strided::rows(inputs.xs, e), Strided::columns(inputs.input, e + c));
    let projected = gemm(xs, weight, GemmShape { m: n * t, n: 4 * h, k: e }, Some(inputs.bias));
    let (mut outputs, mut saved) = (Outputs::new(of.sizes), Saved::new(of, inputs, keeps));
    let mut work = Workspace::new(of.sizes, inputs, &weights, &order);
    let rounded = RoundedWorkspace::new(of.sizes, &weights, &work.state);
    let (all, saving, work) = (outputs.shared(), saved.shared(), work.shared());
    ForwardPass { of, inputs, weights, projected, order, active, keeps, outputs: all, saved: saving, work, rounded }
        .run();
    (outputs, saved)
}

/// h, ẑ and α of all steps, (N, T, ·) each.
pub struct Outputs<S = Vec<f32>> {
    pub hidden: S,
    pub context: S,
    pub alpha: S,
}

impl Outputs {
    fn new(Sizes { n, t, p, c, h, .. }: Sizes) -> Self {
        Self { hidden: vec![0.0; n * t * h], context: vec![0.0; n * t * c], alpha: vec![0.0; n * t * p] }
    }
}

share!(Outputs { hidden, context, alpha });

impl Saved {
    /// Room for all steps, with x in it; where it is not kept, for the present step of each row.
    fn new(of: &AttentionLstm, inputs: &Inputs, keeps: bool) -> Self {
        let Sizes { n, t, e, c, a, h, .. } = of.sizes;
        let rows = if keeps { n * t } else { n };
        let mut lstm_inputs = vec![0.0; if keeps { rows * (e + c) } else { 0 }];
        let all = lstm_inputs.par_chunks_mut(e + c).zip(inputs.xs.par_chunks(e.max(1))).enumerate();
        // Padding may be NaN, which a gradient of 0 does not make 0.
        let present = all.filter(|(at, _)| at % t < of.steps.length(at / t));
        present.for_each(|(_, (row, x))| row[..e].copy_from_slice(x));
        Self {
            inputs: lstm_inputs,
            previous: vec![0.0; rows * h],
            gates: vec![0.0; rows * 5 * h],
            query: vec![0.0; rows * a],
            attended: vec![0.0; rows * c],
            beta: vec![0.0; if inputs.beta.is_some() { rows * c } else { 0 }],
        }
    }
}

share!(Saved { inputs, previous, gates, query, attended, beta });

/// What the phases of a step hand on to each other.
struct Workspace<S = Vec<f32>> {
    /// h by sorted rows (2, N, H): before an even step and before an odd one.
    state: S,
    /// c (N, H).
    cells: S,
    /// ẑ by sorted rows (N, C).
    contexts: S,
    /// A panel's products with h, row after row: of W_q, of W_β, and of the four gates of a block of hidden units.
    query_products: S,
    beta_products: S,
    hidden_products: S,
}

impl Workspace {
    fn new(Sizes { n, c, h, .. }: Sizes, inputs: &Inputs, weights: &PackedWeights, order: &[usize]) -> Self {
        let mut state: Vec<f32> = order.iter().flat_map(|&row| &inputs.h[row * h..][..h]).copied().collect();
        state.extend_from_within(..);
        Self {
            state,
            cells: inputs.c.to_vec(),
            contexts: vec![0.0; n * c],
            query_products: vec![0.0; weights.query.panels() * n * PANEL],
            beta_products: vec![0.0; weights.beta_panels() * n * PANEL],
            hidden_products: vec![0.0; h.div_ceil(PANEL) * n * WIDE],
        }
    }
}

share!(Workspace { state, cells, contexts, query_products, beta_products, hidden_products });

/// Both halves of the state and the contexts, where products round them.
struct RoundedWorkspace {
    states: [RoundedRows; 2],
    contexts: RoundedRows,
}

impl RoundedWorkspace {
    fn new(Sizes { n, c, h, .. }: Sizes, weights: &PackedWeights, state: &[f32]) -> Self {
        let isa = weights.query.isa();
        let states = [(); 2].map(|()| RoundedRows::new(isa, n, h));
        for (sorted, state) in state[..n * h].chunks_exact(h).enumerate() {
            // SAFETY: nobody else has these rows yet.
            unsafe { states[0].write(sorted, 0, state) };
        }
        Self { states, contexts: RoundedRows::new(isa, n, c) }
    }
}

/// The pass through all steps.
struct ForwardPass<'a> {
    of: &'a AttentionLstm,
    inputs: &'a Inputs<'a>,
    weights: PackedWeights,
    projected: Vec<f32>,
    /// The rows, the longest first, and how many of them each step has.
    order: Vec<usize>,
    active: Vec<usize>,
    keeps: bool,
    outputs: Outputs<DisjointSlice<'a>>,
    saved: Saved<DisjointSlice<'a>>,
    work: Workspace<DisjointSlice<'a>>,
    rounded: RoundedWorkspace,
}

// Who touches what: no chunk of a phase begins before the phase before is done (`team::run`), and each chunk is one member's. What a
// phase writes is of its chunk alone: in the first a panel of a product, in the second a row, in the third a block of units, of the
// state the half that is not read in this step. What else it reads was written in earlier phases, and none of that is written in
// this one.
impl ForwardPass<'_> {
    fn run(&self) {
        let blocks = self.of.sizes.h.div_ceil(PANEL);
        let products = self.weights.query.panels() + self.weights.beta_panels() + blocks;
        let chunks = |phase: usize| match phase % 3 {
            0 => products,
            1 => self.active[phase / 3],
            _ => blocks,
        };
        let work = |phase: usize, chunk: usize| match phase % 3 {
            0 => self.products(phase / 3, chunk),
            1 => self.attend(phase / 3, chunk),
            _ => self.update(phase / 3, chunk),
        };
        team::run(rayon::current_num_threads(), 3 * self.active.len(), chunks, work);
    }

    /// The row of [`Saved`] for a step of a row.
    fn place(&self, row: usize, step: usize) -> usize {
        if self.keeps { row * self.of.sizes.t + step } else { row }
    }

    /// A panel of W_q h, then of W_β h, then a block of units of W_hh h.
    fn products(&self, step: usize, chunk: usize) {
        let (Sizes { n, h, .. }, PackedWeights { query, beta, hidden, .. }, work) =
            (self.of.sizes, &self.weights, &self.work);
        let (rows, of_query, of_beta) = (self.active[step], query.panels(), self.weights.beta_panels());
        // SAFETY: this half of the state was written in the step before, or before the first one; this phase writes no state.
        let (state, rounded) =
            unsafe { (work.state.read(step % 2 * n * h, rows * h), self.rounded.states[step % 2].read(rows)) };
        let a_rows = A::rows(state, rows, h).with(rounded);
        if let Some(block) = chunk.checked_sub(of_query + of_beta) {
            // SAFETY: it is this chunk's block of units, and nobody else touches `hidden_products` in this phase but in other blocks.
            let into = unsafe { work.hidden_products.write(block * n * WIDE, rows * WIDE) };
            for (gate, packed) in hidden.iter().enumerate() {
                packed.multiply(a_rows, block, &mut into[gate * PANEL..], WIDE, false);
            }
        } else if let Some(panel) = chunk.checked_sub(of_query) {
            // SAFETY: it is this chunk's panel of the product with W_β.
            let into = unsafe { work.beta_products.write(panel * n * PANEL, rows * PANEL) };
            beta.iter().for_each(|packed| packed.multiply(a_rows, panel, into, PANEL, false));
        } else {
            // SAFETY: it is this chunk's panel of the product with W_q.
            let into = unsafe { work.query_products.write(chunk * n * PANEL, rows * PANEL) };
            query.multiply(a_rows, chunk, into, PANEL, false);
        }
    }

    /// A row's α, z and ẑ.
    fn attend(&self, step: usize, sorted: usize) {
        let (Sizes { t, p, e, c, a, .. }, inputs) = (self.of.sizes, self.inputs);
        let row = self.order[sorted];
        let (at, place) = (row * t + step, self.place(row, step));
        // α stays 0 at the annotations that the row does not have, and with it all their gradients.
        let count = inputs.count(row);
        // SAFETY: row and step are this chunk's, and `count` is at most P.
        let alpha = unsafe { self.outputs.alpha.write(at * p, count) };
        rows::attention_weights(&inputs.keys[row * p * a..][..count * a], self.query(place, sorted), inputs.v, alpha);
        let annotations = &inputs.annotations[row * p * c..][..count * c];
        // SAFETY: the place is of this chunk's row, which no other chunk of the phase has.
        let attended = unsafe { self.saved.attended.write(place * c, c) };
        match inputs.chosen(at, alpha) {
            Some(position) => attended.copy_from_slice(&annotations[position * c..][..c]),
            None => {
                attended.fill(0.0);
                rows::weighted_mean(annotations, alpha, attended);
            }
        }
        // SAFETY: row and step are this chunk's.
        let context = unsafe { self.outputs.context.write(at * c, c) };
        match inputs.beta {
            Some(beta) => self.apply_beta(place, sorted, beta.bias, attended, context),
            None => context.copy_from_slice(attended),
        }
        // SAFETY: the row is this chunk's; contexts are read in the next phase.
        unsafe { self.work.contexts.write(sorted * c, c) }.copy_from_slice(context);
        // SAFETY: as for the contexts that are not rounded.
        unsafe { self.rounded.contexts.write(sorted, 0, context) };
        if self.keeps {
            // SAFETY: row and step are this chunk's, and nobody reads the inputs before the pass is over.
            unsafe { self.saved.inputs.write(at * (e + c) + e, c) }.copy_from_slice(context);
        }
    }

    /// W_q h + b_q of a row.
    fn query(&self, place: usize, sorted: usize) -> &[f32] {
        let Sizes { n, a, .. } = self.of.sizes;
        // SAFETY: the place is of this chunk's row, and the chunk asks for it once.
        let query = unsafe { self.saved.query.write(place * a, a) };
        for (panel, (query, bias)) in query.chunks_mut(PANEL).zip(self.inputs.query.bias.chunks(PANEL)).enumerate() {
            // SAFETY: the phase before has written the products, and this one does not write to them.
            let product = unsafe { self.work.query_products.read((panel * n + sorted) * PANEL, query.len()) };
            query.iter_mut().zip(product.iter().zip(bias)).for_each(|(query, (x, b))| *query = x + b);
        }
        query
    }

    /// β of a row, and ẑ = β ⊙ z.
    fn apply_beta(&self, place: usize, sorted: usize, bias: &[f32], attended: &[f32], context: &mut [f32]) {
        let Sizes { n, c, .. } = self.of.sizes;
        // SAFETY: the place is of this chunk's row, and the chunk asks for it once.
        let beta = unsafe { self.saved.beta.write(place * c, c) };
        for panel in 0..self.weights.beta_panels() {
            let span = panel * PANEL..c.min((panel + 1) * PANEL);
            // SAFETY: the phase before has written the products, and this one does not write to them.
            let product = unsafe { self.work.beta_products.read((panel * n + sorted) * PANEL, span.len()) };
            let (beta, context) = (&mut beta[span.clone()], &mut context[span.clone()]);
            apply_beta(product, &bias[span.clone()], &attended[span], beta, context);
        }
    }

    /// A block of units of h and c of all rows.
    fn update(&self, step: usize, block: usize) {
        let (Sizes { n, t, c, h, .. }, Self { saved, work, rounded, .. }) = (self.of.sizes, self);
        let rows = self.active[step];
        let (start, width) = (block * PANEL, PANEL.min(h - block * PANEL));
        let (from, to) = (step % 2 * n * h, (step + 1) % 2 * n * h);
        // SAFETY: it is this chunk's block of units, which the first phase of this step has written.
        let hidden = unsafe { work.hidden_products.write(block * n * WIDE, rows * WIDE) };
        // SAFETY: the phase before has written the contexts of all rows, and this one does not write to them.
        let (contexts, rounded_contexts) = unsafe { (work.contexts.read(0, rows * c), rounded.contexts.read(rows)) };
        let a_rows = A::rows(contexts, rows, c).with(rounded_contexts);
        for (gate, packed) in self.weights.context.iter().enumerate() {
            packed.multiply(a_rows, block, &mut hidden[gate * PANEL..], WIDE, true);
        }
        for (sorted, &row) in self.order[..rows].iter().enumerate() {
            let (at, place) = (row * t + step, self.place(row, step));
            let of_input = Blocks { values: &self.projected[at * 4 * h + start..], stride: h };
            let sums = Blocks { values: &hidden[sorted * WIDE..][..WIDE], stride: PANEL };
            // SAFETY: this half of the state is read in the next step; the units are this chunk's.
            let new = unsafe { work.state.write(to + sorted * h + start, width) };
            // SAFETY: the other half is not written to in this step.
            let old = unsafe { work.state.read(from + sorted * h + start, width) };
            // SAFETY: place and units are of this chunk alone, and nobody reads them before the pass is over.
            unsafe { saved.previous.write(place * h + start, width) }.copy_from_slice(old);
            // SAFETY: the same holds for the gates, which are in blocks of units.
            let gates = unsafe { saved.gates.write((place * h + start) * 5, 5 * width) };
            let (gates, before) = gates.split_at_mut(4 * width);
            // SAFETY: c is touched in this phase alone, and these units of it by this chunk alone.
            let cells = unsafe { work.cells.write(row * h + start, width) };
            lstm_forward([of_input, sums], four(gates, width), new, cells, before);
            // SAFETY: row and step are met once, the units are this chunk's, and nobody reads them before the pass is over.
            unsafe { self.outputs.hidden.write(at * h + start, width) }.copy_from_slice(new);
            // SAFETY: these states are read in the next step; the units, which begin a tile, are this chunk's.
            unsafe { rounded.states[(step + 1) % 2].write(sorted, start, new) };
        }
    }
}

/// The weights, packed for the products of the forward pass.
struct PackedWeights {
    query: PackedB,
    beta: Option<PackedB>,
    /// One for each of the LSTM's gates.
    hidden: Vec<PackedB>,
    context: Vec<PackedB>,
}

impl PackedWeights {
    fn new(inputs: &Inputs, Sizes { e, c, a, h, .. }: Sizes) -> Self {
        let context = |gate: &[f32]| PackedB::new(bf16::isa(), Strided::columns(&gate[e..], e + c), c, h);
        Self {
            query: PackedB::transposed(inputs.query.weight, a, h),
            beta: inputs.beta.map(|beta| PackedB::transposed(beta.weight, c, h)),
            hidden: inputs.hidden.chunks_exact(h * h).map(|gate| PackedB::transposed(gate, h, h)).collect(),
            context: inputs.input.chunks_exact(h * (e + c)).map(context).collect(),
        }
    }

    fn beta_panels(&self) -> usize {
        self.beta.as_ref().map_or(0, PackedB::panels)
    }
}

vectorised! {
    /// β = σ(product + bias), ẑ = β ⊙ z.
    fn apply_beta(product: &[f32], bias: &[f32], attended: &[f32], beta: &mut [f32], context: &mut [f32]) {
        let width = beta.len();
        let (product, bias, attended) = (&product[..width], &bias[..width], &attended[..width]);
        let context = &mut context[..width];
        for j in 0..width {
            beta[j] = logistic::<FUSED>(product[j] + bias[j]);
            context[j] = beta[j] * attended[j];
        }
    }
}
