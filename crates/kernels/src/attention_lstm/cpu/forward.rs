//! Forward pass of the attention LSTM, f32, CPU.
//!
//! Each step has three phases: the products with h (query, gate and the LSTM's own, a panel of columns a chunk), the look at
//! the annotations (a row a chunk), and the product with ẑ and the LSTM's gates (a block of hidden units a chunk).

use super::{Attentive, Saved, Slices};
use crate::additive_attention::cpu::rows;
use crate::attention_lstm::Sizes;
use crate::cpu::gemm::bf16::{self, RoundedRows};
use crate::cpu::gemm::{Left, PANEL, Packed, Right, gemm_into};
use crate::cpu::simd_math::{logistic, vectorised};
use crate::cpu::team::{self, Shared, share};
use crate::recurrence::cpu::gates::{Blocks, four, lstm_forward};
use rayon::prelude::*;

/// Hidden units of a block, times four gates.
const WIDE: usize = 4 * PANEL;

/// The outputs, and, where it is to be `kept`, what the backward pass needs.
pub fn steps(of: &Attentive, given: &Slices, kept: bool) -> (Outputs, Saved) {
    let Sizes { n, t, e, c, h, .. } = of.sizes;
    let (order, active) = of.steps.sorted(n);
    let weights = Weights::new(given, of.sizes);
    // The words' part of the LSTM's input, bias included, for all steps: (N·T, 4H).
    let projected = gemm_into(given.xs, (e, 1), given.input, (1, e + c), (n * t, 4 * h, e), Some(given.bias));
    let (mut outputs, mut saved) = (Outputs::new(of.sizes), Saved::new(of, given, kept));
    let mut work = Work::new(of.sizes, given, &weights, &order);
    let rounded = Rounded::new(of.sizes, &weights, &work.state);
    let (all, saving, work) = (outputs.shared(), saved.shared(), work.shared());
    Walk { of, given, weights, projected, order, active, kept, outputs: all, saved: saving, work, rounded }.run();
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
    /// Room for all steps, and the words in it; where they are not kept, for the present step of each row.
    fn new(of: &Attentive, given: &Slices, kept: bool) -> Self {
        let Sizes { n, t, e, c, a, h, .. } = of.sizes;
        let rows = if kept { n * t } else { n };
        let mut inputs = vec![0.0; if kept { rows * (e + c) } else { 0 }];
        let words = inputs.par_chunks_mut(e + c).zip(given.xs.par_chunks(e.max(1))).enumerate();
        // What padding holds may be NaN, which a gradient of 0 does not make 0.
        let words = words.filter(|(at, _)| at % t < of.steps.length(at / t));
        words.for_each(|(_, (row, x))| row[..e].copy_from_slice(x));
        Self {
            inputs,
            previous: vec![0.0; rows * h],
            gates: vec![0.0; rows * 5 * h],
            query: vec![0.0; rows * a],
            looked: vec![0.0; rows * c],
            gate: vec![0.0; if given.gate.is_some() { rows * c } else { 0 }],
        }
    }
}

share!(Saved { inputs, previous, gates, query, looked, gate });

/// What the phases of a step hand on to each other.
struct Work<S = Vec<f32>> {
    /// h by sorted rows (2, N, H): before an even step and before an odd one.
    state: S,
    /// c (N, H).
    cells: S,
    /// ẑ by sorted rows (N, C).
    contexts: S,
    /// A panel's products with h, row after row, of the query, of the gate, and of the four gates of a block of units.
    queries: S,
    openings: S,
    units: S,
}

impl Work {
    fn new(Sizes { n, c, h, .. }: Sizes, given: &Slices, weights: &Weights, order: &[usize]) -> Self {
        let mut state: Vec<f32> = order.iter().flat_map(|&row| &given.h[row * h..][..h]).copied().collect();
        state.extend_from_within(..);
        Self {
            state,
            cells: given.c.to_vec(),
            contexts: vec![0.0; n * c],
            queries: vec![0.0; weights.query.panels() * n * PANEL],
            openings: vec![0.0; weights.gate_panels() * n * PANEL],
            units: vec![0.0; h.div_ceil(PANEL) * n * WIDE],
        }
    }
}

