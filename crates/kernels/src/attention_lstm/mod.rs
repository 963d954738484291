//! Attention LSTM over whole sequences: additive attention and an LSTM step, fused into one autograd node.
//!
//! With inputs x that are known in advance, annotations a_p, their keys k_p and the state (h, c):
//!
//! ```text
//! e_tp = v · tanh(k_p + W_q h_{t−1} + b_q),  α_t = softmax(e_t),  z_t = Σ_p α_tp a_p      (attention)
//! ẑ_t = σ(W_β h_{t−1} + b_β) ⊙ z_t                                                        (gate β)
//! h_t, c_t = LSTM([x_t; ẑ_t], h_{t−1}, c_{t−1})
//! ```
//!
//! With hard attention z_t = a_s for one position s that is drawn from α_t instead; as a draw has no gradient, α then has only
//! that of a loss on α itself.
//!
//! Xu et al. 2015, "Show, attend and tell".

#[cfg(test)]
pub(crate) mod tests;

mod cpu;
mod cuda;
mod positions;
mod reference;

use crate::additive_attention::Counts;
use crate::backend::{Backend, Op};
use crate::recurrence::steps::Steps;
use candle_core::{Result, Tensor};
pub use positions::PositionSampler;

/// The parameters of [`attention_lstm`], as PyTorch keeps them: (out, in).
#[derive(Clone, Copy)]
pub struct Weights<'a> {
    /// The LSTM's weights for its input [x; ẑ], (4H, E + C); gates in the order i, f, g, o.
    pub input: &'a Tensor,
    /// The LSTM's weights for h, (4H, H).
    pub hidden: &'a Tensor,
    /// The LSTM's bias (4H), the sum of PyTorch's two.
    pub bias: &'a Tensor,
    /// W_q (A, H) and b_q (A).
    pub query: Affine<&'a Tensor>,
    /// v (A).
    pub v: &'a Tensor,
    /// W_β (C, H) and b_β (C); without them ẑ = z.
    pub beta: Option<Affine<&'a Tensor>>,
}

/// The parameters of an affine map: weight (out, in) and bias (out).
#[derive(Clone, Copy, Debug)]
pub struct Affine<T> {
    /// The matrix.
    pub weight: T,
    /// The summand.
    pub bias: T,
}

impl<T> From<(T, T)> for Affine<T> {
    fn from((weight, bias): (T, T)) -> Self {
        Self { weight, bias }
    }
}

/// What the sequence gives.
#[derive(Clone, Debug)]
pub struct Sequence {
    /// h of each step (N, T, H).
    pub hidden: Tensor,
    /// ẑ of each step (N, T, C).
    pub context: Tensor,
    /// α of each step (N, T, P).
    pub alpha: Tensor,
    /// The position s that each step attended to (N, T) of u32, where positions were drawn.
    pub positions: Option<Tensor>,
}

/// What is known of the rows; by default each has all T steps and all P annotations.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// How many steps each row has; beyond them the outputs are 0.
    pub lengths: Option<&'a [usize]>,
    /// How many annotations each row has; α is 0 at the others.
    pub counts: Option<&'a Counts>,
    /// Numbers uniform in [0, 1), (N, T) of f32: step t of row n attends to one position, the first s at which α_t0 + … + α_ts exceeds
    /// its number.
    pub draws: Option<&'a Tensor>,
}

/// The sequence of the formulas above.
///
/// `xs` (N, T, E), `keys` (N, P, A), `annotations` (N, P, C), `h` and `c` (N, H). The gradient of annotations that want none
/// is not computed.
///
/// # Errors
/// When shapes do not fit together, there is no position, a length exceeds T, or there are not counts of N rows or N·T draws.
pub fn attention_lstm(
    xs: &Tensor,
    keys: &Tensor,
    annotations: &Tensor,
    h: &Tensor,
    c: &Tensor,
    weights: Weights,
    options: Options,
) -> Result<Sequence> {
    let Options { lengths, counts, draws } = options;
    let Weights { input, hidden, bias, query, v, beta } = weights;
    let mut inputs = vec![xs, keys, annotations, h, c, input, hidden, bias, query.weight, query.bias, v];
    inputs.extend(beta.iter().flat_map(|beta| [beta.weight, beta.bias]));
    let sizes = Sizes::of(&inputs)?;
    if let Some(draws) = draws.filter(|draws| draws.dims() != [sizes.n, sizes.t]) {
        candle_core::bail!(
            "{NAME}: draws of shape {:?}, wanted one for each of {} × {} steps",
            draws.dims(),
            sizes.n,
            sizes.t
        )
    }
    counts.map_or(Ok(()), |counts| counts.check(NAME, sizes.n, sizes.p))?;
    let steps = Steps::new(NAME, sizes.n, sizes.t, lengths, false)?;
    if let Some(gpu) = Backend::gpu(Op::AttentionLstm, &inputs)
        && cuda::serves(sizes)
    {
        return cuda::attention_lstm(gpu, &inputs, sizes, steps, options);
    }
    match Backend::choose(Op::AttentionLstm, &inputs) {
        Backend::Cpu => cpu::attention_lstm(&inputs, sizes, steps, options),
        Backend::Reference => reference::attention_lstm(&inputs, sizes, steps, options),
    }
}

const NAME: &str = "attention_lstm";

/// The letters of the shapes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub n: usize,
    pub t: usize,
    pub p: usize,
    pub e: usize,
    pub c: usize,
    pub a: usize,
    pub h: usize,
}

impl Sizes {
    /// What the inputs are called, and their shapes; the last two are those of the gate β.
    fn shapes(self) -> [(&'static str, Vec<usize>); 13] {
        let Self { n, t, p, e, c, a, h } = self;
        [
            ("xs", vec![n, t, e]),
            ("keys", vec![n, p, a]),
            ("annotations", vec![n, p, c]),
            ("h", vec![n, h]),
            ("c", vec![n, h]),
            ("input weight", vec![4 * h, e + c]),
            ("hidden weight", vec![4 * h, h]),
            ("bias", vec![4 * h]),
            ("query weight", vec![a, h]),
            ("query bias", vec![a]),
            ("v", vec![a]),
            ("beta weight", vec![c, h]),
            ("beta bias", vec![c]),
        ]
    }

    /// Those of all inputs, in the order of the operation.
    fn of(inputs: &[&Tensor]) -> Result<Self> {
        let ((n, t, e), (_, p, a)) = (inputs[0].dims3()?, inputs[1].dims3()?);
        let ((_, _, c), (_, h)) = (inputs[2].dims3()?, inputs[6].dims2()?);
        let sizes = Self { n, t, p, e, c, a, h };
        for (tensor, (name, wanted)) in inputs.iter().zip(sizes.shapes()) {
            if tensor.dims() != wanted {
                candle_core::bail!("{NAME}: {name} has shape {:?}, wanted {wanted:?}", tensor.dims())
            }
        }
        if [p, a, c, h].contains(&0) {
            candle_core::bail!("{NAME}: P, A, C and H must be at least 1, got {p}, {a}, {c} and {h}")
        }
        Ok(sizes)
    }
}
