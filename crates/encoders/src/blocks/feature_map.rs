//! Feature maps on their way through a network, in the layout that suits the device.

use crate::counter;
use candle_core::{D, DType, Result, Tensor};
use candlewick_kernels::activation::{Activation, relu};
use candlewick_kernels::channels_last::{self, PackedConv2d};
use candlewick_kernels::conv::{self, conv2d};
use candlewick_kernels::pool::{Pool2d, adaptive_avg_pool2d, avg_pool2d, max_pool2d};
use candlewick_kernels::residual::residual_add;
use candlewick_parameters::Mode;

/// The feature maps of N images: (N, h, w, C), channels last, for f32 on the CPU and on CUDA, where that is fastest, and
/// (N, C, h, w) elsewhere.
#[derive(Clone, Debug)]
pub struct FeatureMap {
    tensor: Tensor,
    channels_last: bool,
}

impl FeatureMap {
    /// From images or maps (N, C, h, w).
    ///
    /// # Errors
    /// When the tensor is not of rank 4.
    pub fn new(nchw: &Tensor) -> Result<Self> {
        let device = nchw.device();
        let channels_last = (device.is_cpu() || device.is_cuda()) && nchw.dtype() == DType::F32;
        let tensor = if channels_last { channels_last::to_nhwc(nchw)? } else { nchw.clone() };
        Ok(Self { tensor, channels_last })
    }

    /// The maps as (N, C, h, w), perhaps a view.
    pub fn to_nchw(&self) -> Result<Tensor> {
        if self.channels_last { channels_last::to_nchw(&self.tensor) } else { Ok(self.tensor.clone()) }
    }

    /// The values in their layout: (N, h, w, C) if [`Self::is_channels_last`], or else (N, C, h, w).
    pub(crate) fn tensor(&self) -> &Tensor {
        &self.tensor
    }

    pub(crate) fn is_channels_last(&self) -> bool {
        self.channels_last
    }

    /// Other values in the same layout.
    pub(crate) fn with_tensor(&self, tensor: Tensor) -> Self {
        Self { tensor, channels_last: self.channels_last }
    }

    /// A convolution with weight (O, C / groups, kernel, kernel), and then ReLU or not: (N, C, h, w) → (N, O, h', w').
    pub(crate) fn conv2d(
        &self,
        weight: &Tensor,
        bias: Option<&Tensor>,
        config: &conv::Conv2d,
        with_relu: bool,
    ) -> Result<Self> {
        let ys = match (self.channels_last, with_relu) {
            (true, true) => channels_last::conv2d_relu(&self.tensor, weight, bias, config)?,
            (true, false) => channels_last::conv2d(&self.tensor, weight, bias, config)?,
            (false, true) => relu(&conv2d(&self.tensor, weight, bias, config)?)?,
            (false, false) => conv2d(&self.tensor, weight, bias, config)?,
        };
        counter::count(ys.elem_count(), weight.elem_count() / weight.dim(0)?);
        Ok(self.with_tensor(ys))
    }

    /// The same with packed weights, then the sum with `add`, then an activation.
    pub(crate) fn conv2d_packed(
        &self,
        conv: &PackedConv2d,
        add: Option<&Self>,
        activation: Option<Activation>,
    ) -> Result<Self> {
        Ok(self.with_tensor(conv.forward(&self.tensor, add.map(Self::tensor), activation)?))
    }

    pub(crate) fn add(&self, other: &Self) -> Result<Self> {
        Ok(self.with_tensor(residual_add(&self.tensor, &other.tensor, None)?))
    }

    /// The sum with a residual branch, which each image leaves out with probability `p` in training: stochastic depth.
    pub(crate) fn residual(&self, branch: &Self, p: f64, mode: &mut Mode) -> Result<Self> {
        let factors = mode.stochastic_depth(self.tensor.dim(0)?, p)?;
        Ok(self.with_tensor(residual_add(&self.tensor, &branch.tensor, factors.as_deref())?))
    }

