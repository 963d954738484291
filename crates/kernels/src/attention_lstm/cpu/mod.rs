//! The attention LSTM as an autograd node, f32, CPU: one team of threads goes through all steps, weights are packed once, rows that
//! have ended cost nothing, and the weights' gradients are one product each for all steps.

mod backward;
mod forward;

use super::positions::position;
use super::{Affine, NAME, Options, PositionSampler, Sequence, Sizes};
use crate::node::{Call, Operation, Value, apply_array, with_all_f32, with_optional};
use crate::recurrence::steps::Steps;
use candle_core::{Result, Tensor};
use forward::Outputs;

/// [`super::attention_lstm`] on the inputs of [`AttentionLstm`].
pub fn attention_lstm(inputs: &[&Tensor], sizes: Sizes, steps: Steps, options: Options) -> Result<Sequence> {
    let (counts, draws) = (options.counts.map(|counts| counts.tensor().clone()), options.draws.cloned());
    let [hidden, context, alpha] = apply_array(AttentionLstm { sizes, steps, counts, draws }, inputs)?;
    let sampler = PositionSampler::new(sizes.p, alpha.device())?;
    let positions = options.draws.map(|draws| sampler.choose(&alpha, draws)).transpose()?;
    Ok(Sequence { hidden, context, alpha, positions })
}

/// The sequence on xs, keys, annotations, h, c, W_ih, W_hh, b, W_q, b_q, v and perhaps W_β and b_β.
pub struct AttentionLstm {
    pub sizes: Sizes,
    pub steps: Steps,
    /// How many annotations each row has; all without them.
    pub counts: Option<Tensor>,
    /// A number for each of the N·T steps, which chooses the position that it attends to; without them a step attends to all.
    pub draws: Option<Tensor>,
}

/// What the steps leave for the backward pass, a row of each (N·T, ·) for each row and step.
pub struct Saved<S = Vec<f32>> {
    /// [x; ẑ], (N·T, E + C).
    pub inputs: S,
    /// h before the step, (N·T, H).
    pub previous: S,
    /// The LSTM's gates and c before the step, (N·T, 5H), in blocks of hidden units.
    pub gates: S,
    /// W_q h + b_q, (N·T, A).
    pub query: S,
    /// z, (N·T, C).
    pub attended: S,
    /// β = σ(W_β h + b_β), (N·T, C); nothing without W_β.
    pub beta: S,
}

impl Operation for AttentionLstm {
    const NAME: &'static str = NAME;
    type Saved = Saved;

    fn forward(&self, inputs: &[Tensor], saved: bool) -> Result<(Vec<Value>, Saved)> {
        let Sizes { n, t, p, c, h, .. } = self.sizes;
        let run = |inputs: &Inputs| forward::run(self, inputs, saved);
        let (Outputs { hidden, context, alpha }, saved) = self.with_inputs(inputs, run)?;
        let outputs = [Value::new(hidden, (n, t, h)), Value::new(context, (n, t, c)), Value::new(alpha, (n, t, p))];
        Ok((outputs.into(), saved))
    }

    fn backward(&self, call: &Call<Saved>, gradients: &[Tensor]) -> Result<Vec<Option<Tensor>>> {
        backward::run(self, call, gradients)
    }
}

/// The inputs as slices.
pub struct Inputs<'a> {
    pub xs: &'a [f32],
    pub keys: &'a [f32],
    pub annotations: &'a [f32],
    pub h: &'a [f32],
    pub c: &'a [f32],
    pub input: &'a [f32],
    pub hidden: &'a [f32],
    pub bias: &'a [f32],
    pub query: Affine<&'a [f32]>,
    pub v: &'a [f32],
    pub beta: Option<Affine<&'a [f32]>>,
    /// P.
    positions: usize,
    counts: Option<&'a [u32]>,
    draws: Option<&'a [f32]>,
}

impl<'a> Inputs<'a> {
    fn new(positions: usize, values: &[&'a [f32]], counts: Option<&'a [u32]>, draws: Option<&'a [f32]>) -> Self {
        Self {
            xs: values[0],
            keys: values[1],
            annotations: values[2],
            h: values[3],
            c: values[4],
            input: values[5],
            hidden: values[6],
            bias: values[7],
            query: Affine { weight: values[8], bias: values[9] },
            v: values[10],
            beta: values.get(11).copied().zip(values.get(12).copied()).map(Affine::from),
            positions,
            counts,
            draws,
        }
    }

    /// How many annotations a row has, at most P.
    pub fn count(&self, row: usize) -> usize {
        self.counts.map_or(self.positions, |counts| self.positions.min(counts[row] as usize))
    }

    /// The position that the step at `at` of the N·T attends to, where it attends to one.
    pub fn chosen(&self, at: usize, alpha: &[f32]) -> Option<usize> {
        self.draws.map(|draws| position(alpha, draws[at]))
    }
}

impl AttentionLstm {
    pub fn with_inputs<R>(&self, inputs: &[Tensor], f: impl FnOnce(&Inputs) -> R) -> Result<R> {
        with_all_f32(NAME, inputs, |values| {
            with_optional(NAME, self.counts.as_ref(), |counts| {
                with_optional(NAME, self.draws.as_ref(), |draws| f(&Inputs::new(self.sizes.p, values, counts, draws)))
            })
        })??
    }
}
