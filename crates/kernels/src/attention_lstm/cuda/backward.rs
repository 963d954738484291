//! The gradients of the attention LSTM on CUDA.

use super::{Attending, AttentionLstm, Grid, Inputs, Saved, WARP, row, start};
use crate::attention_lstm::{NAME, Sizes};
use crate::cuda::{Argument, Matrix, Memory, Rows, Side, THREADS, check_half, column_sums};
use crate::node::{Call, Value};
use crate::recurrence::cuda::run::{NULL, Run};
use candle_core::{Result, Tensor};

/// What the steps leave on their way back.
struct Gradients {
    /// Of the sums (R, S), in which those of the LSTM's gates are the last.
    sums: Matrix,
    /// Of e (R, P).
    scores: Matrix,
    /// Of z (R, C).
    z: Matrix,
    /// Of the states before the first step, in sorted rows (N, H).
    h: Matrix,
    c: Matrix,
}

/// The gradients of the inputs in their order.
pub fn run(op: &AttentionLstm, on: &Inputs, call: &Call<Saved>, gradients: &[Tensor]) -> Result<Vec<Option<Tensor>>> {
    let (gpu, saved, layout) = (op.gpu, call.saved, op.layout());
    check_half(gpu, saved.half)?;
    let outer = gradients.iter().map(|gradient| gpu.of(gradient)).collect::<Result<Vec<_>>>()?;
    let attending = Attending {
        run: Run { gpu, layout: &layout, table: saved.table.as_ref() },
        sizes: op.sizes,
        counts: start(on.counts.as_ref()),
    };
    let found = back_through_steps(op, &attending, on, saved, &outer)?;
    input_gradients(op, &attending, on, call, &found)
}

fn back_through_steps(
    op: &AttentionLstm,
    attending: &Attending,
    on: &Inputs,
    saved: &Saved,
    outer: &[Memory],
) -> Result<Gradients> {
    let [d_hidden, d_context, d_alpha, ..] = outer else { candle_core::bail!("{NAME}: {} gradients", outer.len()) };
    let (run, Sizes { n, p, c, a, h, .. }) = (&attending.run, op.sizes);
    let (packed, stack, gates) = (run.layout.packed, op.stack(), op.gates_start());
    let found = Gradients {
        sums: run.factor(packed, stack)?,
        scores: run.matrix(packed, p)?,
        z: run.matrix(packed, c)?,
        h: run.matrix(n, h)?,
        c: run.matrix(n, h)?,
    };
    let (of_gated, of_alpha) = (run.matrix(n, c)?, run.matrix(n, p)?);
    let stride = Argument::from(stack);
    for step in (0..run.layout.count()).rev() {
        let ((first, _), active) = (run.layout.rows_of(step), run.active(step));
        let states = [saved.gates.row(first), saved.c.row(first), found.h.row(0), found.c.row(0), NULL, NULL];
        let onto = [d_hidden.at(0), found.sums.value(first, gates), found.sums.half(first, gates), stride];
        run.step("lstm_backward", step, &[&states[..], &onto].concat())?;
        let of_gates = Side::Plain(found.sums.part(first, gates));
        let w_context = Side::Plain(op.input_weights(&on.w_input, saved.w_input_half.as_ref(), true));
        run.gpu.multiply((active, c, 4 * h), of_gates, w_context, of_gated.rows(0), false)?;

        let from = [of_gated.row(0), d_context.at(0), d_alpha.at(0), on.annotations.at(0), on.draws.is_some().into()];
        let beta = [saved.z.row(first), row(saved.beta.as_ref(), first)];
        let of_gate = [found.sums.value(first, a), found.sums.half(first, a), stride];
        let onto = [&[found.z.row(first)], &of_gate[..], &[of_alpha.row(0), c.into()]].concat();
        let warps = Grid { blocks: p.div_ceil(THREADS / WARP), threads: THREADS, shared: c };
        attending.launch("attention_alpha_gradients", active, warps, step, &[&from[..], &beta, &onto].concat())?;

        let from = [saved.alpha.row(first), of_alpha.row(0), on.keys.at(0), saved.sums.row(first), stride];
        let of_sums = [found.sums.row(first), found.sums.half(first, 0), a.into()];
        let onto = [&[on.b_query.at(0), on.v.at(0), found.scores.row(first)], &of_sums[..]].concat();
        let values = Grid { blocks: a.div_ceil(4 * WARP), threads: 4 * WARP, shared: p };
        attending.launch("attention_query_gradients", active, values, step, &[&from[..], &onto].concat())?;

        let weights = Side::Plain(saved.stacked.rows(0));
        run.gpu.multiply((active, h, stack), Side::Plain(found.sums.rows(first)), weights, found.h.rows(0), false)?;
    }
    Ok(found)
}

