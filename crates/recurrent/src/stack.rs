//! Layers and directions of any cell.

use crate::cell::{Cell, CellConfig, nonlinearity};
use crate::{GruCell, LstmCell, RnnCell};
use candle_core::{D, Result, Tensor};
use candlewick_kernels::recurrence::Nonlinearity;
use candlewick_parameters::{Mode, VarBuilder};
use serde::{Deserialize, Serialize};

/// A stack of LSTM layers, as torch.nn.LSTM with `batch_first=True`.
pub type Lstm = Stack<LstmCell>;

/// A stack of GRU layers, as torch.nn.GRU with `batch_first=True`.
pub type Gru = Stack<GruCell>;

/// A stack of plain recurrent layers, as torch.nn.RNN with `batch_first=True`.
pub type Rnn = Stack<RnnCell>;

/// How a stack is built.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StackConfig {
    /// L, at least 1.
    pub num_layers: usize,
    /// Whether each layer also reads backwards.
    pub bidirectional: bool,
    /// Whether there are biases.
    pub bias: bool,
    /// The probability of dropout on the outputs of each layer but the last.
    pub dropout: f64,
    /// The nonlinearity of the plain recurrent network: `"tanh"` or `"relu"`.
    #[serde(with = "nonlinearity")]
    pub nonlinearity: Nonlinearity,
    /// What the LSTM's forget gate's biases sum to at the start, instead of PyTorch's uniform values.
    pub forget_bias: Option<f64>,
    /// Whether each gate's part of `weight_hh` starts orthogonal instead of uniform.
    pub orthogonal: bool,
}

impl Default for StackConfig {
    fn default() -> Self {
        let CellConfig { bias, nonlinearity, forget_bias, orthogonal } = CellConfig::default();
        Self { num_layers: 1, bidirectional: false, bias, dropout: 0.0, nonlinearity, forget_bias, orthogonal }
    }
}

impl StackConfig {
    /// What concerns each cell.
    pub fn cell(&self) -> CellConfig {
        let Self { bias, nonlinearity, forget_bias, orthogonal, .. } = *self;
        CellConfig { bias, nonlinearity, forget_bias, orthogonal }
    }
}

/// Layers of a cell, each reading the outputs of the one below, forwards or both ways.
///
/// The parameters of layer k are named `weight_ih_l{k}` and so on, those of the direction that reads backwards
/// `weight_ih_l{k}_reverse`. A layer that reads both ways gives both outputs side by side (N, T, 2H).
#[derive(Clone, Debug)]
pub struct Stack<C> {
    /// Layer by layer, and forwards before backwards.
    cells: Vec<C>,
    directions: usize,
    dropout: f64,
}

impl<C: Cell> Stack<C> {
    /// A stack from inputs of size D to outputs of size H, or 2H where it is bidirectional.
    ///
    /// # Errors
    /// When there is no layer, the probability of dropout lies outside [0, 1], or the builder lacks a parameter or has one
    /// of another shape.
    pub fn new(input_size: usize, hidden_size: usize, config: &StackConfig, vb: VarBuilder) -> Result<Self> {
        if config.num_layers == 0 {
            candle_core::bail!("stack: num_layers is 0, wants at least 1")
        }
        if !(0.0..=1.0).contains(&config.dropout) {
            candle_core::bail!("stack: dropout is {}, wants a probability in [0, 1]", config.dropout)
        }
        let suffixes: &[&str] = if config.bidirectional { &["", "_reverse"] } else { &[""] };
        let mut cells = Vec::new();
        for layer in 0..config.num_layers {
            let width = if layer == 0 { input_size } else { hidden_size * suffixes.len() };
            for suffix in suffixes {
                let suffix = format!("_l{layer}{suffix}");
                cells.push(C::with_suffix(width, hidden_size, &config.cell(), &suffix, vb.clone())?);
            }
        }
        Ok(Self { cells, directions: suffixes.len(), dropout: config.dropout })
    }

    /// The state of zeros for N rows: one for each layer and direction.
    ///
    /// # Errors
    /// When the device has no memory for it.
    pub fn zero_state(&self, n: usize, like: &Tensor) -> Result<Vec<C::State>> {
        self.cells.iter().map(|cell| cell.zero_state(n, like.dtype(), like.device())).collect()
    }

    /// Reads xs (N, T, D); gives the outputs of the last layer (N, T, H · directions) and the last states.
    ///
    /// States come and go layer by layer, and within a layer forwards before backwards, in PyTorch's order; without a state
    /// it is zero. With `lengths`, row n has `lengths[n]` steps: its outputs beyond are 0, its states are those of its own
    /// last step, and backwards starts there, as with PyTorch's packed sequences.
    ///
    /// # Errors
    /// When shapes do not fit together, a length exceeds T, or there are too few or too many states.
    pub fn forward(
        &self,
        xs: &Tensor,
        state: Option<&[C::State]>,
        lengths: Option<&[usize]>,
        mode: &mut Mode,
    ) -> Result<(Tensor, Vec<C::State>)> {
        let zeros;
        let first = match state {
            Some(state) => state,
            None => {
                zeros = self.zero_state(xs.dim(0)?, xs)?;
                &zeros[..]
            }
        };
        if first.len() != self.cells.len() {
            candle_core::bail!("stack: wants {} states (layers × directions), got {}", self.cells.len(), first.len())
        }
        let (mut ys, mut last) = (xs.clone(), Vec::with_capacity(first.len()));
        let layers = self.cells.chunks(self.directions).zip(first.chunks(self.directions));
        for (layer, (cells, states)) in layers.enumerate() {
            if layer > 0 {
                ys = mode.dropout(&ys, self.dropout)?;
            }
            let mut outputs = Vec::with_capacity(self.directions);
            for (direction, (cell, state)) in cells.iter().zip(states).enumerate() {
                let (output, state) = cell.sequence(&ys, state, lengths, direction == 1)?;
                outputs.push(output);
                last.push(state);
            }
            ys = match &outputs[..] {
                [one] => one.clone(),
                both => Tensor::cat(both, D::Minus1)?,
            };
        }
        Ok((ys, last))
    }
}
