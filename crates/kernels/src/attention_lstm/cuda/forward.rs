//! The steps of the attention LSTM on CUDA.

use super::{Attending, AttentionLstm, Grid, Inputs, MODULE, Saved, WARP, row, start};
use crate::attention_lstm::{NAME, Sizes};
use crate::cuda::{Argument, Matrix, Memory, Side, THREADS, in_half};
use crate::node::Value;
use crate::recurrence::cuda::run::{NULL, Run};
use candle_core::Result;

/// h, ẑ and α of each step (N, T, ·), and what the backward pass needs.
pub fn run(op: &AttentionLstm, on: &Inputs) -> Result<(Vec<Value>, Saved)> {
    let (gpu, sizes, layout, stack) = (op.gpu, op.sizes, op.layout(), op.stack());
    let Sizes { n, t, p, e, c, h, .. } = sizes;
    let table = layout.table(gpu, &op.steps)?;
    let attending = Attending {
        run: Run { gpu, layout: &layout, table: table.as_ref() },
        sizes,
        counts: start(on.counts.as_ref()),
    };
    let (run, packed) = (&attending.run, layout.packed);
    // x W_xᵀ of all steps, onto which each step adds ẑ W_ẑᵀ.
    let (xs, gates) = (run.packed(&on.xs, run.factor(packed, e)?)?, run.matrix(packed, 4 * h)?);
    let [w_input_half, _] = in_half(gpu, &on.w_input, None)?;
    let w_x = Side::Transposed(op.input_weights(&on.w_input, w_input_half.as_ref(), false));
    run.gpu.multiply((packed, 4 * h, e), Side::Plain(xs.rows(0)), w_x, gates.rows(0), false)?;
    let saved = Saved {
        stacked: stacked(op, on)?,
        sums: run.matrix(packed, stack)?,
        xs,
        gates,
        h: run.factor(packed, h)?,
        c: run.matrix(packed, h)?,
        alpha: run.matrix(packed, p)?,
        z: run.matrix(packed, c)?,
        chosen: on.draws.as_ref().map(|_| run.matrix(packed, 1)).transpose()?,
        beta: op.gate.then(|| run.matrix(packed, c)).transpose()?,
        gated: run.factor(packed, c)?,
        half: gpu.half(),
        w_input_half,
        table: None,
    };
    let mut outputs = vec![run.outputs(h)?, run.outputs(c)?, run.outputs(p)?];
    if on.draws.is_some() {
        outputs.push(run.outputs(1)?);
    }
    let scores = run.matrix(n, p)?;
    let states = [[on.h.at(0), on.c.at(0)], [saved.h.row(0), saved.c.row(0)], [NULL, NULL]];
    run.start(states, saved.h.half(0, 0))?;
    for step in 0..layout.count() {
        let ((first, next), active) = (layout.rows_of(step), run.active(step));
        let weights = Side::Transposed(saved.stacked.rows(0));
        let of_h = Side::Plain(saved.h.rows(first));
        run.gpu.multiply((active, stack, h), of_h, weights, saved.sums.rows(first), false)?;
        attend(op, &attending, on, step, &scores, &saved, &outputs)?;
        let w_context = Side::Transposed(op.input_weights(&on.w_input, saved.w_input_half.as_ref(), true));
        let of_context = Side::Plain(saved.gated.rows(first));
        run.gpu.multiply((active, 4 * h, c), of_context, w_context, saved.gates.rows(first), true)?;
        let of_h = [saved.sums.value(first, op.gates_start()), stack.into()];
        let next_h = [saved.h.row(next), saved.h.half(next, 0)];
        let states = [saved.c.row(first), next_h[0], next_h[1], saved.c.row(next), outputs[0].at(0), NULL, NULL];
        run.step("lstm_forward", step, &[&[saved.gates.row(first)], &of_h[..], &[on.bias.at(0)], &states].concat())?;
    }
    let shapes: [&[usize]; 4] = [&[n, t, h], &[n, t, c], &[n, t, p], &[n, t]];
    let values = outputs.into_iter().zip(shapes).map(|(memory, shape)| gpu.value(memory, shape.into()));
    Ok((values.collect::<Result<_>>()?, Saved { table, ..saved }))
}

/// α, z and ẑ of a step from its sums.
fn attend(
    op: &AttentionLstm,
    attending: &Attending,
    on: &Inputs,
    step: usize,
    scores: &Matrix,
    saved: &Saved,
    outputs: &[Memory],
) -> Result<()> {
    let [_, context, alpha, positions @ ..] = outputs else { candle_core::bail!("{NAME}: too few outputs") };
    let Sizes { p, c, a, .. } = op.sizes;
    let ((first, _), active) = (attending.run.layout.rows_of(step), attending.run.active(step));
    let stride = Argument::from(op.stack());
    let warps = Grid { blocks: p.div_ceil(THREADS / WARP), threads: THREADS, shared: 0 };
    let query = [saved.sums.row(first), stride, on.b_query.at(0), on.v.at(0)];
    let arguments = [&[on.keys.at(0)], &query[..], &[scores.row(0), a.into()]].concat();
    attending.launch("attention_scores", active, warps, step, &arguments)?;
    let gate = match &on.beta {
        Some((_, bias)) => [saved.sums.value(first, a), stride, bias.at(0)],
        None => [NULL, stride, NULL],
    };
    let mut arguments = vec![scores.row(0), on.annotations.at(0)];
    arguments.extend(gate);
    arguments.extend([saved.alpha.row(first), alpha.at(0)]);
    arguments.extend([start(on.draws.as_ref()), row(saved.chosen.as_ref(), first), start(positions.first())]);
    arguments.extend([saved.z.row(first), row(saved.beta.as_ref(), first)]);
    arguments.extend([saved.gated.row(first), saved.gated.half(first, 0), context.at(0), c.into()]);
    let channels = Grid { blocks: c.div_ceil(THREADS), threads: THREADS, shared: p + 1 };
    attending.launch("attention_context", active, channels, step, &arguments)
}

/// W_q, W_β and W_hh below each other.
fn stacked(op: &AttentionLstm, on: &Inputs) -> Result<Matrix> {
    let Sizes { a, h, .. } = op.sizes;
    let stacked = Matrix::factor(op.gpu, op.stack(), h)?;
    let w_beta = start(on.beta.as_ref().map(|(weight, _)| weight));
    let from = [on.w_query.at(0), w_beta, on.w_hidden.at(0), stacked.row(0), stacked.half(0, 0)];
    let counts = [a * h, op.gate_width() * h, 4 * h * h].map(Argument::from);
    op.gpu.launch_each(&MODULE, "stack_rows", op.stack() * h, &[&from[..], &counts].concat())?;
    Ok(stacked)
}
