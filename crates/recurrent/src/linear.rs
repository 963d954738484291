//! The linear layer.

use candle_core::{Module, Result, Tensor};
use candlewick_kernels::linear::linear;
use candlewick_parameters::{Initial, ParameterBuilder, VarBuilder};

/// y = x Wᵀ + b over the last dimension, with `weight` (out, in) and `bias` (out) as torch.nn.Linear has them.
#[derive(Clone, Debug)]
pub struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    /// A layer with a bias; fresh values are uniform in ±1/√in, PyTorch's default.
    ///
    /// # Errors
    /// When the builder has no `weight` or `bias`, or one of another shape.
    pub fn new(input_size: usize, output_size: usize, vb: VarBuilder) -> Result<Self> {
        Self::with_initial(input_size, output_size, Initial::fan_in(input_size), vb)
    }

    /// A layer with a bias whose fresh weights are drawn as given.
    ///
    /// # Errors
    /// As [`Linear::new`].
    pub fn with_initial(input_size: usize, output_size: usize, initial: Initial, vb: VarBuilder) -> Result<Self> {
        let weight = vb.parameter((output_size, input_size), "weight", initial)?;
        let bias = vb.parameter(output_size, "bias", Initial::fan_in(input_size))?;
        Ok(Self { weight, bias: Some(bias) })
    }

    /// A layer without a bias.
    ///
    /// # Errors
    /// When the builder has no `weight`, or one of another shape.
    pub fn without_bias(input_size: usize, output_size: usize, vb: VarBuilder) -> Result<Self> {
        let weight = vb.parameter((output_size, input_size), "weight", Initial::fan_in(input_size))?;
        Ok(Self { weight, bias: None })
    }

    /// A layer of given tensors: `weight` (out, in), `bias` (out).
    pub fn from_tensors(weight: Tensor, bias: Option<Tensor>) -> Self {
        Self { weight, bias }
    }

    /// W (out, in).
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// b (out).
    pub fn bias(&self) -> Option<&Tensor> {
        self.bias.as_ref()
    }

    /// W and b, to be replaced.
    pub fn parameters_mut(&mut self) -> impl Iterator<Item = &mut Tensor> {
        std::iter::once(&mut self.weight).chain(&mut self.bias)
    }

    /// W (out, in) and b (out), for operations that take both.
    ///
    /// # Errors
    /// When the layer has no bias.
    pub fn with_bias(&self) -> Result<(&Tensor, &Tensor)> {
        match &self.bias {
            Some(bias) => Ok((&self.weight, bias)),
            None => candle_core::bail!("linear: the layer has no bias where one is wanted"),
        }
    }
}

impl Module for Linear {
    /// (.., in) to (.., out).
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        project(xs, &self.weight, self.bias.as_ref())
    }
}

/// x Wᵀ + b over the last dimension of xs (.., in), with W (out, in) and b (out): what [`Linear`] does, for cells that hold their own weights.
///
/// # Errors
/// When the shapes or the types do not fit together.
pub fn project(xs: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let (output_size, input_size) = weight.dims2()?;
    let (Some((&last, rest)), true) = (xs.dims().split_last(), xs.rank() > 1) else {
        candle_core::bail!("linear: wants inputs (.., {input_size}) of at least two dimensions, got {:?}", xs.dims())
    };
    if last != input_size {
        candle_core::bail!("linear: wants inputs (.., {input_size}), got {:?}", xs.dims())
    }
    let shape = [rest, &[output_size]].concat();
    if xs.dtype() != weight.dtype() {
        candle_core::bail!("linear: the weights are {:?}, the inputs {:?}; cast the inputs", weight.dtype(), xs.dtype())
    }
    // One product of matrices is faster than one for each entry of the batch.
    linear(&xs.reshape((rest.iter().product::<usize>(), input_size))?, weight, bias)?.reshape(shape)
}
