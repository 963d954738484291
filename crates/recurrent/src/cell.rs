//! What a recurrent cell is: a formula from x and a state to a state.

use candle_core::{DType, Device, Result, Shape, Tensor};
use candlewick_kernels::recurrence::unrolled;
use candlewick_parameters::{Initial, ParameterBuilder, VarBuilder};
use serde::{Serialize, de::DeserializeOwned};
use std::fmt::Debug;

/// A recurrent cell: one formula, with its parameters.
///
/// A state is a list of tensors (N, ·), the output first. A new cell writes [`Cell::state_sizes`], its formula in [`Cell::step`] and
/// [`Cell::parameters_mut`]; [`Cell::sequence`] then runs the formula over all steps as one node of the graph. Where much of a step
/// depends on x alone, [`Cell::project_input`] and [`Cell::step_projected`] halve it, and the first half is done for all steps at once.
pub trait Cell: CloneCell + Debug + Send + Sync {
    /// The widths of the state's tensors: first that of the output, H unless the cell projects it.
    fn state_sizes(&self) -> Vec<usize>;

    /// One step by the formula, in plain tensors: from x (N, D) and the state to the new state.
    ///
    /// # Errors
    /// When shapes do not fit together, or the state is that of another cell.
    fn step(&self, x: &Tensor, state: &[Tensor]) -> Result<Vec<Tensor>>;

    /// What the formula makes of x alone, for any number of steps: (.., D) to (.., whatever [`Self::step_projected`] reads).
    ///
    /// By default x itself.
    ///
    /// # Errors
    /// When x has another size than D.
    fn project_input(&self, xs: &Tensor) -> Result<Tensor> {
        Ok(xs.clone())
    }

    /// The rest of the formula: `step_projected(project_input(x), state, None)` must equal `step(x, state)`.
    ///
    /// With `mask` (N, H), the matrices from state to state read h ⊙ mask, as [`crate::recurrent_dropout()`] wants; what the cell carries
    /// past its matrices stays whole.
    ///
    /// # Errors
    /// When shapes do not fit together; by default with a mask, since only the cell knows where it reads h.
    fn step_projected(&self, projected: &Tensor, state: &[Tensor], mask: Option<&Tensor>) -> Result<Vec<Tensor>> {
        if mask.is_some() {
            candle_core::bail!(
                "recurrent_dropout: the cell does not say where it reads h; write its Cell::step_projected, or set it to 0"
            )
        }
        self.step(projected, state)
    }

    /// A whole sequence: from xs (N, T, D) and the first state to the outputs (N, T, H) and the last state.
    ///
    /// With `lengths`, row n ends after `lengths[n]` steps: outputs beyond are 0 and its state stands still. With `reverse`
    /// each row runs from its own last step to step 0. It must equal [`Self::step`] again and again; by default it is that, as one node
    /// of the graph.
    ///
    /// # Errors
    /// When shapes do not fit together, or a length exceeds T.
    fn sequence(
        &self,
        xs: &Tensor,
        state: &[Tensor],
        lengths: Option<&[usize]>,
        reverse: bool,
    ) -> Result<(Tensor, Vec<Tensor>)> {
        unroll(self.clone_cell(), xs, state, lengths, reverse)
    }

    /// [`Self::step`] by the fastest way there is, for networks that go step by step themselves; by default the formula.
    ///
    /// # Errors
    /// As [`Self::step`].
    fn fused_step(&self, x: &Tensor, state: &[Tensor]) -> Result<Vec<Tensor>> {
        self.step(x, state)
    }

    /// All the parameters that the formula reads, in an order of the cell's own that never changes.
    fn parameters_mut(&mut self) -> Vec<&mut Tensor>;

    /// Which of the parameters are matrices from state to state, such as W_hh, by their places.
    ///
    /// DropConnect drops from these and [`crate::gradient_flow()`] measures them; a cell that names none has neither, nor recurrent
    /// dropout.
    fn recurrent_weights(&self) -> Vec<usize> {
        vec![]
    }

    /// All the parameters, in the order of [`Self::parameters_mut`].
    fn parameters(&self) -> Vec<Tensor> {
        self.clone_cell().parameters_mut().into_iter().map(|parameter| parameter.clone()).collect()
    }

    /// The same cell with other parameters, in the order of [`Self::parameters_mut`].
    ///
    /// # Errors
    /// When their number is wrong.
    fn with_parameters(&self, parameters: &[Tensor]) -> Result<Box<dyn Cell>> {
        let mut cell = self.clone_cell();
        let own = cell.parameters_mut();
        if own.len() != parameters.len() {
            candle_core::bail!("cell: wants {} parameters, got {}", own.len(), parameters.len())
        }
        own.into_iter().zip(parameters).for_each(|(own, parameter)| *own = parameter.clone());
        Ok(cell)
    }

    /// The state of zeros for N rows.
    ///
    /// # Errors
    /// When the device knows no such type.
    fn zero_state(&self, n: usize, dtype: DType, device: &Device) -> Result<Vec<Tensor>> {
        self.state_sizes().into_iter().map(|size| Tensor::zeros((n, size), dtype, device)).collect()
    }
}

/// A cell that can be cloned whatever its type; every [`Cell`] that is `Clone` is one.
pub trait CloneCell {
    /// The same cell, which shares the parameters.
    fn clone_cell(&self) -> Box<dyn Cell>;
}

