//! The attentive LSTM in f32 on the CPU, going forward.
//!
//! Each step has three phases: the products with h (query, gate and the LSTM's own, a panel of columns a chunk), the look at
//! the annotations (a row a chunk), and the product with ẑ and the LSTM's gates (a block of hidden units a chunk).

use super::{NAME, Sizes, backward, position};
use crate::attend::rows;
use crate::node::{Call, Operation, Value, with_all_f32};
use crate::product::bf16::{self, RoundedRows};
use crate::product::{Left, PANEL, Packed, Right, gemm_into};
use crate::recurrence::gates::{Blocks, four, lstm_forward};
use crate::recurrence::steps::Steps;
use crate::smooth::{logistic, vectorised};
use crate::team::{self, Shared};
use candle_core::{Result, Tensor};
use rayon::prelude::*;

/// The sequence on xs, keys, annotations, h, c, W_ih, W_hh, b, W_q, b_q, v and, with a gate, W_β and b_β.
pub struct Attentive {
    pub sizes: Sizes,
    pub steps: Steps,
    /// How many annotations each row has; all without them.
    pub counts: Option<Vec<u32>>,
    /// A number for each of the N·T steps, which chooses the position that it looks at; a step looks at all without them.
    pub draws: Option<Vec<f32>>,
}

/// What the steps leave for the backward pass, a row of each (N·T, ·) for each row and step.
pub struct Saved {
    /// [x; ẑ], (N·T, E + C).
    pub inputs: Vec<f32>,
    /// h before the step, (N·T, H).
    pub previous: Vec<f32>,
    /// The LSTM's gates and c before the step, (N·T, 5H), in blocks of hidden units.
    pub gates: Vec<f32>,
    /// W_q h + b_q, (N·T, A).
    pub query: Vec<f32>,
    /// z, (N·T, C).
    pub looked: Vec<f32>,
    /// σ(W_β h + b_β), (N·T, C); nothing without a gate.
    pub gate: Vec<f32>,
}

impl Operation for Attentive {
    type Saved = Saved;

    fn name(&self) -> &'static str {
        NAME
    }

    fn forward(&self, inputs: &[Tensor], _: bool) -> Result<(Vec<Value>, Saved)> {
        let Sizes { n, t, p, c, h, .. } = self.sizes;
        let ([hidden, context, alpha], saved) = with_all_f32(NAME, inputs, |values| self.run(&Slices::of(values)))?;
        let outputs = [Value::new(hidden, (n, t, h)), Value::new(context, (n, t, c)), Value::new(alpha, (n, t, p))];
        Ok((outputs.into(), saved))
    }

    fn backward(&self, call: &Call<Saved>, gradients: &[Tensor]) -> Result<Vec<Option<Tensor>>> {
        backward::gradients(self, call, gradients)
    }
}

/// The inputs as slices.
pub struct Slices<'a> {
    pub xs: &'a [f32],
    pub keys: &'a [f32],
    pub annotations: &'a [f32],
    pub h: &'a [f32],
    pub c: &'a [f32],
    pub input: &'a [f32],
    pub hidden: &'a [f32],
    pub bias: &'a [f32],
    pub query: (&'a [f32], &'a [f32]),
    pub v: &'a [f32],
    pub gate: Option<(&'a [f32], &'a [f32])>,
}

