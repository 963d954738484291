//! The attention LSTM as an autograd node, f32, CUDA: five launches a step each way, weight gradients one product for all steps.

use super::{NAME, Sequence, Sizes};
use crate::additive_attention::Counts;
use crate::cuda::{Argument, Gpu, Launch, Memory, Module, THREADS, module};
use crate::node::{Call, Operation, Value, apply_array};
use crate::recurrence::cuda::run::{Layout, NULL, Run, plain, rows, transposed};
use crate::recurrence::steps::Steps;
use candle_core::{Result, Tensor};

static MODULE: Module = module!("attention_lstm");

/// Threads of a warp.
const WARP: usize = 32;

/// [`super::attention_lstm`] on the inputs of [`AttentionLstm`], without draws.
pub fn attention_lstm(
    gpu: &'static dyn Gpu,
    inputs: &[&Tensor],
    sizes: Sizes,
    steps: Steps,
    counts: Option<&Counts>,
) -> Result<Sequence> {
    let counts = counts.map(|counts| counts.tensor().clone());
    let gate = inputs.len() > 11;
    let [hidden, context, alpha] = apply_array(AttentionLstm { gpu, sizes, steps, gate, counts }, inputs)?;
    Ok(Sequence { hidden, context, alpha, positions: None })
}

/// The sequence on xs, keys, annotations, h, c, W_ih, W_hh, b, W_q, b_q, v and perhaps W_β and b_β.
struct AttentionLstm {
    gpu: &'static dyn Gpu,
    sizes: Sizes,
    steps: Steps,
    /// Whether there is a gate β.
    gate: bool,
    /// How many annotations each row has; all without them.
    counts: Option<Tensor>,
}

/// What the steps leave for the backward pass, packed: step behind step with its rows, R in all.
struct Saved {
    /// The sorted rows, see `steps.h`.
    table: Option<Memory>,
    /// W_q, W_β where there is a gate β, and W_hh below each other (S, H).
    stacked: Memory,
    /// Their products with h before each step (R, S).
    sums: Memory,
    /// x (R, E).
    xs: Memory,
    /// The LSTM's gates (R, 4H).
    gates: Memory,
    /// h and c before each step (R, H).
    h: Memory,
    c: Memory,
    /// α (R, P).
    alpha: Memory,
    /// z, β and ẑ (R, C).
    z: Memory,
    beta: Option<Memory>,
    gated: Memory,
}

/// A call on its way.
struct Attending<'a> {
    run: Run<'a>,
    sizes: Sizes,
    counts: Option<&'a Memory>,
}

impl Attending<'_> {
    /// A kernel on a grid of rows and blocks of `threads`, with so many values of shared memory.
    fn launch(
        &self,
        kernel: &'static str,
        (grid, threads, shared): ((usize, usize), usize, usize),
        step: usize,
        arguments: &[Argument],
    ) -> Result<()> {
        if grid.0 * grid.1 == 0 {
            return Ok(());
        }
        let Sizes { n, t, p, .. } = self.sizes;
        let counts = self.counts.map_or(NULL, |counts| counts.at(0));
        let of_rows = [self.run.table_address(), n.into(), t.into(), step.into(), counts, p.into()];
        self.run.gpu.launch(&Launch {
            module: &MODULE,
            kernel,
            grid,
            threads,
            shared: shared * size_of::<f32>(),
            whole_grid: false,
            arguments: &[arguments, &of_rows].concat(),
        })
    }
}

impl Operation for AttentionLstm {
    const NAME: &'static str = NAME;
    type Saved = Saved;

