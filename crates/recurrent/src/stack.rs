//! Layers and directions of any cell.

use crate::cell::{Cell, CellConfig, nonlinearity};
use crate::drop_connect::drop_connect;
use crate::lstm_variants::LstmVariant;
use crate::mutants::Mutant;
use crate::recurrent_dropout::recurrent_dropout;
use crate::variational::variational_dropout;
use crate::zoneout::zoneout;
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

/// How a stack is built; each cell takes what concerns it, and [`crate::sequence_layer`] refuses the rest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StackConfig {
    /// L, at least 1.
    pub num_layers: usize,
    /// Whether each layer also reads backwards.
    pub bidirectional: bool,
    /// Whether there are biases.
    pub bias: bool,
    /// The nonlinearity of the plain recurrent network: `"tanh"` or `"relu"`.
    #[serde(with = "nonlinearity")]
    pub nonlinearity: Nonlinearity,
    /// What the LSTM's forget gate's biases sum to at the start, instead of PyTorch's uniform values.
    pub forget_bias: Option<f64>,
    /// Whether each gate's part of `weight_hh` starts orthogonal instead of uniform.
    pub orthogonal: bool,
    /// P, the size to which the LSTM projects its output.
    pub proj_size: Option<usize>,
    /// What [`crate::LstmVariantCell`] leaves out of the LSTM, or adds to it.
    pub variant: LstmVariant,
    /// Whether [`crate::LstmVariantCell`]'s gates look at the memory.
    pub peepholes: bool,
    /// Which of the three units [`crate::MutantCell`] is.
    pub mutant: Mutant,
    /// How many steps each convolution sees ([`crate::TemporalConvolution`]).
    pub kernel_size: usize,
    /// How many heads attend side by side ([`crate::SelfAttention`]).
    pub num_heads: usize,
    /// The probability of dropout on the outputs of each layer but the last.
    pub dropout: f64,
    /// The probability of dropout on the inputs of the first layer.
    pub input_dropout: f64,
    /// Whether dropout takes the same units at all steps, as [`variational_dropout`] does.
    pub variational: bool,
    /// The probability of [`drop_connect`] on the matrices from state to state.
    pub weight_dropout: f64,
    /// The probability of [`recurrent_dropout`] on the state h where the matrices from state to state read it.
    pub recurrent_dropout: f64,
    /// The probability of [`zoneout`] for the outputs h.
    pub zoneout_hidden: f64,
    /// The probability of [`zoneout`] for the rest of the state, such as c.
    pub zoneout_cell: f64,
}

impl Default for StackConfig {
    fn default() -> Self {
        let cell = CellConfig::default();
        let CellConfig { bias, nonlinearity, forget_bias, orthogonal, proj_size, variant, peepholes, mutant } = cell;
        Self {
            num_layers: 1,
            bidirectional: false,
            bias,
            nonlinearity,
            forget_bias,
            orthogonal,
            proj_size,
            variant,
            peepholes,
            mutant,
            kernel_size: 3,
            num_heads: 1,
            dropout: 0.0,
            input_dropout: 0.0,
            variational: false,
            weight_dropout: 0.0,
            recurrent_dropout: 0.0,
            zoneout_hidden: 0.0,
            zoneout_cell: 0.0,
        }
    }
}

impl StackConfig {
    /// What concerns each cell.
    pub fn cell(&self) -> CellConfig {
        let Self { bias, nonlinearity, forget_bias, orthogonal, proj_size, variant, peepholes, mutant, .. } = *self;
        CellConfig { bias, nonlinearity, forget_bias, orthogonal, proj_size, variant, peepholes, mutant }
    }

