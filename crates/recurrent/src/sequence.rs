//! Layers over sequences by name: recurrent networks of every cell, and what they are compared with.
//!
//! A recipe that says `cell = "mut1"` gets its layer from [`sequence_layer`] and needs to know nothing of its state.

use crate::cell::{Cell, CellState};
use crate::flow::GradientFlow;
use crate::self_attention::SelfAttention;
use crate::settings::check;
use crate::temporal_convolution::TemporalConvolution;
use crate::{GruCell, LayerNormLstmCell, LstmCell, LstmVariant, LstmVariantCell, Mutant, MutantCell, NasCell, RnnCell};
use crate::{Stack, StackConfig};
use candle_core::{Result, Tensor};
use candlewick_generation::SelectRows;
use candlewick_parameters::{Mode, VarBuilder};

/// A layer that reads sequences (N, T, D) and gives sequences (N, T, [`Self::output_size`]).
pub trait SequenceLayer: Send + Sync {
    /// The size of the outputs: for a recurrent layer H, or P where it is projected, for each direction; else H.
    fn output_size(&self) -> usize;

    /// Reads xs (N, T, D) from a state, or from the beginning; gives the outputs and the state after the last step.
    ///
    /// With `lengths`, row n has `lengths[n]` steps: outputs beyond are 0, and nothing beyond is read.
    ///
    /// # Errors
    /// When shapes do not fit together, a length exceeds T, or the state is that of another layer.
    fn forward(
        &self,
        xs: &Tensor,
        state: Option<&SequenceState>,
        lengths: Option<&[usize]>,
        mode: &mut Mode,
    ) -> Result<(Tensor, SequenceState)>;

    /// How the gradient of a loss at the last step of xs (N, T, D) goes back through each cell, in the order of the states; with
    /// `clip`, [clipped](crate::flow) at that norm at each step.
    ///
    /// Each cell is measured alone, on the inputs it has in the layer; a layer that is not recurrent has no cells.
    ///
    /// # Errors
    /// When shapes do not fit together, there is no step, or `clip` is not above 0.
    fn gradient_flow(&self, xs: &Tensor, clip: Option<f64>) -> Result<Vec<GradientFlow>>;
}

/// The state of a layer of any cell: a list of tensors (N, ·) for each cell, the output first; empty where nothing is carried.
#[derive(Clone, Debug, Default)]
pub struct SequenceState(Vec<Vec<Tensor>>);

impl SequenceState {
    /// A state of these tensors, cell by cell.
    pub fn new(cells: Vec<Vec<Tensor>>) -> Self {
        Self(cells)
    }

    /// The tensors, cell by cell, layer by layer and forwards before backwards.
    pub fn cells(&self) -> &[Vec<Tensor>] {
        &self.0
    }
}

impl SelectRows for SequenceState {
    fn select(&self, rows: &Tensor) -> Result<Self> {
        Ok(Self(self.0.select(rows)?))
    }
}

impl<C: Cell> SequenceLayer for Stack<C> {
    fn output_size(&self) -> usize {
        Stack::output_size(self)
    }

    fn forward(
        &self,
        xs: &Tensor,
        state: Option<&SequenceState>,
        lengths: Option<&[usize]>,
        mode: &mut Mode,
    ) -> Result<(Tensor, SequenceState)> {
        let read = |state: &SequenceState| state.0.iter().map(|tensors| C::State::from_tensors(tensors)).collect();
        let state: Option<Vec<C::State>> = state.map(read).transpose()?;
        let (ys, last) = Stack::forward(self, xs, state.as_deref(), lengths, mode)?;
        Ok((ys, SequenceState(last.iter().map(CellState::tensors).collect())))
    }

    fn gradient_flow(&self, xs: &Tensor, clip: Option<f64>) -> Result<Vec<GradientFlow>> {
        Stack::gradient_flow(self, xs, clip)
    }
}

/// What a name stands for.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Rnn,
    Lstm,
    Gru,
    Variant(LstmVariant),
    Mutant(Mutant),
    Nas,
    LayerNorm,
    Convolution,
    Attention,
}

/// The names that [`sequence_layer`] takes; those of the LSTM's variants are the paper's.
const TABLE: [(&str, Kind); 18] = [
    ("rnn", Kind::Rnn),
    ("lstm", Kind::Lstm),
    ("gru", Kind::Gru),
    ("lstm_v", Kind::Variant(LstmVariant::Vanilla)),
    ("lstm_nig", Kind::Variant(LstmVariant::NoInputGate)),
    ("lstm_nfg", Kind::Variant(LstmVariant::NoForgetGate)),
    ("lstm_nog", Kind::Variant(LstmVariant::NoOutputGate)),
    ("lstm_niaf", Kind::Variant(LstmVariant::NoInputActivation)),
    ("lstm_noaf", Kind::Variant(LstmVariant::NoOutputActivation)),
    ("lstm_cifg", Kind::Variant(LstmVariant::CoupledGates)),
    ("lstm_fgr", Kind::Variant(LstmVariant::FullGateRecurrence)),
    ("lstm_layer_norm", Kind::LayerNorm),
    ("mut1", Kind::Mutant(Mutant::Mut1)),
    ("mut2", Kind::Mutant(Mutant::Mut2)),
    ("mut3", Kind::Mutant(Mutant::Mut3)),
    ("nas", Kind::Nas),
    ("convolution", Kind::Convolution),
    ("self_attention", Kind::Attention),
];