    fn forward(&self, inputs: &[Tensor], _: bool) -> Result<(Vec<Value>, Saved)> {
        let (gpu, sizes, layout) = (self.gpu, self.sizes, self.layout());
        let Sizes { n, t, p, e, c, a, h } = sizes;
        let on = inputs.iter().map(|input| gpu.of(input)).collect::<Result<Vec<_>>>()?;
        let [xs, keys, annotations, h0, c0, input, w_hh, bias, w_query, b_query, v, beta @ ..] = &on[..] else {
            candle_core::bail!("{NAME}: {} inputs", on.len())
        };
        let (table, counts) = (layout.table(gpu, &self.steps)?, self.counts(gpu)?);
        let run = Run { gpu, layout: &layout, table: table.as_ref() };
        let (packed, gate, stack) = (layout.packed, self.gate_width(), self.stack());
        let stacked = self.stacked(w_query, beta.first(), w_hh)?;
        // x W_xᵀ of all steps, onto which each step adds ẑ W_ẑᵀ.
        let (xs, gates) = (run.packed(xs, e)?, gpu.alloc(packed * 4 * h)?);
        let w_x = transposed(input, 0, e + c);
        run.product((packed, 4 * h, e), plain(&xs, 0, e), w_x, rows(&gates, 0, 4 * h), false)?;
        let [sums, alpha, z, gated] =
            [packed * stack, packed * p, packed * c, packed * c].map(|count| gpu.alloc(count));
        let (sums, alpha, z, gated) = (sums?, alpha?, z?, gated?);
        let kept_beta = if gate > 0 { Some(gpu.alloc(packed * c)?) } else { None };
        let [before_h, before_c, scores] = [packed * h, packed * h, n * p].map(|count| gpu.alloc(count));
        let (before_h, before_c, scores) = (before_h?, before_c?, scores?);
        let (hidden, context, alpha_out) = (run.outputs(h)?, run.outputs(c)?, run.outputs(p)?);
        run.start([[h0.at(0), c0.at(0)], [before_h.at(0), before_c.at(0)], [NULL, NULL]])?;
        let on_way = Attending { run, sizes, counts: counts.as_ref() };
        let run = &on_way.run;
        for step in 0..layout.count() {
            let ((first, next), active) = (layout.rows_of(step), run.active(step));
            let of_h = plain(&before_h, first * h, h);
            run.product(
                (active, stack, h),
                of_h,
                transposed(&stacked, 0, h),
                rows(&sums, first * stack, stack),
                false,
            )?;
            let (sum, stride) = (first * stack, stack.into());
            let warps = (active, p.div_ceil(THREADS / WARP));
            let arguments = [keys.at(0), sums.at(sum), stride, b_query.at(0), v.at(0), scores.at(0), a.into()];
            on_way.launch("attention_scores", (warps, THREADS, 0), step, &arguments)?;
            let gate_of = |memory: &Memory, at: usize| if gate > 0 { memory.at(at) } else { NULL };
            let mut arguments = vec![scores.at(0), annotations.at(0), gate_of(&sums, sum + a), stride];
            arguments.push(beta.get(1).map_or(NULL, |bias| bias.at(0)));
            arguments.extend([alpha.at(first * p), alpha_out.at(0), z.at(first * c)]);
            arguments.push(kept_beta.as_ref().map_or(NULL, |beta| beta.at(first * c)));
            arguments.extend([gated.at(first * c), context.at(0), c.into()]);
            let channels = ((active, c.div_ceil(THREADS)), THREADS, p);
            on_way.launch("attention_context", channels, step, &arguments)?;
            let w_context = transposed(input, e, e + c);
            let onto = rows(&gates, first * 4 * h, 4 * h);
            run.product((active, 4 * h, c), plain(&gated, first * c, c), w_context, onto, true)?;
            let mut arguments = vec![gates.at(first * 4 * h), sums.at(sum + a + gate), stride, bias.at(0)];
            arguments.extend([before_c.at(first * h), before_h.at(next * h), before_c.at(next * h), hidden.at(0)]);
            run.step("lstm_forward", step, &[&arguments[..], &[NULL, NULL]].concat())?;
        }
        let outputs = [(hidden, h), (context, c), (alpha_out, p)];
        let values = outputs.into_iter().map(|(memory, width)| gpu.value(memory, (n, t, width).into()));
        let values = values.collect::<Result<_>>()?;
        let (h, c, beta) = (before_h, before_c, kept_beta);
        Ok((values, Saved { table, stacked, sums, xs, gates, h, c, alpha, z, beta, gated }))
    }