share!(Work { state, cells, contexts, queries, openings, units });

/// Both halves of the state and the contexts, where products round them.
struct Rounded {
    states: [RoundedRows; 2],
    contexts: RoundedRows,
}

impl Rounded {
    fn new(Sizes { n, c, h, .. }: Sizes, weights: &Weights, state: &[f32]) -> Self {
        let path = weights.query.path();
        let states = [(); 2].map(|()| RoundedRows::new(path, n, h));
        for (sorted, state) in state[..n * h].chunks_exact(h).enumerate() {
            // SAFETY: nobody else has these rows yet.
            unsafe { states[0].write(sorted, 0, state) };
        }
        Self { states, contexts: RoundedRows::new(path, n, c) }
    }
}

/// One walk through all steps.
struct Walk<'a> {
    of: &'a Attentive,
    given: &'a Slices<'a>,
    weights: Weights,
    projected: Vec<f32>,
    /// The rows, the longest first, and how many of them each step has.
    order: Vec<usize>,
    active: Vec<usize>,
    kept: bool,
    outputs: Outputs<Shared<'a>>,
    saved: Saved<Shared<'a>>,
    work: Work<Shared<'a>>,
    rounded: Rounded,
}

// Who touches what: no chunk of a phase begins before the phase before is done (`team::run`), and each chunk is one member's. What a
// phase writes is of its chunk alone: in the first a panel of a product, in the second a row, in the third a block of units, of the
// state the half that is not read in this step. What else it reads was written in earlier phases, and none of that is written in
// this one.
impl Walk<'_> {
    fn run(&self) {
        let blocks = self.of.sizes.h.div_ceil(PANEL);
        let products = self.weights.query.panels() + self.weights.gate_panels() + blocks;
        let chunks = |phase: usize| match phase % 3 {
            0 => products,
            1 => self.active[phase / 3],
            _ => blocks,
        };
        let work = |phase: usize, chunk: usize| match phase % 3 {
            0 => self.products(phase / 3, chunk),
            1 => self.look(phase / 3, chunk),
            _ => self.update(phase / 3, chunk),
        };
        team::run(rayon::current_num_threads(), 3 * self.active.len(), chunks, work);
    }

    /// Where what a row's step leaves stands among what is saved.
    fn place(&self, row: usize, step: usize) -> usize {
        if self.kept { row * self.of.sizes.t + step } else { row }
    }

    /// A panel of W_q h, then of W_β h, then a block of units of W_hh h.
    fn products(&self, step: usize, chunk: usize) {
        let (Sizes { n, h, .. }, Weights { query, gate, hidden, .. }, work) =
            (self.of.sizes, &self.weights, &self.work);
        let (rows, of_query, of_gate) = (self.active[step], query.panels(), self.weights.gate_panels());
        // SAFETY: this half of the state was written in the step before, or before the first one; this phase writes no state.
        let (state, rounded) =
            unsafe { (work.state.read(step % 2 * n * h, rows * h), self.rounded.states[step % 2].read(rows)) };
        let left = Left::rows(state, rows, h).with(rounded);
        if let Some(block) = chunk.checked_sub(of_query + of_gate) {
            // SAFETY: it is this chunk's block of units, and nobody else touches `units` in this phase but in other blocks.
            let into = unsafe { work.units.write(block * n * WIDE, rows * WIDE) };
            for (gate, packed) in hidden.iter().enumerate() {
                packed.multiply(left, block, &mut into[gate * PANEL..], WIDE, false);
            }
        } else if let Some(panel) = chunk.checked_sub(of_query) {
            // SAFETY: it is this chunk's panel of the gate's product.
            let into = unsafe { work.openings.write(panel * n * PANEL, rows * PANEL) };
            gate.iter().for_each(|packed| packed.multiply(left, panel, into, PANEL, false));
        } else {
            // SAFETY: it is this chunk's panel of the query's product.
            let into = unsafe { work.queries.write(chunk * n * PANEL, rows * PANEL) };
            query.multiply(left, chunk, into, PANEL, false);
        }
    }

    /// A row's weights α, what it looks at, and as much of that as the gate lets through.
    fn look(&self, step: usize, sorted: usize) {
        let (Sizes { t, p, e, c, a, .. }, given) = (self.of.sizes, self.given);
        let row = self.order[sorted];
        let (at, place) = (row * t + step, self.place(row, step));
        // α stays 0 at the annotations that the row does not have, and with it all their gradients.
        let count = self.of.count(row);
        // SAFETY: row and step are this chunk's, and no row has more than the P annotations (`check_counts`).
        let alpha = unsafe { self.outputs.alpha.write(at * p, count) };
        rows::weights(&given.keys[row * p * a..][..count * a], self.query(place, sorted), given.v, alpha);
        let annotations = &given.annotations[row * p * c..][..count * c];
        // SAFETY: the place is of this chunk's row, which no other chunk of the phase has.
        let looked = unsafe { self.saved.looked.write(place * c, c) };
        match self.of.chosen(at, alpha) {
            Some(position) => looked.copy_from_slice(&annotations[position * c..][..c]),
            None => {
                looked.fill(0.0);
                rows::mean(annotations, alpha, looked);
            }
        }
        // SAFETY: row and step are this chunk's.
        let context = unsafe { self.outputs.context.write(at * c, c) };
        match given.gate {
            Some((_, bias)) => self.open(place, sorted, bias, looked, context),
            None => context.copy_from_slice(looked),
        }
        // SAFETY: the row is this chunk's; contexts are read in the next phase.
        unsafe { self.work.contexts.write(sorted * c, c) }.copy_from_slice(context);
        // SAFETY: as for the contexts that are not rounded.
        unsafe { self.rounded.contexts.write(sorted, 0, context) };
        if self.kept {
            // SAFETY: row and step are this chunk's, and nobody reads the inputs before the walk is over.
            unsafe { self.saved.inputs.write(at * (e + c) + e, c) }.copy_from_slice(context);
        }
    }

    /// W_q h + b_q of a row.
    fn query(&self, place: usize, sorted: usize) -> &[f32] {
        let Sizes { n, a, .. } = self.of.sizes;
        // SAFETY: the place is of this chunk's row, and the chunk asks for it once.
        let query = unsafe { self.saved.query.write(place * a, a) };
        for (panel, (query, bias)) in query.chunks_mut(PANEL).zip(self.given.query.1.chunks(PANEL)).enumerate() {
            // SAFETY: the phase before has written the products, and this one does not write to them.
            let product = unsafe { self.work.queries.read((panel * n + sorted) * PANEL, query.len()) };
            query.iter_mut().zip(product.iter().zip(bias)).for_each(|(query, (x, b))| *query = x + b);
        }
        query
    }

    /// What the gate lets through of what a row looks at.
    fn open(&self, place: usize, sorted: usize, bias: &[f32], looked: &[f32], context: &mut [f32]) {
        let Sizes { n, c, .. } = self.of.sizes;
        // SAFETY: the place is of this chunk's row, and the chunk asks for it once.
        let gate = unsafe { self.saved.gate.write(place * c, c) };
        for panel in 0..self.weights.gate_panels() {
            let span = panel * PANEL..c.min((panel + 1) * PANEL);
            // SAFETY: the phase before has written the products, and this one does not write to them.
            let product = unsafe { self.work.openings.read((panel * n + sorted) * PANEL, span.len()) };
            let (gate, context) = (&mut gate[span.clone()], &mut context[span.clone()]);
            open(product, &bias[span.clone()], &looked[span], gate, context);
        }
    }

    /// A block of units of h and c of all rows.
    fn update(&self, step: usize, block: usize) {
        let (Sizes { n, t, c, h, .. }, Self { saved, work, rounded, .. }) = (self.of.sizes, self);
        let rows = self.active[step];
        let (start, width) = (block * PANEL, PANEL.min(h - block * PANEL));
        let (from, to) = (step % 2 * n * h, (step + 1) % 2 * n * h);
        // SAFETY: it is this chunk's block of units, which the first phase of this step has written.
        let unit = unsafe { work.units.write(block * n * WIDE, rows * WIDE) };
        // SAFETY: the phase before has written the contexts of all rows, and this one does not write to them.
        let (contexts, rounded_contexts) = unsafe { (work.contexts.read(0, rows * c), rounded.contexts.read(rows)) };
        let left = Left::rows(contexts, rows, c).with(rounded_contexts);
        for (gate, packed) in self.weights.context.iter().enumerate() {
            packed.multiply(left, block, &mut unit[gate * PANEL..], WIDE, true);
        }
        for (sorted, &row) in self.order[..rows].iter().enumerate() {
            let (at, place) = (row * t + step, self.place(row, step));
            let of_input = Blocks { values: &self.projected[at * 4 * h + start..], stride: h };
            let sums = Blocks { values: &unit[sorted * WIDE..][..WIDE], stride: PANEL };
            // SAFETY: this half of the state is read in the next step; the units are this chunk's.
            let new = unsafe { work.state.write(to + sorted * h + start, width) };
            // SAFETY: the other half is not written to in this step.
            let old = unsafe { work.state.read(from + sorted * h + start, width) };
            // SAFETY: place and units are of this chunk alone, and nobody reads them before the walk is over.
            unsafe { saved.previous.write(place * h + start, width) }.copy_from_slice(old);
            // SAFETY: the same holds for the gates, which lie in blocks of units.
            let gates = unsafe { saved.gates.write((place * h + start) * 5, 5 * width) };
            let (kept, before) = gates.split_at_mut(4 * width);
            // SAFETY: c is touched in this phase alone, and these units of it by this chunk alone.
            let cells = unsafe { work.cells.write(row * h + start, width) };
            lstm_forward([of_input, sums], four(kept, width), new, cells, before);
            // SAFETY: row and step are met once, the units are this chunk's, and nobody reads them before the walk is over.
            unsafe { self.outputs.hidden.write(at * h + start, width) }.copy_from_slice(new);
            // SAFETY: these states are read in the next step; the units, which begin a tile, are this chunk's.
            unsafe { rounded.states[(step + 1) % 2].write(sorted, start, new) };
        }
    }
}

