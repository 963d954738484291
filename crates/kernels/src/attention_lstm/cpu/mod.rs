//! The attention LSTM as an autograd node, f32, CPU: one team of threads goes through all steps, weights are packed once, rows that
//! have ended cost nothing, and the weights' gradients are one product each for all steps.

mod backward;
mod forward;

use super::{NAME, Options, Sequence, Sizes, position, positions};
use crate::node::{Call, Operation, Value, apply_array, with_all_f32};
use crate::recurrence::steps::Steps;
use candle_core::{Result, Tensor};
use forward::Outputs;

/// [`super::attention_lstm`] on the inputs of [`Attentive`].
pub fn attention_lstm(inputs: &[&Tensor], sizes: Sizes, steps: Steps, options: Options) -> Result<Sequence> {
    let (counts, draws) = (options.counts.map(<[u32]>::to_vec), options.draws.map(<[f32]>::to_vec));
    let [hidden, context, alpha] = apply_array(Attentive { sizes, steps, counts, draws }, inputs)?;
    let positions = options.draws.map(|draws| positions(&alpha, draws)).transpose()?;
    Ok(Sequence { hidden, context, alpha, positions })
}

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
    pub looked: S,
    /// σ(W_β h + b_β), (N·T, C); nothing without a gate.
    pub gate: S,
}

impl Operation for Attentive {
    type Saved = Saved;

    fn name(&self) -> &'static str {
        NAME
    }

    fn forward(&self, inputs: &[Tensor], saved: bool) -> Result<(Vec<Value>, Saved)> {
        let Sizes { n, t, p, c, h, .. } = self.sizes;
        let run = |values: &[&[f32]]| forward::steps(self, &Slices::of(values), saved);
        let (Outputs { hidden, context, alpha }, saved) = with_all_f32(NAME, inputs, run)?;
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

impl Attentive {
    /// How many annotations a row has.
    pub fn count(&self, row: usize) -> usize {
        self.counts.as_ref().map_or(self.sizes.p, |counts| counts[row] as usize)
    }

    /// The position that the step at `at` of the N·T looks at, where it looks at one.
    pub fn chosen(&self, at: usize, alpha: &[f32]) -> Option<usize> {
        self.draws.as_ref().map(|draws| position(alpha, draws[at]))
    }
}
