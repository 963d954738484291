//! What a recurrent cell is.

use crate::lstm_variants::LstmVariant;
use crate::mutants::Mutant;
use candle_core::{D, DType, Device, Result, Tensor};
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
    /// P, the size to which the LSTM projects its output; without one the output has size H.
    pub proj_size: Option<usize>,
    /// What [`crate::LstmVariantCell`] leaves out of the LSTM, or adds to it.
    pub variant: LstmVariant,
    /// Whether [`crate::LstmVariantCell`]'s gates look at the memory, as they do in the paper.
    pub peepholes: bool,
    /// Which of the three units [`crate::MutantCell`] is.
    pub mutant: Mutant,
}

impl Default for CellConfig {
    fn default() -> Self {
        Self {
            bias: true,
            nonlinearity: Nonlinearity::Tanh,
            forget_bias: None,
            orthogonal: false,
            proj_size: None,
            variant: LstmVariant::Vanilla,
            peepholes: true,
            mutant: Mutant::Mut1,
        }
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
/// A new cell writes its parameters, its state and its formula in [`Cell::step`]; [`Cell::sequence`] then runs it as one node of the
/// graph. Where much of a step depends on x alone, [`Cell::prepare`] and [`Cell::advance`] split it, and the first half is done for all
/// steps at once.
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

    /// The size of the outputs: H, unless the cell projects them.
    fn output_size(&self) -> usize {
        self.hidden_size()
    }

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

    /// The half of the step that depends on x alone, for any number of steps: (.., D) to (.., whatever [`Self::advance`] reads).
    ///
    /// By default x itself.
    ///
    /// # Errors
    /// When shapes do not fit together.
    fn prepare(&self, xs: &Tensor) -> Result<Tensor> {
        Ok(xs.clone())
    }

    /// The other half of the step: from what [`Self::prepare`] made of x (N, ·) and the state to the new state.
    ///
    /// By default the whole step. `advance(prepare(x), state)` must equal `step(x, state)`.
    ///
    /// # Errors
    /// When shapes do not fit together.
    fn advance(&self, prepared: &Tensor, state: &Self::State) -> Result<Self::State> {
        self.step(prepared, state)
    }

    /// [`Self::advance`] with h ⊙ `mask` (N, H) where the matrices from state to state read h, as [`crate::recurrent_dropout()`] wants.
    ///
    /// A cell whose matrices alone read h writes [`advance_on_masked_h`] here; one that carries h past them as well, as the GRU's gate
    /// does, masks only what they read.
    ///
    /// # Errors
    /// By default, since only the cell knows which it is; and when shapes do not fit together.
    fn advance_masked(&self, prepared: &Tensor, state: &Self::State, mask: &Tensor) -> Result<Self::State> {
        let _ = (prepared, state, mask);
        candle_core::bail!(
            "recurrent_dropout: the cell does not say where it reads h; write its Cell::advance_masked, or set it to 0"
        )
    }

    /// All the parameters that [`Self::step`] uses.
    fn parameters(&self) -> Vec<Tensor>;

    /// The same cell with other parameters, in the order of [`Self::parameters`].
    ///
    /// # Errors
    /// When their number is wrong.
    fn with_parameters(&self, parameters: &[Tensor]) -> Result<Self>;

    /// Which of [`Self::parameters`] are matrices from state to state, such as W_hh, by their places.
    ///
    /// DropConnect drops from these and [`crate::flow`] measures them; a cell that names none has neither, nor recurrent dropout.
    fn recurrent_weights(&self) -> Vec<usize> {
        vec![]
    }

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
        looped(self, xs, state, lengths, reverse)
    }
}

/// [`Cell::advance_masked`] of a cell that reads h through its matrices alone: its whole step reads h ⊙ `mask`.
///
/// # Errors
/// When shapes do not fit together.
pub fn advance_on_masked_h<C: Cell>(cell: &C, prepared: &Tensor, state: &C::State, mask: &Tensor) -> Result<C::State> {
    let mut tensors = state.tensors();
    if let Some(h) = tensors.first_mut() {
        *h = (&*h * mask)?;
    }
    cell.advance(prepared, &C::State::from_tensors(&tensors)?)
}

/// [`Cell::sequence`] of a cell without kernels of its own: its step again and again, as one node of the graph.
pub(crate) fn looped<C: Cell>(
    cell: &C,
    xs: &Tensor,
    state: &C::State,
    lengths: Option<&[usize]>,
    reverse: bool,
) -> Result<(Tensor, C::State)> {
    let made = cell.clone();
    let step = move |x: &Tensor, state: &[Tensor], parameters: &[Tensor]| {
        let state = C::State::from_tensors(state)?;
        Ok(made.with_parameters(parameters)?.advance(x, &state)?.tensors())
    };
    let (out, state) = unrolled(step, &cell.prepare(xs)?, &state.tensors(), &cell.parameters(), lengths, reverse)?;
    Ok((out, C::State::from_tensors(&state)?))
}

/// A state of zeros: (N, H).
pub(crate) fn zeros(n: usize, size: usize, dtype: DType, device: &Device) -> Result<Tensor> {
    Tensor::zeros((n, size), dtype, device)
}

/// Block k of the blocks of width H that lie side by side in (.., G·H).
pub(crate) fn block(blocks: &Tensor, k: usize, hidden_size: usize) -> Result<Tensor> {
    blocks.narrow(D::Minus1, k * hidden_size, hidden_size)
}

/// How a matrix of this many blocks from state to state starts.
pub(crate) fn recurrent_initial(config: &CellConfig, blocks: usize, hidden_size: usize) -> Initial {
    match config.orthogonal {
        true => Initial::Blocks(vec![Initial::Orthogonal(1.0); blocks]),
        false => Initial::fan_in(hidden_size),
    }
}

/// How a bias starts whose block `forget` is to have a value of its own.
pub(crate) fn bias_initial(other: Initial, blocks: usize, forget: Option<(usize, f64)>) -> Initial {
    match forget {
        Some((gate, value)) => {
            let block = |k| if k == gate { Initial::Constant(value) } else { other.clone() };
            Initial::Blocks((0..blocks).map(block).collect())
        }
        None => other,
    }
}

/// The parameters that PyTorch's cells have: W_ih (G·H, D), W_hh (G·H, P) and their biases (G·H).
///
/// P is the size of the output, which is H wherever it is not projected.
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
        (input_size, hidden_size, output_size): (usize, usize, usize),
        config: &CellConfig,
        forget: Option<usize>,
        suffix: &str,
        vb: &VarBuilder,
    ) -> Result<Self> {
        let uniform = Initial::fan_in(hidden_size);
        let rows = gates.saturating_mul(hidden_size);
        let name = |part: &str| format!("{part}{suffix}");
        let weight_ih = vb.parameter((rows, input_size), &name("weight_ih"), uniform.clone())?;
        let recurrent = recurrent_initial(config, gates, hidden_size);
        let weight_hh = vb.parameter((rows, output_size), &name("weight_hh"), recurrent)?;
        let bias = |part: &str, value: f64| {
            let forget = config.forget_bias.and(forget).map(|gate| (gate, value));
            vb.parameter(rows, &name(part), bias_initial(uniform.clone(), gates, forget))
        };
        // The two biases are always added, so one of them carries the wanted sum.
        let biases = match config.bias {
            true => Some((bias("bias_ih", config.forget_bias.unwrap_or(0.0))?, bias("bias_hh", 0.0)?)),
            false => None,
        };
        Ok(Self { weight_ih, weight_hh, biases })
    }

    /// The columns of W_hh: H, or P where the output is projected.
    pub fn output_size(&self) -> usize {
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
