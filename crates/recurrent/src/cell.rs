//! What a recurrent cell is.

use candle_core::{DType, Device, Result, Tensor};
use candlewick_kernels::recurrence::{Nonlinearity, unrolled};
use candlewick_parameters::{Initial, ParameterBuilder, VarBuilder};
use serde::{Deserialize, Serialize};

/// How a cell is built; each cell takes what concerns it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CellConfig {
    /// Whether there are `bias_ih` and `bias_hh`.
    pub bias: bool,
    /// The nonlinearity of the plain recurrent network.
    #[serde(with = "nonlinearity")]
    pub nonlinearity: Nonlinearity,
    /// What the LSTM's forget gate's biases sum to at the start, instead of PyTorch's uniform values.
    ///
    /// Jozefowicz et al. 2015, "An empirical exploration of recurrent network architectures", recommend 1.
    pub forget_bias: Option<f64>,
    /// Whether each gate's part of `weight_hh` starts orthogonal instead of uniform.
    pub orthogonal: bool,
}

impl Default for CellConfig {
    fn default() -> Self {
        Self { bias: true, nonlinearity: Nonlinearity::Tanh, forget_bias: None, orthogonal: false }
    }
}

/// torch.nn.RNN's words for the nonlinearity.
pub(crate) mod nonlinearity {
    use super::Nonlinearity;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(value: &Nonlinearity, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match value {
            Nonlinearity::Tanh => "tanh",
            Nonlinearity::Relu => "relu",
        })
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Nonlinearity, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "tanh" => Ok(Nonlinearity::Tanh),
            "relu" => Ok(Nonlinearity::Relu),
            other => Err(D::Error::custom(format!("nonlinearity: wants \"tanh\" or \"relu\", got {other:?}"))),
        }
    }
}

/// The state of a cell: a fixed number of tensors (N, ·), the output first.
pub trait CellState: Clone + Send + Sync {
    /// The tensors, the output first.
    fn tensors(&self) -> Vec<Tensor>;

    /// The state of these tensors.
    ///
    /// # Errors
    /// When their number is wrong.
    fn from_tensors(tensors: &[Tensor]) -> Result<Self>;
}

/// The plainest state: one tensor h (N, H).
impl CellState for Tensor {
    fn tensors(&self) -> Vec<Tensor> {
        vec![self.clone()]
    }

    fn from_tensors(tensors: &[Tensor]) -> Result<Self> {
        match tensors {
            [h] => Ok(h.clone()),
            other => candle_core::bail!("state: wants one tensor, got {}", other.len()),
        }
    }
}

/// A recurrent cell: one formula, with its parameters and state.
///
/// A new cell needs only its formula in [`Cell::step`]; [`Cell::sequence`] then runs it as one node of the graph.
pub trait Cell: Clone + Send + Sync + 'static {
    /// What goes from step to step.
    type State: CellState;

    /// A cell whose parameters carry this suffix: `weight_ih` + suffix and so on; empty for a cell that serves alone.
    ///
    /// # Errors
    /// When the builder lacks a parameter, or has one of another shape.
    fn with_suffix(
        input_size: usize,
        hidden_size: usize,
        config: &CellConfig,
        suffix: &str,
        vb: VarBuilder,
    ) -> Result<Self>;

    /// A cell that serves alone, with the names of torch.nn.LSTMCell: `weight_ih`, `weight_hh`, `bias_ih`, `bias_hh`.
    ///
    /// # Errors
    /// When the builder lacks a parameter, or has one of another shape.
    fn new(input_size: usize, hidden_size: usize, config: &CellConfig, vb: VarBuilder) -> Result<Self> {
        Self::with_suffix(input_size, hidden_size, config, "", vb)
    }

    /// H.
    fn hidden_size(&self) -> usize;

    /// The state of zeros for N rows.
    ///
    /// # Errors
    /// When the device has no memory for it.
    fn zero_state(&self, n: usize, dtype: DType, device: &Device) -> Result<Self::State>;

    /// One step: from x (N, D) and the state to the new state.
    ///
    /// # Errors
    /// When shapes do not fit together.
    fn step(&self, x: &Tensor, state: &Self::State) -> Result<Self::State>;

    /// All the parameters that [`Self::step`] uses.
    fn parameters(&self) -> Vec<Tensor>;

    /// The same cell with other parameters, in the order of [`Self::parameters`].
    ///
    /// # Errors
    /// When their number is wrong.
    fn with_parameters(&self, parameters: &[Tensor]) -> Result<Self>;

    /// A whole sequence: from xs (N, T, D) and the first state to the outputs (N, T, H) and the last state.
    ///
    /// With `lengths`, row n ends after `lengths[n]` steps: outputs beyond are 0 and its state stands still. With `reverse`
    /// each row runs from its own last step to step 0. One node of the graph either way.
    ///
    /// # Errors
    /// When shapes do not fit together, or a length exceeds T.
    fn sequence(
        &self,
        xs: &Tensor,
        state: &Self::State,
        lengths: Option<&[usize]>,
        reverse: bool,
    ) -> Result<(Tensor, Self::State)> {
        let cell = self.clone();
        let step = move |x: &Tensor, state: &[Tensor], parameters: &[Tensor]| {
            let state = Self::State::from_tensors(state)?;
            Ok(cell.with_parameters(parameters)?.step(x, &state)?.tensors())
        };
        let (out, state) = unrolled(step, xs, &state.tensors(), &self.parameters(), lengths, reverse)?;
        Ok((out, Self::State::from_tensors(&state)?))
    }
}

