//! Batch norm and layer norm over feature maps, with PyTorch's names and initial values.

use super::feature_map::FeatureMap;
use candle_core::{Result, Tensor, Var};
use candlewick_kernels::activation::relu;
use candlewick_kernels::channels_last;
use candlewick_kernels::norm::{batch_norm_eval, batch_norm_train, layer_norm};
use candlewick_parameters::{Initial, Mode, ParameterBuilder, VarBuilder};

/// How a [`BatchNorm2d`] normalises.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchNormConfig {
    /// Added to the variance.
    pub eps: f64,
    /// The weight of the newest batch in the running statistics.
    pub momentum: f64,
    /// The initial value of `weight`; 0 makes a residual branch begin as nothing.
    pub initial_weight: f64,
}

impl Default for BatchNormConfig {
    fn default() -> Self {
        Self { eps: 1e-5, momentum: 0.1, initial_weight: 1.0 }
    }
}

/// Batch norm over maps: y = (x − μ) / √(σ² + eps) · weight + bias, channel by channel, (N, C, h, w) → (N, C, h, w).
///
/// In evaluation μ and σ² are the running statistics; in training they are the batch's, and the running ones become
/// (1 − momentum) · running + momentum · batch, with the unbiased variance. A layer whose `weight` is frozen uses
/// the running statistics in training too and records nothing.
/// Parameters `weight`, `bias`; buffers `running_mean`, `running_var`; all (C).
/// Ioffe and Szegedy 2015, "Batch normalization".
#[derive(Clone, Debug)]
pub struct BatchNorm2d {
    weight: Tensor,
    bias: Tensor,
    running_mean: Var,
    running_var: Var,
    eps: f64,
    momentum: f64,
}

impl BatchNorm2d {
    /// Batch norm of C channels.
    pub fn new(channels: usize, config: &BatchNormConfig, vb: VarBuilder) -> Result<Self> {
        let weight = vb.parameter(channels, "weight", Initial::Constant(config.initial_weight))?;
        let bias = vb.parameter(channels, "bias", Initial::Constant(0.0))?;
        let running_mean = vb.buffer(channels, "running_mean", Initial::Constant(0.0))?;
        let running_var = vb.buffer(channels, "running_var", Initial::Constant(1.0))?;
        // Of a buffer that is a variable this is the same variable, so what is recorded here is what the store saves.
        let (running_mean, running_var) = (Var::from_tensor(&running_mean)?, Var::from_tensor(&running_var)?);
        Ok(Self { weight, bias, running_mean, running_var, eps: config.eps, momentum: config.momentum })
    }

    /// (N, C, h, w) → (N, C, h, w), and then the sum with `add` and ReLU, where they are wanted.
    ///
    /// # Errors
    /// When the input has another number of channels, or only one value a channel in training.
    pub fn forward(
        &self,
        maps: &FeatureMap,
        add: Option<&FeatureMap>,
        with_relu: bool,
        mode: &mut Mode,
    ) -> Result<FeatureMap> {
        let (xs, add) = (maps.tensor(), add.map(FeatureMap::tensor));
        let train = mode.is_training() && self.weight.track_op();
        let count = (xs.elem_count() / self.weight.elem_count()) as f64;
        if train && count < 2.0 {
            candle_core::bail!("batch norm: needs more than one value a channel in training, got {:?}", xs.dims())
        }
        let (mean, variance) = (self.running_mean.as_detached_tensor(), self.running_var.as_detached_tensor());
        let (weight, bias, eps) = (&self.weight, &self.bias, self.eps);
        let (ys, mean, variance) = if maps.is_channels_last() {
            let statistics = (!train).then_some((&mean, &variance));
            channels_last::batch_norm(xs, &channels_last::BatchNorm { weight, bias, statistics, eps }, add, with_relu)?
        } else {
            let (ys, mean, variance) = match train {
                true => batch_norm_train(xs, weight, bias, eps)?,
                false => (batch_norm_eval(xs, weight, bias, &mean, &variance, eps)?, mean, variance),
            };
            let ys = add.map_or(Ok(ys.clone()), |add| ys + add)?;
            (if with_relu { relu(&ys)? } else { ys }, mean, variance)
        };
        if train {
            self.record(&self.running_mean, &mean)?;
            self.record(&self.running_var, &(variance * (count / (count - 1.0)))?)?;
        }
        Ok(maps.with_tensor(ys))
    }

    fn record(&self, running: &Var, batch: &Tensor) -> Result<()> {
        let kept = (running.as_detached_tensor() * (1.0 - self.momentum))?;
        running.set(&(kept + (batch.detach() * self.momentum)?)?)
    }

    /// The same layer with its values of now, without a graph: in training too it uses the running statistics.
    pub(crate) fn detached(&self) -> Result<Self> {
        let copied = |running: &Var| Var::from_tensor(&running.as_detached_tensor().copy()?);
        Ok(Self {
            weight: self.weight.detach(),
            bias: self.bias.detach(),
            running_mean: copied(&self.running_mean)?,
            running_var: copied(&self.running_var)?,
            ..*self
        })
    }

    /// What the layer does in evaluation as (scale, shift), each (C): y = x · scale + shift.
    pub(super) fn affine(&self) -> Result<(Tensor, Tensor)> {
        let deviation = (self.running_var.as_detached_tensor() + self.eps)?.sqrt()?;
        let scale = (self.weight.detach() / deviation)?;
        let shift = (self.bias.detach() - (self.running_mean.as_detached_tensor() * &scale)?)?;
        Ok((scale, shift))
    }
}

/// Layer norm over the channels of each position: y = (x − μ) / √(σ² + eps) · weight + bias, (N, C, h, w) → (N, C, h, w).
///
/// Parameters `weight` and `bias`, both (C). Ba et al. 2016, "Layer normalization".
#[derive(Clone, Debug)]
pub struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    eps: f64,
}

impl LayerNorm {
    /// Layer norm of C channels.
    pub fn new(channels: usize, eps: f64, vb: VarBuilder) -> Result<Self> {
        let weight = vb.parameter(channels, "weight", Initial::Constant(1.0))?;
        Ok(Self { weight, bias: vb.parameter(channels, "bias", Initial::Constant(0.0))?, eps })
    }

    /// (N, C, h, w) → (N, C, h, w).
    ///
    /// # Errors
    /// When the input has another number of channels.
    pub fn forward(&self, xs: &FeatureMap) -> Result<FeatureMap> {
        xs.on_nhwc(|xs| self.of_rows(xs))
    }

    /// (.., C) → (.., C).
    pub(crate) fn of_rows(&self, xs: &Tensor) -> Result<Tensor> {
        layer_norm(xs, Some(&self.weight), Some(&self.bias), self.eps)
    }

    /// The same values without a graph.
    pub(crate) fn detached(&self) -> Self {
        Self { weight: self.weight.detach(), bias: self.bias.detach(), eps: self.eps }
    }
}
