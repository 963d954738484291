//! The layers that image networks are made of, with PyTorch's names and initial values.

use crate::blocks::feature_map::FeatureMap;
use candle_core::{DType, Result, Tensor, Var};
use candlewick_kernels::activation::{Activation, relu};
use candlewick_kernels::norm::{batch_norm_eval, batch_norm_train, layer_norm};
use candlewick_kernels::scale::scale_rows;
use candlewick_kernels::{channels_last, conv};
use candlewick_parameters::{Initial, Mode, ParameterBuilder, VarBuilder};
use serde::{Deserialize, Serialize};

/// How a fresh convolution is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConvInitial {
    /// PyTorch's: weight and bias uniform in ±1/√fan_in.
    #[default]
    FanIn,
    /// He's normal values by fan-out, bias 0: the ResNets'.
    KaimingFanOut,
    /// He's normal values by fan-in, bias 0: the DenseNets'.
    KaimingFanIn,
    /// He's uniform values by fan-in, bias 0: SqueezeNet's.
    KaimingUniform,
    /// Glorot and Bengio's, uniform in ±√(6 / (fan_in + fan_out)), bias 0: FractalNet's.
    Xavier,
    /// Normal with mean 0 and this standard deviation, bias 0.
    Normal(f64),
}

/// How a [`Conv2d`] goes over its input; square kernels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Conv2dConfig {
    /// Side of the kernel.
    pub kernel_size: usize,
    /// Step of the kernel.
    pub stride: usize,
    /// Zeros around the input.
    pub padding: usize,
    /// Distance between the kernel's taps.
    pub dilation: usize,
    /// Groups of channels that do not see each other.
    pub groups: usize,
    /// Whether there is a bias.
    pub bias: bool,
    /// How fresh values are drawn.
    pub initial: ConvInitial,
}

impl Conv2dConfig {
    /// A kernel of this side, without padding and bias.
    pub fn new(kernel_size: usize) -> Self {
        let initial = ConvInitial::FanIn;
        Self { kernel_size, stride: 1, padding: 0, dilation: 1, groups: 1, bias: false, initial }
    }
}

impl Default for Conv2dConfig {
    fn default() -> Self {
        Self::new(1)
    }
}

/// A convolution: (N, C, h, w) → (N, O, h', w') with h' = ⌊(h + 2·padding − dilation·(kernel − 1) − 1) / stride⌋ + 1.
///
/// Parameters `weight` (O, C / groups, kernel, kernel) and, if asked for, `bias` (O).
#[derive(Clone, Debug)]
pub struct Conv2d {
    weight: Tensor,
    bias: Option<Tensor>,
    config: conv::Conv2d,
}

impl Conv2d {
    /// A convolution from C to O channels.
    ///
    /// # Errors
    /// When the builder has no such parameters, or `groups` does not divide the channels.
    pub fn new(in_channels: usize, out_channels: usize, config: &Conv2dConfig, vb: VarBuilder) -> Result<Self> {
        let Conv2dConfig { kernel_size: k, stride, padding, dilation, groups, bias, initial } = *config;
        if k == 0 || stride == 0 || dilation == 0 || groups == 0 || in_channels % groups + out_channels % groups != 0 {
            candle_core::bail!("{}: a convolution {in_channels} → {out_channels} cannot be {config:?}", vb.prefix())
        }
        // Sizes come from files too: what is too large for a number is too large for the parameters, which say so.
        let area = k.saturating_mul(k);
        let (fan_in, fan_out) = ((in_channels / groups).saturating_mul(area), out_channels.saturating_mul(area));
        let (weight, offset) = match initial {
            ConvInitial::FanIn => (Initial::fan_in(fan_in), Initial::fan_in(fan_in)),
            ConvInitial::KaimingFanOut => (Initial::kaiming_fan_out(fan_out), Initial::Constant(0.0)),
            ConvInitial::KaimingFanIn => (Initial::Normal((2.0 / fan_in as f64).sqrt()), Initial::Constant(0.0)),
            ConvInitial::Xavier => {
                (Initial::Uniform((6.0 / (fan_in as f64 + fan_out as f64)).sqrt()), Initial::Constant(0.0))
            }
            ConvInitial::KaimingUniform => (Initial::kaiming_uniform(fan_in), Initial::Constant(0.0)),
            ConvInitial::Normal(std) => (Initial::Normal(std), Initial::Constant(0.0)),
        };
        let weight = vb.parameter((out_channels, in_channels / groups, k, k), "weight", weight)?;
        let bias = if bias { Some(vb.parameter(out_channels, "bias", offset)?) } else { None };
        let pair = |n| (n, n);
        let config = conv::Conv2d { stride: pair(stride), padding: pair(padding), dilation: pair(dilation), groups };
        Ok(Self { weight, bias, config })
    }

    /// (N, C, h, w) → (N, O, h', w').
    ///
    /// # Errors
    /// When the input has another number of channels or is smaller than the kernel.
    pub fn forward(&self, xs: &FeatureMap) -> Result<FeatureMap> {
        self.run(xs, false)
    }

    /// The same and then ReLU or not.
    fn run(&self, xs: &FeatureMap, with_relu: bool) -> Result<FeatureMap> {
        xs.conv2d(&self.weight, self.bias.as_ref(), &self.config, with_relu)
    }

    /// The weight (O, C / groups, kernel, kernel).
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// The bias (O).
    pub fn bias(&self) -> Option<&Tensor> {
        self.bias.as_ref()
    }

    /// How it goes over its input.
    pub fn config(&self) -> &conv::Conv2d {
        &self.config
    }

    /// The channels O of the output.
    pub fn out_channels(&self) -> usize {
        self.weight.dims()[0]
    }

