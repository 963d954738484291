//! Linear layers on rows, with PyTorch's names and initial values.

use crate::counter;
use candle_core::{Result, Tensor};
use candlewick_kernels::linear::linear;
use candlewick_parameters::{Initial, Mode, ParameterBuilder, VarBuilder};

/// How fresh weights and biases are drawn, from the layer's numbers of inputs and of outputs.
pub(crate) type LinearInit = fn(usize, usize) -> (Initial, Initial);

/// PyTorch's own: both uniform in ±1/√inputs.
pub(crate) fn pytorch_linear_init(inputs: usize, _: usize) -> (Initial, Initial) {
    (Initial::fan_in(inputs), Initial::fan_in(inputs))
}

/// y = dropout(x) Wᵀ + b, with parameters `weight` (outputs, inputs) and `bias` (outputs).
#[derive(Clone, Debug)]
pub(crate) struct Linear {
    weight: Tensor,
    bias: Tensor,
    dropout: f64,
}

impl Linear {
    pub(crate) fn new(inputs: usize, outputs: usize, initial: LinearInit, vb: &VarBuilder) -> Result<Self> {
        let (weight, bias) = initial(inputs, outputs);
        let weight = vb.parameter((outputs, inputs), "weight", weight)?;
        Ok(Self { weight, bias: vb.parameter(outputs, "bias", bias)?, dropout: 0.0 })
    }

    /// The same with the weight of a 1×1 convolution, (outputs, inputs, 1, 1).
    pub(crate) fn from_conv1x1(inputs: usize, outputs: usize, initial: LinearInit, vb: &VarBuilder) -> Result<Self> {
        let (weight, bias) = initial(inputs, outputs);
        let weight = vb.parameter((outputs, inputs, 1, 1), "weight", weight)?.flatten_from(1)?;
        Ok(Self { weight, bias: vb.parameter(outputs, "bias", bias)?, dropout: 0.0 })
    }

    /// The same with dropout of what it reads.
    pub(crate) fn with_dropout(self, dropout: f64) -> Self {
        Self { dropout, ..self }
    }

    /// (N, inputs) → (N, outputs).
    pub(crate) fn forward(&self, xs: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        let ys = linear(&mode.dropout(xs, self.dropout)?, &self.weight, Some(&self.bias))?;
        counter::count(ys.elem_count(), self.weight.dims()[1]);
        Ok(ys)
    }

    pub(crate) fn outputs(&self) -> usize {
        self.weight.dims()[0]
    }

    /// The same values without a graph and dropout.
    pub(crate) fn for_inference(&self) -> Self {
        Self { weight: self.weight.detach(), bias: self.bias.detach(), dropout: 0.0 }
    }
}
