//! Layers and directions of any cell.

use crate::cell::{BuildCell, Cell, SuffixedBuilder, backwards};
use crate::cells::{gru::GruCell, lstm::LstmCell, rnn::RnnCell};
use crate::gradient_flow::{GradientFlow, gradient_flow};
use crate::layer::{LayerState, SequenceLayer, check};
use crate::regularisation::drop_connect::drop_connect;
use crate::regularisation::recurrent_dropout::recurrent_dropout;
use crate::regularisation::variational::dropout;
use crate::regularisation::zoneout::Zoneout;
use candle_core::{D, Result, Tensor};
use candlewick_parameters::{Mode, VarBuilder};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A stack of LSTM layers, as torch.nn.LSTM with `batch_first=True`.
pub type Lstm = Stack<LstmCell>;

/// A stack of GRU layers, as torch.nn.GRU with `batch_first=True`.
pub type Gru = Stack<GruCell>;

/// A stack of plain recurrent layers, as torch.nn.RNN with `batch_first=True`.
pub type Rnn = Stack<RnnCell>;

/// How a stack is built: what can be chosen about it, and in `cell` about its cells, which a file writes beside the rest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, bound(deserialize = "C: Default + DeserializeOwned"))]
pub struct StackConfig<C> {
    /// What can be chosen about the cells, such as [`crate::cells::lstm::LstmConfig`].
    #[serde(flatten)]
    pub cell: C,
    /// L, at least 1.
    pub num_layers: usize,
    /// Whether each layer also reads backwards.
    pub bidirectional: bool,
    /// The probability of dropout on the outputs of each layer but the last.
    pub dropout: f64,
    /// The probability of dropout on the inputs of the first layer.
    pub input_dropout: f64,
    /// Whether dropout takes the same units at all steps, as [`crate::variational_dropout`] does.
    pub variational: bool,
    /// The probability of [`drop_connect`] on the matrices from state to state.
    pub weight_dropout: f64,
    /// The probability of [`recurrent_dropout`] on the state h where the matrices from state to state read it.
    pub recurrent_dropout: f64,
    /// The probability of [`Zoneout`] for the outputs h.
    pub zoneout_hidden: f64,
    /// The probability of [`Zoneout`] for the rest of the state, such as c.
    pub zoneout_cell: f64,
}

