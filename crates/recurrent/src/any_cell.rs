//! Cells of any kind as one type, for networks that step through a sequence themselves.

use crate::cell::{Cell, CellConfig, CellState};
use crate::sequence::{Kind, kind};
use crate::settings::check;
use crate::{GruCell, LayerNormLstmCell, LstmCell, LstmVariantCell, MutantCell, NasCell, RnnCell};
use candle_core::{DType, Device, Result, Tensor};
use candlewick_parameters::VarBuilder;
use std::fmt;
use std::sync::Arc;

/// A cell of any kind, whose state is a list of tensors (N, ·), the output first; a clone shares the parameters.
///
/// ```
/// # fn main() -> candle_core::Result<()> {
/// use candle_core::{DType, Device, Tensor};
/// use candlewick_recurrent::{AnyCell, CellConfig};
/// let parameters = candlewick_parameters::Parameters::new(1);
/// let cell = AnyCell::named("gru", 8, 16, &CellConfig::default(), parameters.builder(&Device::Cpu))?;
/// let state = cell.zero_state(2, DType::F32, &Device::Cpu)?;
/// let state = cell.step(&Tensor::ones((2, 8), DType::F32, &Device::Cpu)?, &state)?;
/// assert_eq!(state[0].dims(), [2, 16]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct AnyCell(Arc<dyn Erased>);

/// A cell without its type of state.
trait Erased: Send + Sync {
    fn output_size(&self) -> usize;
    fn zero_state(&self, n: usize, dtype: DType, device: &Device) -> Result<Vec<Tensor>>;
    fn step(&self, x: &Tensor, state: &[Tensor]) -> Result<Vec<Tensor>>;
    fn parameters(&self) -> Vec<Tensor>;
}

impl<C: Cell> Erased for C {
    fn output_size(&self) -> usize {
        Cell::output_size(self)
    }

    fn zero_state(&self, n: usize, dtype: DType, device: &Device) -> Result<Vec<Tensor>> {
        Ok(Cell::zero_state(self, n, dtype, device)?.tensors())
    }

    fn step(&self, x: &Tensor, state: &[Tensor]) -> Result<Vec<Tensor>> {
        Ok(Cell::step(self, x, &C::State::from_tensors(state)?)?.tensors())
    }

    fn parameters(&self) -> Vec<Tensor> {
        Cell::parameters(self)
    }
}

impl AnyCell {
    /// Forgets which cell it is.
    pub fn new<C: Cell>(cell: C) -> Self {
        Self(Arc::new(cell))
    }

    /// The cell of this name from inputs of size D to a state of size H, with the parameters' names of [`Cell::new`]; the name
    /// says `variant` and `mutant` of the configuration.
    ///
    /// # Errors
    /// When no cell has this name, the configuration sets what does not concern it, or the builder has no such parameters.
    pub fn named(
        name: &str,
        input_size: usize,
        hidden_size: usize,
        config: &CellConfig,
        vb: VarBuilder,
    ) -> Result<Self> {
        let (d, h, kind) = (input_size, hidden_size, kind(name)?);
        check(name, kind, config)?;
        Ok(match kind {
            Kind::Rnn => Self::new(RnnCell::new(d, h, config, vb)?),
            Kind::Lstm => Self::new(LstmCell::new(d, h, config, vb)?),
            Kind::Gru => Self::new(GruCell::new(d, h, config, vb)?),
            Kind::Variant(variant) => {
                Self::new(LstmVariantCell::new(d, h, &CellConfig { variant, ..config.clone() }, vb)?)
            }
            Kind::Mutant(mutant) => Self::new(MutantCell::new(d, h, &CellConfig { mutant, ..config.clone() }, vb)?),
            Kind::Nas => Self::new(NasCell::new(d, h, config, vb)?),
            Kind::LayerNorm => Self::new(LayerNormLstmCell::new(d, h, config, vb)?),
            Kind::Convolution | Kind::Attention => {
                candle_core::bail!("{name} carries no state from step to step; take a recurrent cell")
            }
        })
    }

    /// The size of the output, the state's first tensor.
    pub fn output_size(&self) -> usize {
        self.0.output_size()
    }

    /// The state of zeros for N rows.
    ///
    /// # Errors
    /// When the device has no memory for it.
    pub fn zero_state(&self, n: usize, dtype: DType, device: &Device) -> Result<Vec<Tensor>> {
        self.0.zero_state(n, dtype, device)
    }

    /// One step: from x (N, D) and the state to the new state.
    ///
    /// # Errors
    /// When shapes do not fit together, or the state is that of another cell.
    pub fn step(&self, x: &Tensor, state: &[Tensor]) -> Result<Vec<Tensor>> {
        self.0.step(x, state)
    }

    /// All the parameters, in the order of [`Cell::parameters`].
    pub fn parameters(&self) -> Vec<Tensor> {
        self.0.parameters()
    }
}

impl fmt::Debug for AnyCell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AnyCell {{ output_size: {} }}", self.output_size())
    }
}