impl<C: Cell + Clone + 'static> CloneCell for C {
    fn clone_cell(&self) -> Box<dyn Cell> {
        Box::new(self.clone())
    }
}

impl Clone for Box<dyn Cell> {
    fn clone(&self) -> Self {
        self.as_ref().clone_cell()
    }
}

/// A cell that a configuration builds.
pub trait BuildCell: Cell + Sized + 'static {
    /// What can be chosen about the cell, and nothing else.
    type Config: Clone + Debug + Default + PartialEq + Serialize + DeserializeOwned + Send + Sync;

    /// A cell whose parameters' names end as the builder says: `weight_ih_l0_reverse` and so on.
    ///
    /// # Errors
    /// When the configuration does not fit the sizes, or the builder lacks a parameter or has one of another shape.
    fn named(input_size: usize, hidden_size: usize, config: &Self::Config, vb: &SuffixedBuilder) -> Result<Self>;

    /// A cell that serves alone, with the names of torch.nn.LSTMCell: `weight_ih`, `weight_hh`, `bias_ih`, `bias_hh`.
    ///
    /// # Errors
    /// As [`Self::named`].
    fn new(input_size: usize, hidden_size: usize, config: &Self::Config, vb: VarBuilder) -> Result<Self> {
        Self::named(input_size, hidden_size, config, &SuffixedBuilder::new(vb, ""))
    }
}

/// A builder of parameters whose names all end alike, such as those of one layer and direction: `weight_ih_l0_reverse`.
#[derive(Clone)]
pub struct SuffixedBuilder<'a> {
    vb: VarBuilder<'a>,
    suffix: String,
}

impl<'a> SuffixedBuilder<'a> {
    /// A builder that appends `suffix` to each name.
    pub fn new(vb: VarBuilder<'a>, suffix: impl Into<String>) -> Self {
        Self { vb, suffix: suffix.into() }
    }

    /// The parameter of this name and the suffix.
    ///
    /// # Errors
    /// When the builder has no such parameter, or one of another shape.
    pub fn parameter(&self, shape: impl Into<Shape>, name: &str, initial: Initial) -> Result<Tensor> {
        self.vb.parameter(shape, &format!("{name}{}", self.suffix), initial)
    }

    /// The builder of a layer of this name and the suffix.
    pub fn pp(&self, name: &str) -> VarBuilder<'a> {
        self.vb.pp(format!("{name}{}", self.suffix))
    }
}

/// A cell's formula over a sequence, as one node of the graph.
pub(crate) fn unroll(
    cell: Box<dyn Cell>,
    xs: &Tensor,
    state: &[Tensor],
    lengths: Option<&[usize]>,
    reverse: bool,
) -> Result<(Tensor, Vec<Tensor>)> {
    let (projected, parameters) = (cell.project_input(xs)?, cell.parameters());
    let step = move |x: &Tensor, state: &[Tensor], parameters: &[Tensor]| {
        cell.with_parameters(parameters)?.step_projected(x, state, None)
    };
    unrolled(step, &projected, state, &parameters, lengths, reverse)
}

/// [`Cell::fused_step`] of a cell whose [`Cell::sequence`] has kernels of its own: a sequence of one step.
///
/// # Errors
/// As [`Cell::sequence`].
pub fn step_of_sequence(cell: &impl Cell, x: &Tensor, state: &[Tensor]) -> Result<Vec<Tensor>> {
    Ok(cell.sequence(&x.unsqueeze(1)?, state, None, false)?.1)
}

/// The tensors of a state that has so many; `cell` is what the message calls the cell.
///
/// # Errors
/// When the state has another number of tensors.
pub fn state_of<'a, const COUNT: usize>(cell: &str, state: &'a [Tensor]) -> Result<&'a [Tensor; COUNT]> {
    match state.try_into() {
        Ok(state) => Ok(state),
        Err(_) => candle_core::bail!("{cell}: wants a state of {COUNT} tensors, got {}", state.len()),
    }
}

/// h as the matrices from state to state read it: h ⊙ mask, for [`Cell::step_projected`].
///
/// # Errors
/// When the shapes differ.
pub fn dropped(h: &Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
    mask.map_or(Ok(h.clone()), |mask| h * mask)
}

/// Checks that there is a length of at most T for each row of xs (N, T, ·).
pub(crate) fn check_lengths(name: &str, xs: &Tensor, lengths: Option<&[usize]>) -> Result<()> {
    let (n, t, _) = xs.dims3()?;
    let Some(lengths) = lengths else { return Ok(()) };
    if lengths.len() != n {
        candle_core::bail!("{name}: wants a length for each of {n} rows, got {}", lengths.len())
    }
    match lengths.iter().enumerate().find(|&(_, &length)| length > t) {
        Some((row, length)) => {
            candle_core::bail!("{name}: row {row} has length {length}, but there are only {t} steps")
        }
        None => Ok(()),
    }
}

/// A sequence (N, T, ·) from its end to its beginning.
pub(crate) fn backwards(xs: &Tensor) -> Result<Tensor> {
    let order: Vec<u32> = (0..xs.dim(1)? as u32).rev().collect();
    xs.contiguous()?.index_select(&Tensor::new(order, xs.device())?, 1)
}