/// What the name stands for.
pub(crate) fn kind(name: &str) -> Result<Kind> {
    match TABLE.iter().find(|row| row.0 == name) {
        Some(&(_, kind)) => Ok(kind),
        None => candle_core::bail!("no sequence layer is called {name}; there are {}", sequence_layers().join(", ")),
    }
}

/// The names that [`sequence_layer`] takes.
pub fn sequence_layers() -> &'static [&'static str] {
    const NAMES: [&str; TABLE.len()] = {
        let mut names = [""; TABLE.len()];
        let mut index = 0;
        while index < names.len() {
            names[index] = TABLE[index].0;
            index += 1;
        }
        names
    };
    &NAMES
}

/// Builds the layer of this name from inputs of size D to H; the name says `variant` and `mutant` of the configuration.
///
/// `"convolution"` and `"self_attention"` carry no state; they see what comes after a step only where `bidirectional` is set.
///
/// ```
/// # fn main() -> candle_core::Result<()> {
/// use candlewick_recurrent::{StackConfig, sequence_layer};
/// let parameters = candlewick_parameters::Parameters::new(1);
/// let config = StackConfig { bidirectional: true, ..Default::default() };
/// let layer = sequence_layer("mut1", 8, 16, &config, parameters.builder(&candle_core::Device::Cpu))?;
/// assert_eq!(layer.output_size(), 32);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When no layer has this name, the configuration sets what does not concern it ([`StackConfig::concerns`]) or does not fit it, or the
/// builder has no such parameters.
pub fn sequence_layer(
    name: &str,
    input_size: usize,
    hidden_size: usize,
    config: &StackConfig,
    vb: VarBuilder,
) -> Result<Box<dyn SequenceLayer>> {
    let kind = kind(name)?;
    check(name, kind, config)?;
    fn stack<C: Cell>(d: usize, h: usize, config: &StackConfig, vb: VarBuilder) -> Result<Box<dyn SequenceLayer>> {
        Ok(Box::new(Stack::<C>::new(d, h, config, vb)?))
    }
    let (d, h) = (input_size, hidden_size);
    match kind {
        Kind::Rnn => stack::<RnnCell>(d, h, config, vb),
        Kind::Lstm => stack::<LstmCell>(d, h, config, vb),
        Kind::Gru => stack::<GruCell>(d, h, config, vb),
        Kind::Variant(variant) => stack::<LstmVariantCell>(d, h, &StackConfig { variant, ..config.clone() }, vb),
        Kind::Mutant(mutant) => stack::<MutantCell>(d, h, &StackConfig { mutant, ..config.clone() }, vb),
        Kind::Nas => stack::<NasCell>(d, h, config, vb),
        Kind::LayerNorm => stack::<LayerNormLstmCell>(d, h, config, vb),
        Kind::Convolution => Ok(Box::new(TemporalConvolution::new(d, h, config, vb)?)),
        Kind::Attention => Ok(Box::new(SelfAttention::new(d, h, config, vb)?)),
    }
}

/// Checks what a layer without a state is given: no state, and a length of at most T for each row.
pub(crate) fn check_stateless(
    name: &str,
    xs: &Tensor,
    state: Option<&SequenceState>,
    lengths: Option<&[usize]>,
) -> Result<()> {
    let (n, t, _) = xs.dims3()?;
    if let Some(state) = state.filter(|state| !state.cells().is_empty()) {
        candle_core::bail!("{name}: carries no state, got that of {} cells", state.cells().len())
    }
    match lengths {
        Some(lengths) if lengths.len() != n => {
            candle_core::bail!("{name}: wants a length for each of {n} rows, got {}", lengths.len())
        }
        Some(lengths) => match lengths.iter().position(|&length| length > t) {
            Some(row) => {
                candle_core::bail!("{name}: row {row} has length {}, but there are only {t} steps", lengths[row])
            }
            None => Ok(()),
        },
        None => Ok(()),
    }
}

/// 1 for each step that a row has and 0 for the others: (N, T).
pub(crate) fn mask_of(xs: &Tensor, lengths: Option<&[usize]>) -> Result<Option<Tensor>> {
    let Some(lengths) = lengths else { return Ok(None) };
    let t = xs.dim(1)?;
    let values: Vec<f32> = lengths.iter().flat_map(|&l| (0..t).map(move |t| if t < l { 1.0 } else { 0.0 })).collect();
    Ok(Some(Tensor::from_vec(values, (lengths.len(), t), xs.device())?.to_dtype(xs.dtype())?))
}

/// xs (N, T, ·) with zeros at the steps where the mask (N, T) is 0.
pub(crate) fn masked(xs: &Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
    mask.map_or(Ok(xs.clone()), |mask| xs.broadcast_mul(&mask.unsqueeze(2)?))
}
