//! RNN, LSTM and GRU over a whole sequence of one layer and direction, as one autograd node.
//!
//! The product of the inputs with W_ih is formed for all steps at once, in the same node or before it (see [`Input`]); the
//! rest must go step by step. [`unrolled`] takes any cell. Time and memory are linear in T, and nothing recurses over T.
//!
//! With `lengths`, row n has `lengths[n]` steps: beyond them its outputs are 0 and its state does not change. With
//! `reverse` each row starts at its own last step and goes back to step 0, and each output is at its input's step. Both are what
//! PyTorch's packed sequences give.

pub(crate) mod cpu;
pub(crate) mod cuda;
mod reference;
pub(crate) mod steps;
mod unrolled;

pub use unrolled::unrolled;

use crate::backend::{Backend, Op};
use candle_core::{Result, Tensor, Var};
use std::sync::atomic::{AtomicBool, Ordering};
use steps::Steps;

/// The nonlinearity of the plain recurrent network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Nonlinearity {
    /// tanh x.
    #[default]
    Tanh,
    /// max(x, 0), with gradient 0 at 0.
    Relu,
}

static WHOLE_SEQUENCES: AtomicBool = AtomicBool::new(false);

/// Lets an LSTM's sequence on CUDA be one launch of the whole grid from now on, in the whole process, where products are of bf16 or f16, H is a
/// multiple of 16 and each multiprocessor has room for its part of W_hh (H up to about 1,000 on an H200).
///
/// Otherwise, and by default until a card has shown which is faster, a step is a product and a kernel.
pub fn set_whole_sequences(wanted: bool) {
    WHOLE_SEQUENCES.store(wanted, Ordering::Relaxed);
}

/// Whether whole sequences are wanted.
#[cfg_attr(not(feature = "cuda"), allow(dead_code, reason = "only a device asks"))]
pub(crate) fn whole_sequences() -> bool {
    WHOLE_SEQUENCES.load(Ordering::Relaxed)
}

/// What every form needs to know of a cell.
pub(crate) trait Cell: Copy + Send + Sync + 'static {
    /// The name that errors use.
    const NAME: &'static str;
    /// Whether there is a second state tensor c, after h.
    const HAS_C: bool = false;
    /// How many state tensors there are.
    const STATES: usize = 1 + Self::HAS_C as usize;
}

#[derive(Clone, Copy)]
struct Rnn(Nonlinearity);

impl Cell for Rnn {
    const NAME: &'static str = "rnn";
}

#[derive(Clone, Copy)]
struct Lstm;

impl Cell for Lstm {
    const NAME: &'static str = "lstm";
    const HAS_C: bool = true;
}

#[derive(Clone, Copy)]
struct Gru;

impl Cell for Gru {
    const NAME: &'static str = "gru";
}

/// What a recurrence reads: p_t = x_t W_ihᵀ + bias for each step, (N, T, G·H) with the G blocks of the cell's gates.
#[derive(Clone, Copy)]
pub enum Input<'a> {
    /// p itself.
    Projected(&'a Tensor),
    /// What it is made of: `xs` (N, T, D), `weight` (G·H, D) and `bias` (G·H).
    Sequence {
        /// x.
        xs: &'a Tensor,
        /// W_ih.
        weight: &'a Tensor,
        /// Whatever biases are only ever added.
        bias: Option<&'a Tensor>,
    },
}

impl<'a> From<&'a Tensor> for Input<'a> {
    fn from(projected: &'a Tensor) -> Self {
        Self::Projected(projected)
    }
}

impl<'a> From<&'a Var> for Input<'a> {
    fn from(projected: &'a Var) -> Self {
        Self::Projected(projected)
    }
}

/// The plain recurrent network of Elman.
///
/// h_t = φ(p_t + W_hh h_{t−1}), where the bias of the input p (N, T, H) is b_ih + b_hh, with `w_hh` (H, H) and `h0`
/// (N, H). Gives the outputs (N, T, H) and the last state (N, H).
///
/// Elman 1990, "Finding structure in time".
///
/// # Errors
/// When the shapes do not fit together, or a length exceeds T.
pub fn rnn<'a>(
    input: impl Into<Input<'a>>,
    w_hh: &Tensor,
    h0: &Tensor,
    nonlinearity: Nonlinearity,
    lengths: Option<&[usize]>,
    reverse: bool,
) -> Result<(Tensor, Tensor)> {
    let call = Recurrence { input: input.into(), w_hh, states: &[h0], b_hh: None };
    call.rnn(nonlinearity, lengths, reverse).map(|[out, h]| (out, h))
}

/// The long short-term memory.
///
/// i, f, g, o = the four blocks of p_t + W_hh h_{t−1}; c_t = σ(f) ⊙ c_{t−1} + σ(i) ⊙ tanh(g);
/// h_t = σ(o) ⊙ tanh(c_t). The input p is (N, T, 4H) with the bias b_ih + b_hh, `w_hh` (4H, H), `h0` and `c0` (N, H). Gives the
/// outputs (N, T, H), the last h (N, H) and the last c (N, H).
///
/// Hochreiter and Schmidhuber 1997, "Long short-term memory"; with the forget gate of Gers et al. 2000.
///
/// # Errors
/// When the shapes do not fit together, or a length exceeds T.
pub fn lstm<'a>(
    input: impl Into<Input<'a>>,
    w_hh: &Tensor,
    h0: &Tensor,
    c0: &Tensor,
    lengths: Option<&[usize]>,
    reverse: bool,
) -> Result<(Tensor, Tensor, Tensor)> {
    let call = Recurrence { input: input.into(), w_hh, states: &[h0, c0], b_hh: None };
    call.lstm(lengths, reverse).map(|[out, h, c]| (out, h, c))
}