impl<C: Default> Default for StackConfig<C> {
    fn default() -> Self {
        Self {
            cell: C::default(),
            num_layers: 1,
            bidirectional: false,
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

/// Layers of a cell, each reading the outputs of the one below, forwards or both ways.
///
/// The parameters of layer k are named `weight_ih_l{k}` and so on, those of the direction that reads backwards
/// `weight_ih_l{k}_reverse`. A layer that reads both ways gives both outputs side by side (N, T, 2H).
#[derive(Clone, Debug)]
pub struct Stack<C: BuildCell> {
    /// Layer by layer, and forwards before backwards.
    cells: Vec<Box<dyn Cell>>,
    directions: usize,
    config: StackConfig<C::Config>,
}

impl<C: BuildCell> Stack<C> {
    /// A stack from inputs of size D to outputs of size H, or 2H where it is bidirectional.
    ///
    /// # Errors
    /// When there is no layer, a probability lies outside [0, 1], the cell lacks what is chosen, or the builder lacks a parameter or has
    /// one of another shape.
    pub fn new(input_size: usize, hidden_size: usize, config: &StackConfig<C::Config>, vb: VarBuilder) -> Result<Self> {
        let probabilities = [
            ("dropout", config.dropout),
            ("input_dropout", config.input_dropout),
            ("weight_dropout", config.weight_dropout),
            ("recurrent_dropout", config.recurrent_dropout),
            ("zoneout_hidden", config.zoneout_hidden),
            ("zoneout_cell", config.zoneout_cell),
        ];
        check(config.num_layers, &probabilities)?;
        if hidden_size == 0 || input_size == 0 {
            candle_core::bail!(
                "recurrent layer: the input size is {input_size} and the hidden size {hidden_size}; wanted above 0"
            )
        }
        let suffixes: &[&str] = if config.bidirectional { &["", "_reverse"] } else { &[""] };
        let mut cells: Vec<Box<dyn Cell>> = Vec::new();
        for layer in 0..config.num_layers {
            let width = cells.last().map_or(input_size, |below| output_size(below.as_ref()) * suffixes.len());
            for suffix in suffixes {
                let vb = SuffixedBuilder::new(vb.clone(), format!("_l{layer}{suffix}"));
                cells.push(Box::new(C::named(width, hidden_size, &config.cell, &vb)?));
            }
        }
        if config.zoneout_cell > 0.0 && cells.iter().any(|cell| cell.state_sizes().len() < 2) {
            candle_core::bail!("stack: zoneout_cell is {:?}, but the cell has no memory", config.zoneout_cell)
        }
        Ok(Self { cells, directions: suffixes.len(), config: config.clone() })
    }

    /// The cells, layer by layer, and forwards before backwards.
    pub fn cells(&self) -> &[Box<dyn Cell>] {
        &self.cells
    }

    /// The state of zeros for N rows: one for each layer and direction.
    ///
    /// # Errors
    /// When the device knows no such type.
    pub fn zero_state(&self, n: usize, like: &Tensor) -> Result<LayerState> {
        self.cells.iter().map(|cell| cell.zero_state(n, like.dtype(), like.device())).collect()
    }

    /// One layer in one direction, with what regularises its recurrence.
    fn read(
        &self,
        cell: &dyn Cell,
        xs: &Tensor,
        state: &[Tensor],
        lengths: Option<&[usize]>,
        reverse: bool,
        mode: &mut Mode,
    ) -> Result<(Tensor, Vec<Tensor>)> {
        let &StackConfig { weight_dropout, recurrent_dropout: p, zoneout_hidden, zoneout_cell, .. } = &self.config;
        let (dropped, masked);
        let mut cell = cell;
        if weight_dropout > 0.0 && mode.is_training() {
            dropped = drop_connect(cell, weight_dropout, mode)?;
            cell = dropped.as_ref();
        }
        masked = recurrent_dropout(cell, p, state, mode)?;
        if let Some(masked) = &masked {
            cell = masked;
        }
        match zoneout_hidden > 0.0 || zoneout_cell > 0.0 {
            true => {
                let zoneout = Zoneout { hidden: zoneout_hidden, cell: zoneout_cell };
                zoneout.sequence(cell, xs, state, lengths, reverse, mode)
            }
            false => cell.sequence(xs, state, lengths, reverse),
        }
    }
}

fn output_size(cell: &dyn Cell) -> usize {
    cell.state_sizes().first().copied().unwrap_or(0)
}

/// The outputs of a layer's directions side by side.
fn side_by_side(outputs: &[Tensor]) -> Result<Tensor> {
    match outputs {
        [one] => Ok(one.clone()),
        both => Tensor::cat(both, D::Minus1),
    }
}

impl<C: BuildCell> SequenceLayer for Stack<C> {
    fn output_size(&self) -> usize {
        self.cells.last().map_or(0, |cell| output_size(cell.as_ref()) * self.directions)
    }

    fn state_sizes(&self) -> Vec<Vec<usize>> {
        self.cells.iter().map(|cell| cell.state_sizes()).collect()
    }

    fn forward(
        &self,
        xs: &Tensor,
        state: Option<&[Vec<Tensor>]>,
        lengths: Option<&[usize]>,
        mode: &mut Mode,
    ) -> Result<(Tensor, LayerState)> {
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
        let weights = self.cells.first().and_then(|cell| Some(cell.parameters().first()?.dtype()));
        if let Some(dtype) = weights.filter(|&dtype| dtype != xs.dtype()) {
            candle_core::bail!("stack: the weights are {dtype:?}, the inputs {:?}; cast the inputs", xs.dtype())
        }
        let (mut ys, mut last) = (xs.clone(), Vec::with_capacity(first.len()));
        let layers = self.cells.chunks(self.directions).zip(first.chunks(self.directions));
        for (layer, (cells, states)) in layers.enumerate() {
            let p = if layer > 0 { self.config.dropout } else { self.config.input_dropout };
            ys = dropout(&ys, p, self.config.variational, mode)?;
            let mut outputs = Vec::with_capacity(self.directions);
            for (direction, (cell, state)) in cells.iter().zip(states).enumerate() {
                let (output, state) = self.read(cell.as_ref(), &ys, state, lengths, direction == 1, mode)?;
                outputs.push(output);
                last.push(state);
            }
            ys = side_by_side(&outputs)?;
        }
        Ok((ys, last))
    }

    fn gradient_flow(&self, xs: &Tensor, clip: Option<f64>) -> Result<Vec<GradientFlow>> {
        let (mut ys, mut flows) = (xs.detach(), Vec::new());
        for cells in self.cells.chunks(self.directions) {
            let mut outputs = Vec::new();
            for (direction, cell) in cells.iter().enumerate() {
                let zero = cell.zero_state(ys.dim(0)?, ys.dtype(), ys.device())?;
                let read = if direction == 1 { backwards(&ys)? } else { ys.clone() };
                flows.push(gradient_flow(cell.as_ref(), &read, &zero, None, clip)?);
                outputs.push(cell.sequence(&ys, &zero, None, direction == 1)?.0.detach());
            }
            ys = side_by_side(&outputs)?;
        }
        Ok(flows)
    }
}