    /// A linear layer on the channels of each position, whose weight is (O, C) as in PyTorch's `Linear`.
    pub(crate) fn linear(
        (in_channels, out_channels): (usize, usize),
        (weight, bias): (Initial, Initial),
        vb: VarBuilder,
    ) -> Result<Self> {
        let weight = vb.parameter((out_channels, in_channels), "weight", weight)?;
        let weight = weight.reshape((out_channels, in_channels, 1, 1))?;
        let bias = Some(vb.parameter(out_channels, "bias", bias)?);
        Ok(Self { weight, bias, config: conv::Conv2d::default() })
    }

    /// The layer whose outputs are those of this one times `scale` (O).
    pub(crate) fn scaled(&self, scale: &Tensor) -> Result<Self> {
        let scale = scale.flatten_all()?;
        let weight = scale_rows(&self.weight, &scale)?;
        let bias = self.bias.as_ref().map(|bias| bias * &scale).transpose()?;
        Ok(Self { weight, bias, config: self.config })
    }

    /// The same values without a graph.
    pub(crate) fn detached(&self) -> Self {
        Self { weight: self.weight.detach(), bias: self.bias.as_ref().map(Tensor::detach), config: self.config }
    }
}

/// How a [`BatchNorm2d`] normalises.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
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
    ///
    /// # Errors
    /// When the builder has no such parameters.
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
        Ok(maps.with(ys))
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
    fn affine(&self) -> Result<(Tensor, Tensor)> {
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
    ///
    /// # Errors
    /// When the builder has no such parameters.
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

/// A convolution, batch norm or none, and an activation or none.
#[derive(Clone, Debug)]
pub struct ConvNorm {
    layers: Layers,
    then: Option<Activation>,
}

/// What comes before the activation.
#[derive(Clone, Debug)]
enum Layers {
    Apart {
        conv: Conv2d,
        norm: Option<BatchNorm2d>,
        /// The probability of dropout between the convolution and what follows.
        dropout: f64,
    },
    /// Both as one convolution with its weights packed, for inference on the CPU.
    Prepared(channels_last::PackedConv2d),
}

impl ConvNorm {
    /// The three in a row, with ReLU or none.
    pub fn new(conv: Conv2d, norm: Option<BatchNorm2d>, relu: bool) -> Self {
        Self { layers: Layers::Apart { conv, norm, dropout: 0.0 }, then: relu.then_some(Activation::Relu) }
    }

    /// The same with another activation.
    pub(crate) fn then(self, activation: Activation) -> Self {
        Self { then: Some(activation), ..self }
    }

    /// The same with dropout of what the convolution gives.
    pub(crate) fn with_dropout(mut self, probability: f64) -> Self {
        if let Layers::Apart { dropout, .. } = &mut self.layers {
            *dropout = probability;
        }
        self
    }

    /// (N, C, h, w) → (N, O, h', w').
    ///
    /// # Errors
    /// As the layers say.
    pub fn forward(&self, xs: &FeatureMap, mode: &mut Mode) -> Result<FeatureMap> {
        self.forward_add(xs, None, mode)
    }

    /// The same with `add` added before the activation, as a residual block ends.
    ///
    /// # Errors
    /// As the layers say, and when `add` has another shape than the result.
    pub fn forward_add(&self, xs: &FeatureMap, add: Option<&FeatureMap>, mode: &mut Mode) -> Result<FeatureMap> {
        let (conv, norm, dropout) = match &self.layers {
            Layers::Apart { conv, norm, dropout } => (conv, norm.as_ref(), *dropout),
            Layers::Prepared(prepared) => return xs.conv2d_packed(prepared, add, self.then),
        };
        let relu = self.then == Some(Activation::Relu);
        if norm.is_none() && add.is_none() && relu && dropout == 0.0 {
            return conv.run(xs, true);
        }
        let ys = conv.forward(xs)?.dropout(dropout, mode)?;
        let ys = match (norm, add) {
            (Some(norm), add) => norm.forward(&ys, add, relu, mode)?,
            (None, Some(add)) => ys.add(add)?,
            (None, None) => ys,
        };
        match self.then {
            Some(_) if relu && norm.is_some() => Ok(ys),
            Some(then) => ys.activate(then),
            None => Ok(ys),
        }
    }

    /// The channels O of the output.
    pub fn out_channels(&self) -> usize {
        match &self.layers {
            Layers::Apart { conv, .. } => conv.out_channels(),
            Layers::Prepared(prepared) => prepared.out_channels(),
        }
    }

    /// The same function in evaluation as one convolution without a graph, its weights packed where that helps.
    ///
    /// weight' = weight · scale and bias' = bias · scale + shift, with scale = γ / √(σ² + eps) and shift = β − μ · scale.
    ///
    /// # Errors
    /// When the device has no memory for the new weights.
    pub fn folded(&self) -> Result<Self> {
        let Layers::Apart { conv, norm, .. } = &self.layers else { return Ok(self.clone()) };
        let Conv2d { mut weight, mut bias, config } = conv.detached();
        if let Some(norm) = norm {
            let (scale, shift) = norm.affine()?;
            let scaled = Conv2d { weight, bias, config }.scaled(&scale)?;
            weight = scaled.weight;
            bias = Some(scaled.bias.map_or_else(|| Ok(shift.clone()), |bias| bias + &shift)?);
        }
        let layers = match weight.device().is_cpu() && weight.dtype() == DType::F32 {
            true => Layers::Prepared(channels_last::PackedConv2d::new(&weight, bias.as_ref(), &config)?),
            false => Layers::Apart { conv: Conv2d { weight, bias, config }, norm: None, dropout: 0.0 },
        };
        Ok(Self { layers, then: self.then })
    }
}