/// The parameters that PyTorch's cells have: W_ih (G·H, D), W_hh (G·H, H) and their biases (G·H).
#[derive(Clone, Debug)]
pub(crate) struct Weights {
    pub weight_ih: Tensor,
    pub weight_hh: Tensor,
    pub biases: Option<(Tensor, Tensor)>,
}

impl Weights {
    /// The parameters of a cell with this many gates; `forget` is the gate that `forget_bias` concerns.
    pub fn new(
        gates: usize,
        (input_size, hidden_size): (usize, usize),
        config: &CellConfig,
        forget: Option<usize>,
        suffix: &str,
        vb: &VarBuilder,
    ) -> Result<Self> {
        let uniform = Initial::fan_in(hidden_size);
        let recurrent = match config.orthogonal {
            true => Initial::Blocks(vec![Initial::Orthogonal(1.0); gates]),
            false => uniform.clone(),
        };
        let rows = gates * hidden_size;
        let name = |part: &str| format!("{part}{suffix}");
        let weight_ih = vb.parameter((rows, input_size), &name("weight_ih"), uniform.clone())?;
        let weight_hh = vb.parameter((rows, hidden_size), &name("weight_hh"), recurrent)?;
        let bias = |part: &str, value: f64| {
            let initial = match (config.forget_bias, forget) {
                (Some(_), Some(gate)) => {
                    let mut blocks = vec![uniform.clone(); gates];
                    blocks[gate] = Initial::Constant(value);
                    Initial::Blocks(blocks)
                }
                _ => uniform.clone(),
            };
            vb.parameter(rows, &name(part), initial)
        };
        // The two biases are always added, so one of them carries the wanted sum.
        let biases = match config.bias {
            true => Some((bias("bias_ih", config.forget_bias.unwrap_or(0.0))?, bias("bias_hh", 0.0)?)),
            false => None,
        };
        Ok(Self { weight_ih, weight_hh, biases })
    }

    pub fn hidden_size(&self) -> usize {
        self.weight_hh.dims().last().copied().unwrap_or(0)
    }

    pub fn tensors(&self) -> Vec<Tensor> {
        let biases = self.biases.iter().flat_map(|(ih, hh)| [ih.clone(), hh.clone()]);
        [self.weight_ih.clone(), self.weight_hh.clone()].into_iter().chain(biases).collect()
    }

    pub fn from_tensors(tensors: &[Tensor]) -> Result<Self> {
        let (weight_ih, weight_hh, biases) = match tensors {
            [ih, hh] => (ih, hh, None),
            [ih, hh, b_ih, b_hh] => (ih, hh, Some((b_ih.clone(), b_hh.clone()))),
            other => candle_core::bail!("cell: wants two weights and two biases or none, got {} tensors", other.len()),
        };
        Ok(Self { weight_ih: weight_ih.clone(), weight_hh: weight_hh.clone(), biases })
    }

    /// Both biases at once (G·H), for cells that only ever add them.
    pub fn bias(&self) -> Result<Option<Tensor>> {
        self.biases.as_ref().map(|(ih, hh)| ih + hh).transpose()
    }
}