/// The weights, packed for the way forward.
struct Weights {
    query: Packed,
    gate: Option<Packed>,
    /// One for each of the LSTM's gates.
    hidden: Vec<Packed>,
    context: Vec<Packed>,
}

impl Weights {
    fn new(given: &Slices, Sizes { e, c, a, h, .. }: Sizes) -> Self {
        let context = |gate: &[f32]| Packed::new(bf16::path(), &gate[e..], (1, e + c), c, h);
        Self {
            query: Packed::transposed(given.query.0, a, h),
            gate: given.gate.map(|(weight, _)| Packed::transposed(weight, c, h)),
            hidden: given.hidden.chunks_exact(h * h).map(|gate| Packed::transposed(gate, h, h)).collect(),
            context: given.input.chunks_exact(h * (e + c)).map(context).collect(),
        }
    }

    fn gate_panels(&self) -> usize {
        self.gate.as_ref().map_or(0, Packed::panels)
    }
}

vectorised! {
    /// gate = σ(product + bias), context = gate ⊙ looked.
    fn open(product: &[f32], bias: &[f32], looked: &[f32], gate: &mut [f32], context: &mut [f32]) {
        let width = gate.len();
        let (product, bias, looked) = (&product[..width], &bias[..width], &looked[..width]);
        let context = &mut context[..width];
        for j in 0..width {
            gate[j] = logistic::<FUSED>(product[j] + bias[j]);
            context[j] = gate[j] * looked[j];
        }
    }
}