    fn backward(&self, call: &Call<Saved>, gradients: &[Tensor]) -> Result<Vec<Option<Tensor>>> {
        let (gpu, sizes, layout, saved) = (self.gpu, self.sizes, self.layout(), call.saved);
        let Sizes { n, p, e, c, a, h, .. } = sizes;
        let on = call.inputs.iter().map(|input| gpu.of(input)).collect::<Result<Vec<_>>>()?;
        let [_, keys, annotations, _, _, input, _, _, _, b_query, v, ..] = &on[..] else {
            candle_core::bail!("{NAME}: {} inputs", on.len())
        };
        let of = gradients.iter().map(|gradient| gpu.of(gradient)).collect::<Result<Vec<_>>>()?;
        let [d_hidden, d_context, d_alpha_out] = &of[..] else { candle_core::bail!("{NAME}: {} gradients", of.len()) };
        let counts = self.counts(gpu)?;
        let run = Run { gpu, layout: &layout, table: saved.table.as_ref() };
        let on_way = Attending { run, sizes, counts: counts.as_ref() };
        let run = &on_way.run;
        let (packed, stack, gate) = (layout.packed, self.stack(), self.gate_width());
        let to_gates = a + gate;
        let [d_sums, d_scores, dz] = [packed * stack, packed * p, packed * c].map(|count| gpu.alloc(count));
        let (d_sums, d_scores, dz) = (d_sums?, d_scores?, dz?);
        let [dh, dc, d_gated, d_alpha] = [n * h, n * h, n * c, n * p].map(|count| gpu.alloc(count));
        let (dh, dc, d_gated, d_alpha) = (dh?, dc?, d_gated?, d_alpha?);
        let stride = Argument::from(stack);
        for step in (0..layout.count()).rev() {
            let ((first, _), active) = (layout.rows_of(step), run.active(step));
            let sum = first * stack;
            let arguments = [saved.gates.at(first * 4 * h), saved.c.at(first * h), dh.at(0), dc.at(0), NULL, NULL];
            let onto = [d_hidden.at(0), d_sums.at(sum + to_gates), stride];
            run.step("lstm_backward", step, &[&arguments[..], &onto].concat())?;
            let d_gates = || plain(&d_sums, sum + to_gates, stack);
            run.product((active, c, 4 * h), d_gates(), plain(input, e, e + c), rows(&d_gated, 0, c), false)?;
            let mut arguments = vec![d_gated.at(0), d_context.at(0), d_alpha_out.at(0), annotations.at(0)];
            arguments.push(saved.z.at(first * c));
            arguments.push(saved.beta.as_ref().map_or(NULL, |beta| beta.at(first * c)));
            arguments.extend([dz.at(first * c), d_sums.at(sum + a), stride, d_alpha.at(0), c.into()]);
            let warps = ((active, p.div_ceil(THREADS / WARP)), THREADS, c);
            on_way.launch("attention_alpha_gradients", warps, step, &arguments)?;
            let mut arguments = vec![saved.alpha.at(first * p), d_alpha.at(0), keys.at(0), saved.sums.at(sum), stride];
            arguments.extend([b_query.at(0), v.at(0), d_scores.at(first * p), d_sums.at(sum), a.into()]);
            let values = ((active, a.div_ceil(4 * WARP)), 4 * WARP, p);
            on_way.launch("attention_query_gradients", values, step, &arguments)?;
            let d_sum = plain(&d_sums, sum, stack);
            run.product((active, h, stack), d_sum, plain(&saved.stacked, 0, h), rows(&dh, 0, h), false)?;
        }
        let d_gates = || plain(&d_sums, to_gates, stack);
        let of_xs = || {
            let dxs = gpu.alloc(packed * e)?;
            run.product((packed, e, 4 * h), d_gates(), plain(input, 0, e + c), rows(&dxs, 0, e), false)?;
            run.unpacked(&dxs, e)
        };
        let every = |width: usize| ((n, p), width.next_multiple_of(WARP).min(THREADS), 0);
        let (d_keys, d_v) = (gpu.alloc(n * p * a)?, gpu.alloc(n * p * a)?);
        let mut arguments = vec![keys.at(0), saved.sums.at(0), stride, b_query.at(0), v.at(0), d_scores.at(0)];
        arguments.extend([d_keys.at(0), d_v.at(0), a.into()]);
        on_way.launch("attention_key_gradients", every(a), 0, &arguments)?;
        let of_annotations = || {
            let found = gpu.alloc(n * p * c)?;
            let arguments = [saved.alpha.at(0), dz.at(0), found.at(0), c.into()];
            on_way.launch("attention_annotation_gradients", every(c), 0, &arguments)?;
            Ok(found)
        };
        let (dh0, dc0) = (gpu.alloc(n * h)?, gpu.alloc(n * h)?);
        run.start_gradients([[dh.at(0), dc.at(0)], [NULL, NULL], [dh0.at(0), dc0.at(0)]])?;
        let of_input = || {
            // W_x and W_ẑ side by side; without steps both are 0.
            let found = gpu.zeros(4 * h * (e + c))?;
            let gates = || transposed(&d_sums, to_gates, stack);
            run.product((4 * h, e, packed), gates(), plain(&saved.xs, 0, e), rows(&found, 0, e + c), false)?;
            run.product((4 * h, c, packed), gates(), plain(&saved.gated, 0, c), rows(&found, e, e + c), false)?;
            Ok(found)
        };
        // Those of W_q, W_β and W_hh and of b_q, b_β and b below each other.
        let tensor =
            |memory: Memory, shape: &[usize]| Ok::<_, candle_core::Error>(gpu.value(memory, shape.into())?.tensor());
        let weights = tensor(run.weight(&d_sums, stack, &saved.h, h)?, &[stack, h])?;
        let biases = tensor(run.sum(&d_sums, packed, stack)?, &[stack])?;
        let of_v = tensor(run.sum(&d_v, n * p, a)?, &[a])?;
        let part = |all: &Tensor, start: usize, count: usize| all.narrow(0, start, count).map(Some);
        let value = |input: usize, gradient: &dyn Fn() -> Result<Memory>| {
            call.wants(input).then(|| tensor(gradient()?, call.inputs[input].dims())).transpose()
        };
        let mut found = vec![
            value(0, &of_xs)?,
            Some(tensor(d_keys, &[n, p, a])?),
            value(2, &of_annotations)?,
            Some(tensor(dh0, &[n, h])?),
            Some(tensor(dc0, &[n, h])?),
            value(5, &of_input)?,
            part(&weights, to_gates, 4 * h)?,
            part(&biases, to_gates, 4 * h)?,
            part(&weights, 0, a)?,
            part(&biases, 0, a)?,
            Some(of_v),
        ];
        if gate > 0 {
            found.extend([part(&weights, a, c)?, part(&biases, a, c)?]);
        }
        Ok(found)
    }
}