    /// Checks what the types allow and no stack can be.
    ///
    /// # Errors
    /// When there is no layer, or a probability lies outside [0, 1]; the message names it.
    pub(crate) fn check(&self) -> Result<()> {
        if self.num_layers == 0 {
            candle_core::bail!("stack: num_layers is 0, wants at least 1")
        }
        let probabilities = [
            ("dropout", self.dropout),
            ("input_dropout", self.input_dropout),
            ("weight_dropout", self.weight_dropout),
            ("recurrent_dropout", self.recurrent_dropout),
            ("zoneout_hidden", self.zoneout_hidden),
            ("zoneout_cell", self.zoneout_cell),
        ];
        match probabilities.iter().find(|(_, p)| !(0.0..=1.0).contains(p)) {
            Some((name, p)) => candle_core::bail!("stack: {name} is {p}, wants a probability in [0, 1]"),
            None => Ok(()),
        }
    }

    /// Dropout as the configuration wants it, on sequences (N, T, D).
    pub(crate) fn drop(&self, xs: &Tensor, p: f64, mode: &mut Mode) -> Result<Tensor> {
        if self.variational { variational_dropout(xs, p, mode) } else { mode.dropout(xs, p) }
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
    config: StackConfig,
}

impl<C: Cell> Stack<C> {
    /// A stack from inputs of size D to outputs of size H, or 2H where it is bidirectional.
    ///
    /// # Errors
    /// When there is no layer, a probability lies outside [0, 1], or the builder lacks a parameter or has one
    /// of another shape.
    pub fn new(input_size: usize, hidden_size: usize, config: &StackConfig, vb: VarBuilder) -> Result<Self> {
        config.check()?;
        if hidden_size == 0 || input_size == 0 {
            candle_core::bail!(
                "recurrent layer: the input size is {input_size} and the hidden size {hidden_size}; wanted above 0"
            )
        }
        let suffixes: &[&str] = if config.bidirectional { &["", "_reverse"] } else { &[""] };
        let mut cells: Vec<C> = Vec::new();
        for layer in 0..config.num_layers {
            let width = cells.last().map_or(input_size, |below| below.output_size() * suffixes.len());
            for suffix in suffixes {
                let suffix = format!("_l{layer}{suffix}");
                cells.push(C::with_suffix(width, hidden_size, &config.cell(), &suffix, vb.clone())?);
            }
        }
        Ok(Self { cells, directions: suffixes.len(), config: config.clone() })
    }

    /// The cells, layer by layer, and forwards before backwards.
    pub fn cells(&self) -> &[C] {
        &self.cells
    }

    /// How many directions each layer reads in: 1 or 2.
    pub fn directions(&self) -> usize {
        self.directions
    }

    /// The size of the outputs: H, or P where they are projected, for each direction.
    pub fn output_size(&self) -> usize {
        self.cells.last().map_or(0, |cell| cell.output_size() * self.directions)
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
            let p = if layer > 0 { self.config.dropout } else { self.config.input_dropout };
            ys = self.config.drop(&ys, p, mode)?;
            let mut outputs = Vec::with_capacity(self.directions);
            for (direction, (cell, state)) in cells.iter().zip(states).enumerate() {
                let (output, state) = self.read(cell, &ys, state, lengths, direction == 1, mode)?;
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

    /// One layer in one direction, with what regularises its recurrence.
    fn read(
        &self,
        cell: &C,
        xs: &Tensor,
        state: &C::State,
        lengths: Option<&[usize]>,
        reverse: bool,
        mode: &mut Mode,
    ) -> Result<(Tensor, C::State)> {
        let StackConfig { weight_dropout, recurrent_dropout: p, zoneout_hidden, zoneout_cell, .. } = self.config;
        let dropped;
        let cell = if weight_dropout > 0.0 && mode.is_training() {
            dropped = drop_connect(cell, weight_dropout, mode)?;
            &dropped
        } else {
            cell
        };
        let cell = recurrent_dropout(cell, p, state, mode)?;
        match zoneout_hidden > 0.0 || zoneout_cell > 0.0 {
            true => zoneout(&cell, (zoneout_hidden, zoneout_cell), xs, state, lengths, reverse, mode),
            false => cell.sequence(xs, state, lengths, reverse),
        }
    }
}
