//! A whole sequence of one recurrent layer and direction as one node of the graph.
//!
//! The product of the inputs with W_ih for all steps at once comes before; here is what must go step by step. [`rnn`],
//! [`lstm`] and [`gru`] run fused CPU kernels for f32 on the CPU, and candle's operations with a backward pass through
//! time written by hand on every other device and type. [`unrolled`] takes any cell. Time and memory are linear in T, and
//! nothing recurses over T.
//!
//! With `lengths`, row n has `lengths[n]` steps: beyond them its outputs are 0 and its state stands still. With `reverse`
//! each row starts at its own last step and goes back to step 0, and each output stands at its input's place. Both are
//! what PyTorch's packed sequences give.

mod cpu;
pub(crate) mod gates;
mod reference;
pub(crate) mod smooth;
pub(crate) mod steps;
mod unrolled;

pub use unrolled::unrolled;

use crate::node::{apply, on_cpu_f32};
use candle_core::{Result, Tensor};
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

#[derive(Clone, Copy)]
struct Rnn(Nonlinearity);

#[derive(Clone, Copy)]
struct Lstm;

#[derive(Clone, Copy)]
struct Gru;

/// The plain recurrent network of Elman.
///
/// h_t = φ(projected_t + W_hh h_{t−1}), with `projected` = x W_ihᵀ + b_ih + b_hh of shape (N, T, H), `w_hh` (H, H) and `h0`
/// (N, H). Gives the outputs (N, T, H) and the last state (N, H).
///
/// Elman 1990, "Finding structure in time".
///
/// # Errors
/// When the shapes do not fit together, or a length exceeds T.
pub fn rnn(
    projected: &Tensor,
    w_hh: &Tensor,
    h0: &Tensor,
    nonlinearity: Nonlinearity,
    lengths: Option<&[usize]>,
    reverse: bool,
) -> Result<(Tensor, Tensor)> {
    let steps = check("rnn", 1, projected, w_hh, &[h0], lengths, reverse)?;
    let outputs = run(Rnn(nonlinearity), steps, &[projected, w_hh, h0])?;
    two("rnn", outputs)
}

/// The long short-term memory.
///
/// i, f, g, o = the four blocks of projected_t + W_hh h_{t−1}; c_t = σ(f) ⊙ c_{t−1} + σ(i) ⊙ tanh(g);
/// h_t = σ(o) ⊙ tanh(c_t). `projected` = x W_ihᵀ + b_ih + b_hh is (N, T, 4H), `w_hh` (4H, H), `h0` and `c0` (N, H). Gives the
/// outputs (N, T, H), the last h (N, H) and the last c (N, H).
///
/// Hochreiter and Schmidhuber 1997, "Long short-term memory"; with the forget gate of Gers et al. 2000.
///
/// # Errors
/// When the shapes do not fit together, or a length exceeds T.
pub fn lstm(
    projected: &Tensor,
    w_hh: &Tensor,
    h0: &Tensor,
    c0: &Tensor,
    lengths: Option<&[usize]>,
    reverse: bool,
) -> Result<(Tensor, Tensor, Tensor)> {
    let steps = check("lstm", 4, projected, w_hh, &[h0, c0], lengths, reverse)?;
    let mut outputs = run(Lstm, steps, &[projected, w_hh, h0, c0])?;
    match (outputs.pop(), outputs.pop(), outputs.pop()) {
        (Some(c), Some(h), Some(out)) => Ok((out, h, c)),
        _ => candle_core::bail!("lstm: an output is missing"),
    }
}

/// The gated recurrent unit, with the reset gate behind the product as PyTorch and cuDNN have it.
///
/// r = σ(p_r + u_r), z = σ(p_z + u_z), n = tanh(p_n + r ⊙ u_n), h_t = (1 − z) ⊙ n + z ⊙ h_{t−1}, where p is projected_t and
/// u = W_hh h_{t−1} + b_hh. `projected` = x W_ihᵀ + b_ih is (N, T, 3H), `w_hh` (3H, H), `b_hh` (3H), `h0` (N, H). Gives the
/// outputs (N, T, H) and the last state (N, H).
///
/// Cho et al. 2014, "Learning phrase representations using RNN encoder-decoder for statistical machine translation".
///
/// # Errors
/// When the shapes do not fit together, or a length exceeds T.
pub fn gru(
    projected: &Tensor,
    w_hh: &Tensor,
    b_hh: Option<&Tensor>,
    h0: &Tensor,
    lengths: Option<&[usize]>,
    reverse: bool,
) -> Result<(Tensor, Tensor)> {
    let steps = check("gru", 3, projected, w_hh, &[h0], lengths, reverse)?;
    let mut inputs = vec![projected, w_hh, h0];
    if let Some(bias) = b_hh {
        if bias.dims() != [w_hh.dim(0)?] {
            candle_core::bail!("gru: wants b_hh ({}), got {:?}", w_hh.dim(0)?, bias.dims())
        }
        inputs.push(bias);
    }
    let outputs = run(Gru, steps, &inputs)?;
    two("gru", outputs)
}

/// Chooses the path: our own kernels where everything is f32 on the CPU, candle's operations elsewhere.
fn run<K: cpu::Gates + reference::Formula>(kernel: K, steps: Steps, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
    if on_cpu_f32(inputs) {
        apply(cpu::Sequence { kernel, steps }, inputs)
    } else {
        apply(reference::Sequence { kernel, steps }, inputs)
    }
}

fn two(name: &str, mut outputs: Vec<Tensor>) -> Result<(Tensor, Tensor)> {
    match (outputs.pop(), outputs.pop()) {
        (Some(state), Some(out)) => Ok((out, state)),
        _ => candle_core::bail!("{name}: an output is missing"),
    }
}

fn check(
    name: &str,
    gates: usize,
    projected: &Tensor,
    w_hh: &Tensor,
    states: &[&Tensor],
    lengths: Option<&[usize]>,
    reverse: bool,
) -> Result<Steps> {
    let &[n, t, width] = projected.dims() else {
        candle_core::bail!("{name}: wants projected inputs (N, T, {gates}H), got {:?}", projected.dims())
    };
    let h = width / gates;
    if h == 0 || width != gates * h || w_hh.dims() != [width, h] {
        candle_core::bail!(
            "{name}: wants projected inputs (N, T, {gates}H) and w_hh ({gates}H, H), got {:?} and {:?}",
            projected.dims(),
            w_hh.dims()
        )
    }
    if let Some(state) = states.iter().find(|state| state.dims() != [n, h]) {
        candle_core::bail!("{name}: wants a state (N, H) = ({n}, {h}), got {:?}", state.dims())
    }
    Steps::new(name, n, t, lengths, reverse)
}

#[cfg(test)]
mod tests;
