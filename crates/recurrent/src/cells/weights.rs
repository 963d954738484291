//! The parameters that cells share, their names and initial values: what a cell is built of, here and in crates of others.

use crate::cell::SuffixedBuilder;
use candle_core::{D, Result, Tensor};
use candlewick_parameters::Initial;

/// What the parameters of torch.nn.LSTMCell and its kin are made from.
#[derive(Clone, Copy, Debug)]
pub struct GateOptions {
    /// G, the number of gates.
    pub gates: usize,
    /// D.
    pub input: usize,
    /// H.
    pub hidden: usize,
    /// P, the size of the output, which is H wherever it is not projected.
    pub output: usize,
    /// Whether there are biases.
    pub bias: bool,
    /// Whether each gate's part of W_hh starts orthogonal.
    pub orthogonal: bool,
    /// How the forget gate's biases start, where not as the others.
    pub forget: Option<ForgetBias>,
}

/// What the biases of the forget gate sum to at the start.
#[derive(Clone, Copy, Debug)]
pub struct ForgetBias {
    /// The forget gate's place among the gates.
    pub gate: usize,
    /// b_ih + b_hh there.
    pub value: f64,
}

impl ForgetBias {
    /// A bias for the gate at this place, if one is chosen.
    ///
    /// # Errors
    /// When one is chosen and there are no biases.
    pub fn new(cell: &str, gate: usize, value: Option<f64>, bias: bool) -> Result<Option<Self>> {
        match value {
            Some(value) if !bias => candle_core::bail!(
                "{cell}: forget_bias is {value:?}, but with bias = false no gate has one; leave one of them out"
            ),
            value => Ok(value.map(|value| Self { gate, value })),
        }
    }
}

/// The parameters that PyTorch's cells have: W_ih (G·H, D), W_hh (G·H, P) and their biases (G·H).
#[derive(Clone, Debug)]
pub struct GateWeights {
    /// W_ih (G·H, D).
    pub weight_ih: Tensor,
    /// W_hh (G·H, P).
    pub weight_hh: Tensor,
    /// b_ih (G·H).
    pub bias_ih: Option<Tensor>,
    /// b_hh (G·H).
    pub bias_hh: Option<Tensor>,
}

impl GateWeights {
    /// The place of W_hh among the parameters.
    pub const WEIGHT_HH: usize = 1;

    /// The parameters from a builder, or with fresh values: uniform in ±1/√H as PyTorch's, but where the options say otherwise.
    ///
    /// # Errors
    /// When the builder lacks a parameter or has one of another shape.
    pub fn new(options: GateOptions, vb: &SuffixedBuilder) -> Result<Self> {
        let GateOptions { gates, input, hidden, output, .. } = options;
        let (rows, uniform) = (gates.saturating_mul(hidden), Initial::fan_in(hidden));
        let weight_ih = vb.parameter((rows, input), "weight_ih", uniform.clone())?;
        let recurrent = recurrent_initial(options.orthogonal, gates, hidden);
        let weight_hh = vb.parameter((rows, output), "weight_hh", recurrent)?;
        let bias = |name: &str, sum: f64| {
            let forget = options.forget.map(|forget| ForgetBias { value: sum, ..forget });
            options.bias.then(|| vb.parameter(rows, name, bias_initial(&uniform, gates, forget))).transpose()
        };
        // The two biases are always added, so one of them carries the wanted sum.
        let bias_ih = bias("bias_ih", options.forget.map_or(0.0, |forget| forget.value))?;
        Ok(Self { weight_ih, weight_hh, bias_ih, bias_hh: bias("bias_hh", 0.0)? })
    }

    /// H, or P where the output is projected.
    pub fn output_size(&self) -> usize {
        self.weight_hh.dims().last().copied().unwrap_or(0)
    }

    /// W_ih, W_hh and the biases that there are, for [`crate::Cell::parameters_mut`].
    pub fn parameters_mut(&mut self) -> Vec<&mut Tensor> {
        let Self { weight_ih, weight_hh, bias_ih, bias_hh } = self;
        [weight_ih, weight_hh].into_iter().chain(bias_ih).chain(bias_hh).collect()
    }

    /// b_ih + b_hh (G·H), for cells that only ever add them.
    ///
    /// # Errors
    /// When the two have different shapes.
    pub fn bias(&self) -> Result<Option<Tensor>> {
        self.bias_ih.as_ref().zip(self.bias_hh.as_ref()).map(|(ih, hh)| ih + hh).transpose()
    }
}

/// How a matrix of this many blocks from state to state starts.
pub fn recurrent_initial(orthogonal: bool, blocks: usize, hidden_size: usize) -> Initial {
    match orthogonal {
        true => Initial::Blocks(vec![Initial::Orthogonal(1.0); blocks]),
        false => Initial::fan_in(hidden_size),
    }
}

/// How a bias starts whose block of the forget gate may have a value of its own.
pub fn bias_initial(other: &Initial, blocks: usize, forget: Option<ForgetBias>) -> Initial {
    match forget {
        Some(ForgetBias { gate, value }) => {
            let block = |k| if k == gate { Initial::Constant(value) } else { other.clone() };
            Initial::Blocks((0..blocks).map(block).collect())
        }
        None => other.clone(),
    }
}

/// Block k of the blocks of width H that lie side by side in (.., G·H).
///
/// # Errors
/// When there is no block k.
pub fn block(blocks: &Tensor, k: usize, hidden_size: usize) -> Result<Tensor> {
    blocks.narrow(D::Minus1, k * hidden_size, hidden_size)
}