impl AttentionLstm {
    fn layout(&self) -> Layout {
        let Sizes { n, t, e, h, .. } = self.sizes;
        Layout::new((n, t, e), h, &self.steps)
    }

    /// C where there is a gate β, or 0.
    fn gate_width(&self) -> usize {
        if self.gate { self.sizes.c } else { 0 }
    }

    /// S, the rows of all matrices that are multiplied with h.
    fn stack(&self) -> usize {
        self.sizes.a + self.gate_width() + 4 * self.sizes.h
    }

    /// W_q, W_β and W_hh below each other.
    fn stacked(&self, w_query: &Memory, w_beta: Option<&Memory>, w_hh: &Memory) -> Result<Memory> {
        let Sizes { a, h, .. } = self.sizes;
        let count = self.stack() * h;
        let stacked = self.gpu.alloc(count)?;
        let from = [w_query.at(0), w_beta.map_or(NULL, |weight| weight.at(0)), w_hh.at(0), stacked.at(0)];
        let counts = [a * h, self.gate_width() * h, 4 * h * h].map(Argument::from);
        self.gpu.launch(&Launch {
            module: &MODULE,
            kernel: "stack_rows",
            grid: (count.div_ceil(THREADS), 1),
            threads: THREADS,
            shared: 0,
            whole_grid: false,
            arguments: &[&from[..], &counts].concat(),
        })?;
        Ok(stacked)
    }

    fn counts(&self, gpu: &dyn Gpu) -> Result<Option<Memory>> {
        self.counts.as_ref().map(|counts| gpu.of(counts)).transpose()
    }
}