    pub(crate) fn activate(&self, activation: Activation) -> Result<Self> {
        Ok(self.with_tensor(activation.of(&self.tensor)?))
    }

    /// Applies a function of (N, h, w, C).
    pub(crate) fn on_nhwc(&self, f: impl FnOnce(&Tensor) -> Result<Tensor>) -> Result<Self> {
        Ok(self.with_tensor(match self.channels_last {
            true => f(&self.tensor)?,
            false => f(&self.tensor.permute((0, 2, 3, 1))?.contiguous()?)?.permute((0, 3, 1, 2))?.contiguous()?,
        }))
    }

    /// Each channel of each image times its factor of `gates` (N, C).
    pub(crate) fn scale_channels(&self, gates: &Tensor) -> Result<Self> {
        if self.channels_last {
            return Ok(self.with_tensor(channels_last::scale_channels(&self.tensor, gates)?));
        }
        Ok(self.with_tensor(self.tensor.broadcast_mul(&gates.unsqueeze(2)?.unsqueeze(3)?)?))
    }

    pub(crate) fn max_pool(&self, pool: &Pool2d) -> Result<Self> {
        let largest = if self.channels_last { channels_last::max_pool2d } else { max_pool2d };
        Ok(self.with_tensor(largest(&self.tensor, pool)?))
    }

    /// The mean of each window.
    pub(crate) fn avg_pool(&self, pool: &Pool2d) -> Result<Self> {
        let mean = if self.channels_last { channels_last::avg_pool2d } else { avg_pool2d };
        Ok(self.with_tensor(mean(&self.tensor, pool)?))
    }

    /// The means of a grid of side×side windows that cover the map.
    pub(crate) fn adaptive_avg_pool(&self, side: usize) -> Result<Self> {
        let nchw = self.to_nchw()?;
        // The windows of a map of this size are its positions.
        if nchw.dims().ends_with(&[side, side]) {
            return Ok(self.clone());
        }
        Self::new(&adaptive_avg_pool2d(&nchw, (side, side))?)
    }

    /// All maps one after the other along the channels.
    pub(crate) fn concat(maps: &[Self]) -> Result<Self> {
        let Some(first) = maps.first() else { candle_core::bail!("feature maps: there are none to concatenate") };
        let tensors: Vec<&Tensor> = maps.iter().map(|map| &map.tensor).collect();
        Ok(first.with_tensor(if first.channels_last {
            channels_last::concat_channels(&tensors)?
        } else {
            Tensor::cat(&tensors, 1)?
        }))
    }

    /// The mean of maps of one shape.
    pub(crate) fn mean_of(maps: &[Self]) -> Result<Self> {
        let Some((first, others)) = maps.split_first() else {
            candle_core::bail!("feature maps: there are none to average")
        };
        if others.is_empty() {
            return Ok(first.clone());
        }
        let sum = others.iter().try_fold(first.tensor.clone(), |sum, map| &sum + &map.tensor)?;
        Ok(first.with_tensor((sum * (1.0 / maps.len() as f64))?))
    }

    /// y = x · scale + shift, channel by channel.
    pub(crate) fn affine(&self, scale: &[f32], shift: &[f32]) -> Result<Self> {
        let row = |values: &[f32]| {
            let values = Tensor::new(values, self.tensor.device())?.to_dtype(self.tensor.dtype())?;
            if self.channels_last { Ok(values) } else { values.reshape(((), 1, 1)) }
        };
        Ok(self.with_tensor(self.tensor.broadcast_mul(&row(scale)?)?.broadcast_add(&row(shift)?)?))
    }

    pub(crate) fn dropout(&self, probability: f64, mode: &mut Mode) -> Result<Self> {
        Ok(self.with_tensor(mode.dropout(&self.tensor, probability)?))
    }

    /// The mean over the positions, (N, C).
    pub(crate) fn mean(&self) -> Result<Tensor> {
        if self.channels_last {
            channels_last::mean(&self.tensor)
        } else {
            self.tensor.flatten_from(2)?.mean(D::Minus1)
        }
    }
}