fn input_gradients(
    op: &AttentionLstm,
    attending: &Attending,
    on: &Inputs,
    call: &Call<Saved>,
    found: &Gradients,
) -> Result<Vec<Option<Tensor>>> {
    let (gpu, run, saved) = (op.gpu, &attending.run, call.saved);
    let Sizes { n, p, e, c, a, h, .. } = op.sizes;
    let (packed, stack, gates) = (run.layout.packed, op.stack(), op.gates_start());
    let tensor = |memory: Memory, shape: &[usize]| gpu.value(memory, shape.into()).map(Value::tensor);
    let every = |width: usize| Grid { blocks: p, threads: width.next_multiple_of(WARP).min(THREADS), shared: 0 };
    let of_xs = || {
        let w_x = Side::Plain(op.input_weights(&on.w_input, saved.w_input_half.as_ref(), false));
        let dxs = run.matrix(packed, e)?;
        run.gpu.multiply((packed, e, 4 * h), Side::Plain(found.sums.part(0, gates)), w_x, dxs.rows(0), false)?;
        run.unpacked(&dxs)
    };
    let of_annotations = || {
        let of = gpu.alloc(n * p * c)?;
        let arguments = [saved.alpha.row(0), row(saved.chosen.as_ref(), 0), found.z.row(0), of.at(0), c.into()];
        attending.launch("attention_annotation_gradients", n, every(c), 0, &arguments)?;
        Ok(of)
    };
    let of_input = || {
        // W_x and W_ẑ side by side; without steps both are 0.
        let of = gpu.zeros(4 * h * (e + c))?;
        for (start, xs) in [(0, &saved.xs), (e, &saved.gated)] {
            let (of_gates, onto) = (found.sums.part(0, gates), Rows { memory: &of, half: None, start, stride: e + c });
            run.gpu.multiply(
                (4 * h, xs.width, packed),
                Side::Transposed(of_gates),
                Side::Plain(xs.rows(0)),
                onto,
                false,
            )?;
        }
        Ok(of)
    };
    // Of the keys, and each key's part in the gradient of v.
    let (of_keys, of_v) = (gpu.alloc(n * p * a)?, run.matrix(n * p, a)?);
    let query = [saved.sums.row(0), stack.into(), on.b_query.at(0), on.v.at(0), found.scores.row(0)];
    let arguments = [&[on.keys.at(0)], &query[..], &[of_keys.at(0), of_v.row(0), a.into()]].concat();
    attending.launch("attention_key_gradients", n, every(a), 0, &arguments)?;
    let (of_h, of_c) = (gpu.alloc(n * h)?, gpu.alloc(n * h)?);
    run.start_gradients([[found.h.row(0), found.c.row(0)], [NULL, NULL], [of_h.at(0), of_c.at(0)]])?;
    // Those of W_q, W_β and W_hh, and of b_q, b_β and b, below each other.
    let weights = tensor(run.weight(&found.sums, &saved.h)?, &[stack, h])?;
    let biases = tensor(column_sums(gpu, &found.sums, packed)?, &[stack])?;
    let part = |all: &Tensor, start: usize, count: usize| all.narrow(0, start, count).map(Some);
    let wanted = |input: usize, gradient: &dyn Fn() -> Result<Memory>| {
        call.wants(input).then(|| tensor(gradient()?, call.inputs[input].dims())).transpose()
    };
    let mut all = vec![
        wanted(0, &of_xs)?,
        Some(tensor(of_keys, &[n, p, a])?),
        wanted(2, &of_annotations)?,
        Some(tensor(of_h, &[n, h])?),
        Some(tensor(of_c, &[n, h])?),
        wanted(5, &of_input)?,
        part(&weights, gates, 4 * h)?,
        part(&biases, gates, 4 * h)?,
        part(&weights, 0, a)?,
        part(&biases, 0, a)?,
        Some(tensor(column_sums(gpu, &of_v, n * p)?, &[a])?),
    ];
    if op.gate {
        all.extend([part(&weights, a, c)?, part(&biases, a, c)?]);
    }
    Ok(all)
}