impl<'a> Slices<'a> {
    pub fn of(values: &[&'a [f32]]) -> Self {
        Self {
            xs: values[0],
            keys: values[1],
            annotations: values[2],
            h: values[3],
            c: values[4],
            input: values[5],
            hidden: values[6],
            bias: values[7],
            query: (values[8], values[9]),
            v: values[10],
            gate: values.get(11).copied().zip(values.get(12).copied()),
        }
    }
}

/// Hidden units of a block, times four gates.
const WIDE: usize = 4 * PANEL;

impl Attentive {
    /// hidden, context and alpha, and what is kept.
    fn run(&self, given: &Slices) -> ([Vec<f32>; 3], Saved) {
        let Sizes { n, t, p, e, c, a, h } = self.sizes;
        let (order, active) = self.steps.sorted(n);
        let weights = Weights::new(given, self.sizes);
        let mut saved = Saved {
            inputs: vec![0.0; n * t * (e + c)],
            previous: vec![0.0; n * t * h],
            gates: vec![0.0; n * t * 5 * h],
            query: vec![0.0; n * t * a],
            looked: vec![0.0; n * t * c],
            gate: vec![0.0; if given.gate.is_some() { n * t * c } else { 0 }],
        };
        let of_inputs = e + c;
        let words = saved.inputs.par_chunks_mut(of_inputs).zip(given.xs.par_chunks(e.max(1))).enumerate();
        // What padding holds may be NaN, which a gradient of 0 does not make 0.
        let words = words.filter(|(at, _)| at % t < self.steps.length(at / t));
        words.for_each(|(_, (row, x))| row[..e].copy_from_slice(x));
        let projected = self.projected(given, &saved.inputs);
        let mut outputs = [vec![0f32; n * t * h], vec![0f32; n * t * c], vec![0f32; n * t * p]];
        let mut cells = given.c.to_vec();
        let mut state: Vec<f32> = order.iter().flat_map(|&row| &given.h[row * h..][..h]).copied().collect();
        state.extend_from_within(..);
        // Both halves of the state and the contexts, where they are rounded.
        let path = weights.query.path();
        let (states, of_contexts) = ([(); 2].map(|()| RoundedRows::new(path, n, h)), RoundedRows::new(path, n, c));
        for (sorted, state) in state[..n * h].chunks_exact(h.max(1)).enumerate() {
            // SAFETY: nobody else is here yet.
            unsafe { states[0].write(sorted, 0, state) };
        }
        // A panel's products, row after row: of the query, of the gate, and of the four gates of a block of units.
        let (of_query, of_gate, blocks) = (weights.query.panels(), weights.gate_panels(), h.div_ceil(PANEL));
        let mut queries = vec![0f32; of_query * n * PANEL];
        let mut openings = vec![0f32; of_gate * n * PANEL];
        let mut units = vec![0f32; blocks * n * WIDE];
        let mut contexts = vec![0f32; n * c];
        {
            let [hidden, context, alpha] = &mut outputs;
            let (hidden, context, alpha) = (Shared::new(hidden), Shared::new(context), Shared::new(alpha));
            let (inputs, previous) = (Shared::new(&mut saved.inputs), Shared::new(&mut saved.previous));
            let (gates, query) = (Shared::new(&mut saved.gates), Shared::new(&mut saved.query));
            let (looked, gate) = (Shared::new(&mut saved.looked), Shared::new(&mut saved.gate));
            let (state, cells, contexts) =
                (Shared::new(&mut state), Shared::new(&mut cells), Shared::new(&mut contexts));
            let (queries, openings, units) =
                (Shared::new(&mut queries), Shared::new(&mut openings), Shared::new(&mut units));
            // SAFETY of the three phases: what a phase writes is its chunk's own (panels, rows, or units of the other half of
            // the state), and what it reads was written in phases before.
            let products = |step: usize, chunk: usize| {
                let rows = active[step];
                let left = Left::rows(unsafe { state.read(step % 2 * n * h, rows * h) }, rows, h);
                let left = left.with(unsafe { states[step % 2].read(rows) });
                if let Some(block) = chunk.checked_sub(of_query + of_gate) {
                    let into = unsafe { units.write(block * n * WIDE, rows * WIDE) };
                    for (gate, packed) in weights.hidden.iter().enumerate() {
                        packed.multiply(left, block, &mut into[gate * PANEL..], WIDE, false);
                    }
                } else if let Some(panel) = chunk.checked_sub(of_query) {
                    let into = unsafe { openings.write(panel * n * PANEL, rows * PANEL) };
                    weights.gate.iter().for_each(|packed| packed.multiply(left, panel, into, PANEL, false));
                } else {
                    let into = unsafe { queries.write(chunk * n * PANEL, rows * PANEL) };
                    weights.query.multiply(left, chunk, into, PANEL, false);
                }
            };
            let look = |step: usize, sorted: usize| {
                let row = order[sorted];
                let at = row * t + step;
                // α stays 0 at the annotations that the row does not have, and with it all their gradients.
                let count = self.count(row);
                let (query, alpha) = unsafe { (query.write(at * a, a), alpha.write(at * p, count)) };
                for (panel, (query, bias)) in query.chunks_mut(PANEL).zip(given.query.1.chunks(PANEL)).enumerate() {
                    let product = unsafe { queries.read((panel * n + sorted) * PANEL, query.len()) };
                    query.iter_mut().zip(product.iter().zip(bias)).for_each(|(query, (x, b))| *query = x + b);
                }
                rows::weights(&given.keys[row * p * a..][..count * a], query, given.v, alpha);
                let looked = unsafe { looked.write(at * c, c) };
                let annotations = &given.annotations[row * p * c..][..count * c];
                match self.chosen(at, alpha) {
                    Some(position) => looked.copy_from_slice(&annotations[position * c..][..c]),
                    None => {
                        looked.fill(0.0);
                        rows::mean(annotations, alpha, looked);
                    }
                }
                let context = unsafe { context.write(at * c, c) };
                match given.gate {
                    None => context.copy_from_slice(looked),
                    Some((_, bias)) => {
                        let gate = unsafe { gate.write(at * c, c) };
                        for panel in 0..of_gate {
                            let span = panel * PANEL..c.min((panel + 1) * PANEL);
                            let product = unsafe { openings.read((panel * n + sorted) * PANEL, span.len()) };
                            let (gate, context) = (&mut gate[span.clone()], &mut context[span.clone()]);
                            open(product, &bias[span.clone()], &looked[span], gate, context);
                        }
                    }
                }
                unsafe {
                    contexts.write(sorted * c, c).copy_from_slice(context);
                    of_contexts.write(sorted, 0, context);
                    inputs.write(at * of_inputs + e, c).copy_from_slice(context);
                }
            };
            let update = |step: usize, block: usize| {
                let rows = active[step];
                let (start, width) = (block * PANEL, PANEL.min(h - block * PANEL));
                let (from, to) = (step % 2 * n * h, (step + 1) % 2 * n * h);
                let unit = unsafe { units.write(block * n * WIDE, rows * WIDE) };
                let left = Left::rows(unsafe { contexts.read(0, rows * c) }, rows, c);
                let left = left.with(unsafe { of_contexts.read(rows) });
                for (gate, packed) in weights.context.iter().enumerate() {
                    packed.multiply(left, block, &mut unit[gate * PANEL..], WIDE, true);
                }
                for (sorted, &row) in order[..rows].iter().enumerate() {
                    let at = row * t + step;
                    unsafe {
                        let new = state.write(to + sorted * h + start, width);
                        let old = state.read(from + sorted * h + start, width);
                        previous.write(at * h + start, width).copy_from_slice(old);
                        let (kept, before) = gates.write((at * h + start) * 5, 5 * width).split_at_mut(4 * width);
                        let of_input = Blocks { values: &projected[at * 4 * h + start..], stride: h };
                        let sums = Blocks { values: &unit[sorted * WIDE..][..WIDE], stride: PANEL };
                        let cells = cells.write(row * h + start, width);
                        lstm_forward([of_input, sums], four(kept, width), new, cells, before);
                        hidden.write(at * h + start, width).copy_from_slice(new);
                        states[(step + 1) % 2].write(sorted, start, new);
                    }
                }
            };
            let chunks = |phase: usize| match phase % 3 {
                0 => of_query + of_gate + blocks,
                1 => active[phase / 3],
                _ => blocks,
            };
            let work = |phase: usize, chunk: usize| match phase % 3 {
                0 => products(phase / 3, chunk),
                1 => look(phase / 3, chunk),
                _ => update(phase / 3, chunk),
            };
            team::run(rayon::current_num_threads(), 3 * active.len(), chunks, work);
        }
        (outputs, saved)
    }

    /// How many annotations a row has.
    pub fn count(&self, row: usize) -> usize {
        self.counts.as_ref().map_or(self.sizes.p, |counts| counts[row] as usize)
    }

    /// The position that the step at `at` of the N·T looks at, where it looks at one.
    pub fn chosen(&self, at: usize, alpha: &[f32]) -> Option<usize> {
        self.draws.as_ref().map(|draws| position(alpha, draws[at]))
    }

    /// The words' part of the LSTM's input, bias included, for all steps: (N·T, 4H).
    fn projected(&self, given: &Slices, inputs: &[f32]) -> Vec<f32> {
        let Sizes { n, t, e, c, h, .. } = self.sizes;
        gemm_into(inputs, (e + c, 1), given.input, (1, e + c), (n * t, 4 * h, e), Some(given.bias))
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
