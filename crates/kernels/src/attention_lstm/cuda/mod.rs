//! The attention LSTM as an autograd node, f32, CUDA: five launches a step each way, weight gradients one product for all steps.

mod backward;
mod forward;

use super::{NAME, Options, Sequence, Sizes};
use crate::cuda::{Argument, Gpu, Half, Launch, Matrix, Memory, Module, Rows, module};
use crate::node::{Call, Operation, Value, apply_array};
use crate::recurrence::cuda::run::{Layout, NULL, Run};
use crate::recurrence::steps::Steps;
use candle_core::{DType, Result, Tensor};

static MODULE: Module = module!("attention_lstm" of half precision);

/// Threads of a warp.
const WARP: usize = 32;

/// Values of shared memory that a block has without asking.
const SHARED: usize = (48 << 10) / size_of::<f32>();

/// Whether a block holds the weights of all positions with the one that is drawn, and the gradients of all channels.
pub fn serves(sizes: Sizes) -> bool {
    (sizes.p + 1).max(sizes.c) <= SHARED
}

/// [`super::attention_lstm`] on the inputs of [`AttentionLstm`].
pub fn attention_lstm(
    gpu: &'static dyn Gpu,
    inputs: &[&Tensor],
    sizes: Sizes,
    steps: Steps,
    Options { counts, draws, .. }: Options,
) -> Result<Sequence> {
    let counts = counts.map(|counts| counts.tensor().clone());
    let op = AttentionLstm { gpu, sizes, steps, gate: inputs.len() > 11, counts, draws: draws.cloned() };
    if draws.is_none() {
        let [hidden, context, alpha] = apply_array(op, inputs)?;
        return Ok(Sequence { hidden, context, alpha, positions: None });
    }
    let [hidden, context, alpha, positions] = apply_array(op, inputs)?;
    Ok(Sequence { hidden, context, alpha, positions: Some(positions.detach().to_dtype(DType::U32)?) })
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
    /// The numbers (N, T) that choose positions, where attention is hard.
    draws: Option<Tensor>,
}

/// What the steps leave for the backward pass, packed: step behind step with its rows, R in all.
struct Saved {
    /// The sorted rows, see `steps.h`.
    table: Option<Memory>,
    /// W_q, W_β where there is a gate β, and W_hh below each other (S, H).
    stacked: Matrix,
    /// Their products with h before each step (R, S).
    sums: Matrix,
    /// x (R, E).
    xs: Matrix,
    /// The LSTM's gates (R, 4H).
    gates: Matrix,
    /// h before each step (R, H).
    h: Matrix,
    /// c before each step (R, H).
    c: Matrix,
    /// α (R, P).
    alpha: Matrix,
    /// z (R, C).
    z: Matrix,
    /// The positions that were drawn (R, 1).
    chosen: Option<Matrix>,
    /// β (R, C).
    beta: Option<Matrix>,
    /// ẑ (R, C).
    gated: Matrix,
    /// What sides of products were rounded to.
    half: Option<Half>,
    /// W_x and W_ẑ (4H, E + C) in half precision, where products are of that.
    w_input_half: Option<Memory>,
}

/// The inputs on the device.
struct Inputs {
    xs: Memory,
    keys: Memory,
    annotations: Memory,
    h: Memory,
    c: Memory,
    w_input: Memory,
    w_hidden: Memory,
    bias: Memory,
    w_query: Memory,
    b_query: Memory,
    v: Memory,
    beta: Option<(Memory, Memory)>,
    counts: Option<Memory>,
    draws: Option<Memory>,
}

impl Operation for AttentionLstm {
    const NAME: &'static str = NAME;
    type Saved = Saved;

    fn forward(&self, inputs: &[Tensor], _: bool) -> Result<(Vec<Value>, Saved)> {
        forward::run(self, &self.inputs(inputs)?)
    }

    fn backward(&self, call: &Call<Saved>, gradients: &[Tensor]) -> Result<Vec<Option<Tensor>>> {
        backward::run(self, &self.inputs(call.inputs)?, call, gradients)
    }
}

impl AttentionLstm {
    fn inputs(&self, inputs: &[Tensor]) -> Result<Inputs> {
        let mut all = inputs.iter().map(|input| self.gpu.of(input));
        let mut next = || all.next().unwrap_or_else(|| candle_core::bail!("{NAME}: an input is missing"));
        Ok(Inputs {
            xs: next()?,
            keys: next()?,
            annotations: next()?,
            h: next()?,
            c: next()?,
            w_input: next()?,
            w_hidden: next()?,
            bias: next()?,
            w_query: next()?,
            b_query: next()?,
            v: next()?,
            beta: if self.gate { Some((next()?, next()?)) } else { None },
            counts: self.counts.as_ref().map(|counts| self.gpu.of(counts)).transpose()?,
            draws: self.draws.as_ref().map(|draws| self.gpu.of(draws)).transpose()?,
        })
    }

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

    /// Where W_hh begins among them.
    fn gates_start(&self) -> usize {
        self.sizes.a + self.gate_width()
    }

    /// W_x or W_ẑ within the LSTM's input weights (4H, E + C).
    fn input_weights<'a>(&self, memory: &'a Memory, half: Option<&'a Memory>, of_context: bool) -> Rows<'a> {
        let Sizes { e, c, .. } = self.sizes;
        Rows { memory, half, start: if of_context { e } else { 0 }, stride: e + c }
    }
}

/// A call on its way.
struct Attending<'a> {
    run: Run<'a>,
    sizes: Sizes,
    counts: Argument,
}

/// Blocks for each row, threads of a block, and values of shared memory.
struct Grid {
    blocks: usize,
    threads: usize,
    shared: usize,
}

impl Attending<'_> {
    /// A kernel over so many rows.
    fn launch(&self, kernel: &'static str, rows: usize, grid: Grid, step: usize, arguments: &[Argument]) -> Result<()> {
        if rows == 0 {
            return Ok(());
        }
        let Sizes { n, t, p, .. } = self.sizes;
        let of_rows = [self.run.table_address(), n.into(), t.into(), step.into(), self.counts, p.into()];
        self.run.gpu.launch(&Launch {
            module: &MODULE,
            kernel,
            grid: (rows, grid.blocks),
            threads: grid.threads,
            shared: grid.shared * size_of::<f32>(),
            whole_grid: false,
            arguments: &[arguments, &of_rows].concat(),
        })
    }
}

fn start(memory: Option<&Memory>) -> Argument {
    memory.map_or(NULL, |memory| memory.at(0))
}

fn row(matrix: Option<&Matrix>, row: usize) -> Argument {
    matrix.map_or(NULL, |matrix| matrix.row(row))
}
