//! Feature maps on their way through a network, in the layout that suits the device.

use crate::layers::{BatchNorm2d, Conv2d};
use candle_core::{D, DType, Result, Tensor};
use candlewick_kernels::conv::conv2d;
use candlewick_kernels::pool::{Pool2d, max_pool2d};
use candlewick_kernels::{activation, together};
use candlewick_parameters::Mode;

/// Maps of N pictures. From the first layer to the last they lie as (N, h, w, C) for f32 on the CPU, where that is fastest,
/// and as (N, C, h, w) elsewhere.
#[derive(Clone, Debug)]
pub struct Map {
    tensor: Tensor,
    together: bool,
}

impl Map {
    /// Pictures, or maps, (N, C, h, w).
    ///
    /// # Errors
    /// When the tensor is not of rank 4.
    pub fn new(apart: &Tensor) -> Result<Self> {
        let together = apart.device().is_cpu() && apart.dtype() == DType::F32;
        let tensor = if together { together::from_apart(apart)? } else { apart.clone() };
        Ok(Self { tensor, together })
    }

    /// The maps as (N, C, h, w), perhaps a view.
    ///
    /// # Errors
    /// When the device fails.
    pub fn apart(&self) -> Result<Tensor> {
        if self.together { together::to_apart(&self.tensor) } else { Ok(self.tensor.clone()) }
    }

    fn with(&self, tensor: Tensor) -> Self {
        Self { tensor, together: self.together }
    }

    /// (N, C, h, w) → (N, O, h', w').
    pub(crate) fn convolve(&self, layer: &Conv2d) -> Result<Self> {
        let convolve = if self.together { together::conv2d } else { conv2d };
        Ok(self.with(convolve(&self.tensor, layer.weight(), layer.bias(), layer.config())?))
    }

    /// The same with weights packed before; see [`together::PreparedConv2d::forward`].
    pub(crate) fn convolve_prepared(
        &self,
        layer: &together::PreparedConv2d,
        add: Option<&Self>,
        relu: bool,
    ) -> Result<Self> {
        Ok(self.with(layer.forward(&self.tensor, add.map(|add| &add.tensor), relu)?))
    }

    /// Batch norm, then the sum with `add`, then ReLU or not.
    pub(crate) fn normalise(
        &self,
        norm: &BatchNorm2d,
        add: Option<&Self>,
        relu: bool,
        mode: &mut Mode,
    ) -> Result<Self> {
        Ok(self.with(norm.run(&self.tensor, self.together, add.map(|add| &add.tensor), relu, mode)?))
    }

    pub(crate) fn add(&self, other: &Self) -> Result<Self> {
        Ok(self.with((&self.tensor + &other.tensor)?))
    }

    pub(crate) fn relu(&self) -> Result<Self> {
        Ok(self.with(activation::relu(&self.tensor)?))
    }

    pub(crate) fn max_pool(&self, pool: &Pool2d) -> Result<Self> {
        let largest = if self.together { together::max_pool2d } else { max_pool2d };
        Ok(self.with(largest(&self.tensor, pool)?))
    }

    /// The channels of both, one after the other.
    pub(crate) fn beside(&self, other: &Self) -> Result<Self> {
        let channels = if self.together { 3 } else { 1 };
        Ok(self.with(Tensor::cat(&[&self.tensor, &other.tensor], channels)?))
    }

    pub(crate) fn dropout(&self, probability: f64, mode: &mut Mode) -> Result<Self> {
        Ok(self.with(mode.dropout(&self.tensor, probability)?))
    }

    /// The mean over the positions, (N, C).
    pub(crate) fn mean(&self) -> Result<Tensor> {
        if self.together { together::mean(&self.tensor) } else { self.tensor.flatten_from(2)?.mean(D::Minus1) }
    }
}