/// The gated recurrent unit, with the reset gate behind the product as PyTorch and cuDNN have it.
///
/// r = σ(p_r + u_r), z = σ(p_z + u_z), n = tanh(p_n + r ⊙ u_n), h_t = (1 − z) ⊙ n + z ⊙ h_{t−1}, where p is the
/// step's input, with the bias b_ih, and u = W_hh h_{t−1} + b_hh. p is (N, T, 3H), `w_hh` (3H, H), `b_hh` (3H), `h0` (N, H). Gives the
/// outputs (N, T, H) and the last state (N, H).
///
/// Cho et al. 2014, "Learning phrase representations using RNN encoder-decoder for statistical machine translation".
///
/// # Errors
/// When the shapes do not fit together, or a length exceeds T.
pub fn gru<'a>(
    input: impl Into<Input<'a>>,
    w_hh: &Tensor,
    b_hh: Option<&Tensor>,
    h0: &Tensor,
    lengths: Option<&[usize]>,
    reverse: bool,
) -> Result<(Tensor, Tensor)> {
    let call = Recurrence { input: input.into(), w_hh, states: &[h0], b_hh };
    call.gru(lengths, reverse).map(|[out, h]| (out, h))
}

/// One call of a recurrence.
pub(crate) struct Recurrence<'a> {
    input: Input<'a>,
    w_hh: &'a Tensor,
    states: &'a [&'a Tensor],
    b_hh: Option<&'a Tensor>,
}

// The calls above are generic in their input, and so are built in every crate that has one; what is below them is not, but here.
impl Recurrence<'_> {
    fn rnn(&self, nonlinearity: Nonlinearity, lengths: Option<&[usize]>, reverse: bool) -> Result<[Tensor; 2]> {
        self.run(Rnn(nonlinearity), lengths, reverse)
    }

    fn lstm(&self, lengths: Option<&[usize]>, reverse: bool) -> Result<[Tensor; 3]> {
        self.run(Lstm, lengths, reverse)
    }

    fn gru(&self, lengths: Option<&[usize]>, reverse: bool) -> Result<[Tensor; 2]> {
        self.run(Gru, lengths, reverse)
    }

    fn run<K: cpu::Gates + cuda::GateKernels + reference::Formula, const N: usize>(
        &self,
        cell: K,
        lengths: Option<&[usize]>,
        reverse: bool,
    ) -> Result<[Tensor; N]> {
        let (steps, inputs) = (self.check(K::NAME, <K as cpu::Gates>::GATES, lengths, reverse)?, self.inputs());
        if let Some(gpu) = Backend::gpu(Op::Recurrence, &inputs) {
            return cuda::recurrence(gpu, cell, steps, self);
        }
        match Backend::choose(Op::Recurrence, &inputs) {
            Backend::Cpu => cpu::recurrence(cell, steps, self),
            Backend::Reference => reference::recurrence(cell, steps, self),
        }
    }

    /// xs, projected or not, w_hh, the states, b_hh, and then w_ih and its bias.
    fn inputs(&self) -> Vec<&Tensor> {
        let (xs, weight, bias) = match self.input {
            Input::Projected(projected) => (projected, None, None),
            Input::Sequence { xs, weight, bias } => (xs, Some(weight), bias),
        };
        let states = self.states.iter().copied();
        [xs, self.w_hh].into_iter().chain(states).chain(self.b_hh).chain(weight).chain(bias).collect()
    }

    fn check(&self, name: &str, gates: usize, lengths: Option<&[usize]>, reverse: bool) -> Result<Steps> {
        let (x, width) = match self.input {
            Input::Projected(projected) => (projected, projected.dims().last().copied().unwrap_or(0)),
            Input::Sequence { xs, weight, bias } => {
                let (width, d) = weight.dims2()?;
                if d == 0 {
                    candle_core::bail!("{name}: wants a weight (.., D) with D of at least 1, got {:?}", weight.dims())
                }
                if xs.dims().last() != Some(&d) || bias.is_some_and(|bias| bias.dims() != [width]) {
                    candle_core::bail!(
                        "{name}: wants inputs (.., {d}) and a bias ({width}) or none, got {:?} and {:?}",
                        xs.dims(),
                        bias.map(|bias| bias.dims())
                    )
                }
                (xs, width)
            }
        };
        let &[n, t, _] = x.dims() else { candle_core::bail!("{name}: wants inputs (N, T, ..), got {:?}", x.dims()) };
        let h = width / gates;
        if h == 0 || width != gates * h || self.w_hh.dims() != [width, h] {
            candle_core::bail!(
                "{name}: wants projected inputs (N, T, {gates}H) and w_hh ({gates}H, H), got ({n}, {t}, {width}) and {:?}",
                self.w_hh.dims()
            )
        }
        if let Some(state) = self.states.iter().find(|state| state.dims() != [n, h]) {
            candle_core::bail!("{name}: wants a state (N, H) = ({n}, {h}), got {:?}", state.dims())
        }
        if let Some(bias) = self.b_hh.filter(|bias| bias.dims() != [width]) {
            candle_core::bail!("{name}: wants b_hh ({width}), got {:?}", bias.dims())
        }
        Steps::new(name, n, t, lengths, reverse)
    }
}

#[cfg(test)]
mod tests;
