//! The attention LSTM as an autograd node, f32, CPU: one team of threads goes through all steps, weights are packed once, rows that
//! have ended cost nothing, and the weights' gradients are one product each for all steps.

mod backward;
mod forward;

use super::{Affine, NAME, Options, Sequence, Sizes};
use crate::node::{Call, Operation, Value, apply_array, with_all_f32};
use crate::recurrence::steps::Steps;
use candle_core::{Device, Result, Tensor};
use forward::Outputs;

/// [`super::attention_lstm`] on the inputs of [`AttentionLstm`].
pub fn attention_lstm(inputs: &[&Tensor], sizes: Sizes, steps: Steps, options: Options) -> Result<Sequence> {
    let (counts, draws) = (options.counts.map(<[u32]>::to_vec), options.draws.map(<[f32]>::to_vec));
    let [hidden, context, alpha] = apply_array(AttentionLstm { sizes, steps, counts, draws }, inputs)?;
    let positions = options.draws.map(|draws| super::positions(&alpha, draws)).transpose()?;
    Ok(Sequence { hidden, context, alpha, positions })
}

/// [`super::positions`] of rows (M, P) on the CPU.
pub fn positions(alpha: &Tensor, draws: &[f32]) -> Result<Tensor> {
    let rows = alpha.to_vec2::<f32>()?;
    let chosen: Vec<u32> = rows.iter().zip(draws).map(|(alpha, &draw)| position(alpha, draw) as u32).collect();
    Tensor::from_vec(chosen, draws.len(), &Device::Cpu)
}

/// The first position at which the sum of the weights so far exceeds the number.
pub fn position(alpha: &[f32], draw: f32) -> usize {
    let mut sum = 0.0;
    let found = alpha.iter().position(|weight| {
        sum += weight;
        draw < sum
    });
    // The sum of all may be a little below 1.
    found.or_else(|| alpha.iter().rposition(|&weight| weight > 0.0)).unwrap_or(0)
}

/// The sequence on xs, keys, annotations, h, c, W_ih, W_hh, b, W_q, b_q, v and perhaps W_β and b_β.
pub struct AttentionLstm {
    pub sizes: Sizes,
    pub steps: Steps,
    /// How many annotations each row has; all without them.
    pub counts: Option<Vec<u32>>,
    /// A number for each of the N·T steps, which chooses the position that it attends to; without them a step attends to all.
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
    pub attended: S,
    /// β = σ(W_β h + b_β), (N·T, C); nothing without W_β.
    pub beta: S,
}

impl Operation for AttentionLstm {
    const NAME: &'static str = NAME;
    type Saved = Saved;

    fn forward(&self, inputs: &[Tensor], saved: bool) -> Result<(Vec<Value>, Saved)> {
        let Sizes { n, t, p, c, h, .. } = self.sizes;
        let run = |values: &[&[f32]]| forward::run(self, &Inputs::of(values), saved);
        let (Outputs { hidden, context, alpha }, saved) = with_all_f32(NAME, inputs, run)?;
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
}

impl<'a> Inputs<'a> {
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
            query: Affine { weight: values[8], bias: values[9] },
            v: values[10],
            beta: values.get(11).copied().zip(values.get(12).copied()).map(Affine::from),
        }
    }
}

impl AttentionLstm {
    /// How many annotations a row has.
    pub fn count(&self, row: usize) -> usize {
        self.counts.as_ref().map_or(self.sizes.p, |counts| counts[row] as usize)
    }

    /// The position that the step at `at` of the N·T attends to, where it attends to one.
    pub fn chosen(&self, at: usize, alpha: &[f32]) -> Option<usize> {
        self.draws.as_ref().map(|draws| position(alpha, draws[at]))
    }
}
