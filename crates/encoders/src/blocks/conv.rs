//! Two-dimensional convolution, with PyTorch's names and initial values.

use super::feature_map::FeatureMap;
use super::linear::LinearInit;
use candle_core::{DType, Result, Tensor};
use candlewick_kernels::channels_last::PackedConv2d;
use candlewick_kernels::conv;
use candlewick_kernels::scale::scale_rows;
use candlewick_parameters::{Initial, ParameterBuilder, VarBuilder};

/// How a fresh convolution is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
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

/// The shape of a [`Conv2d`] with a square kernel: `Conv2dConfig::same(3, 64, 7).with_stride(2)` as PyTorch's
/// `Conv2d(3, 64, 7, stride=2, padding=3, bias=False)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conv2dConfig {
    /// The channels C of the input.
    pub in_channels: usize,
    /// The channels O of the output.
    pub out_channels: usize,
    /// Side of the kernel.
    pub kernel_size: usize,
    /// Step of the kernel.
    pub stride: usize,
    /// Zeros around the input.
    pub padding: usize,
    /// Groups of channels that do not see each other.
    pub groups: usize,
    /// Whether there is a bias.
    pub bias: bool,
    /// How fresh values are drawn.
    pub initial: ConvInitial,
}

impl Conv2dConfig {
    /// A convolution without bias, padded by half the kernel so that the map keeps its size.
    pub const fn same(in_channels: usize, out_channels: usize, kernel_size: usize) -> Self {
        let (stride, padding, groups, bias, initial) = (1, kernel_size / 2, 1, false, ConvInitial::FanIn);
        Self { in_channels, out_channels, kernel_size, stride, padding, groups, bias, initial }
    }

    /// The same with this step of the kernel.
    pub const fn with_stride(self, stride: usize) -> Self {
        Self { stride, ..self }
    }

    /// The same with so many zeros around the input.
    pub const fn with_padding(self, padding: usize) -> Self {
        Self { padding, ..self }
    }

    /// The same with the channels in groups that do not see each other.
    pub const fn with_groups(self, groups: usize) -> Self {
        Self { groups, ..self }
    }

    /// The same with a bias.
    pub const fn with_bias(self) -> Self {
        Self { bias: true, ..self }
    }

    /// The same with fresh values drawn so.
    pub const fn with_initial(self, initial: ConvInitial) -> Self {
        Self { initial, ..self }
    }

    /// How fresh weights and biases are drawn.
    fn initials(&self) -> (Initial, Initial) {
        // Sizes come from files too: what is too large for a number is too large for the parameters, which say so.
        let area = self.kernel_size.saturating_mul(self.kernel_size);
        let fan_in = (self.in_channels / self.groups).saturating_mul(area);
        let fan_out = self.out_channels.saturating_mul(area);
        let weight = match self.initial {
            ConvInitial::FanIn => return (Initial::fan_in(fan_in), Initial::fan_in(fan_in)),
            ConvInitial::KaimingFanOut => Initial::kaiming_fan_out(fan_out),
            ConvInitial::KaimingFanIn => Initial::Normal((2.0 / fan_in as f64).sqrt()),
            ConvInitial::KaimingUniform => Initial::kaiming_uniform(fan_in),
            ConvInitial::Xavier => Initial::Uniform((6.0 / (fan_in as f64 + fan_out as f64)).sqrt()),
            ConvInitial::Normal(std) => Initial::Normal(std),
        };
        (weight, Initial::Constant(0.0))
    }
}

/// A convolution: (N, C, h, w) → (N, O, h', w') with h' = ⌊(h + 2·padding − kernel) / stride⌋ + 1.
///
/// Parameters `weight` (O, C / groups, kernel, kernel) and, if asked for, `bias` (O).
#[derive(Clone, Debug)]
pub struct Conv2d {
    weight: Tensor,
    bias: Option<Tensor>,
    options: conv::Conv2d,
}

impl Conv2d {
    /// A convolution of this shape.
    ///
    /// # Errors
    /// When a size is 0 or `groups` does not divide the channels.
    pub fn new(config: &Conv2dConfig, vb: VarBuilder) -> Result<Self> {
        let Conv2dConfig { in_channels, out_channels, kernel_size: k, stride, padding, groups, .. } = *config;
        if k == 0 || stride == 0 || groups == 0 || in_channels % groups + out_channels % groups != 0 {
            candle_core::bail!("{}: a convolution {in_channels} → {out_channels} cannot be {config:?}", vb.prefix())
        }
        let (weight, bias) = config.initials();
        let weight = vb.parameter((out_channels, in_channels / groups, k, k), "weight", weight)?;
        let bias = config.bias.then(|| vb.parameter(out_channels, "bias", bias)).transpose()?;
        let (stride, padding) = ((stride, stride), (padding, padding));
        let options = conv::Conv2d { stride, padding, groups, ..Default::default() };
        Ok(Self { weight, bias, options })
    }

    /// A linear layer on the channels of each position, whose weight is (O, C) as in PyTorch's `Linear`.
    pub(crate) fn linear(in_channels: usize, out_channels: usize, initial: LinearInit, vb: VarBuilder) -> Result<Self> {
        let (weight, bias) = initial(in_channels, out_channels);
        let weight = vb.parameter((out_channels, in_channels), "weight", weight)?;
        let weight = weight.reshape((out_channels, in_channels, 1, 1))?;
        let bias = Some(vb.parameter(out_channels, "bias", bias)?);
        Ok(Self { weight, bias, options: conv::Conv2d::default() })
    }

    /// (N, C, h, w) → (N, O, h', w').
    ///
    /// # Errors
    /// When the input has another number of channels or is smaller than the kernel.
    pub fn forward(&self, xs: &FeatureMap) -> Result<FeatureMap> {
        xs.conv2d(&self.weight, self.bias.as_ref(), &self.options, false)
    }

    /// The same and then ReLU.
    pub(crate) fn forward_relu(&self, xs: &FeatureMap) -> Result<FeatureMap> {
        xs.conv2d(&self.weight, self.bias.as_ref(), &self.options, true)
    }

    /// The channels O of the output.
    pub fn out_channels(&self) -> usize {
        self.weight.dims()[0]
    }

    /// The layer whose outputs are those of this one times `scale` (O).
    pub(crate) fn scaled(&self, scale: &Tensor) -> Result<Self> {
        let scale = scale.flatten_all()?;
        let weight = scale_rows(&self.weight, &scale)?;
        let bias = self.bias.as_ref().map(|bias| bias * &scale).transpose()?;
        Ok(Self { weight, bias, options: self.options })
    }

    /// The layer whose outputs are those of this one plus `shift` (O).
    pub(crate) fn shifted(self, shift: Tensor) -> Result<Self> {
        let bias = self.bias.map_or_else(|| Ok(shift.clone()), |bias| bias + &shift)?;
        Ok(Self { bias: Some(bias), ..self })
    }

    /// The same with its weights packed, where that is faster: for f32 on the CPU.
    pub(crate) fn packed(&self) -> Result<Option<PackedConv2d>> {
        let pays = self.weight.device().is_cpu() && self.weight.dtype() == DType::F32;
        pays.then(|| PackedConv2d::new(&self.weight, self.bias.as_ref(), &self.options)).transpose()
    }

    /// The same values without a graph.
    pub(crate) fn detached(&self) -> Self {
        Self { weight: self.weight.detach(), bias: self.bias.as_ref().map(Tensor::detach), options: self.options }
    }
}
