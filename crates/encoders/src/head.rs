//! The classification head, wanted or merely found in a file.

use crate::layers::{Conv2d, Conv2dConfig, ConvInitial, ConvNorm};
use crate::map::Map;
use crate::network::{NetworkConfig, head_prefix};
use candle_core::{Result, Tensor};
use candle_nn::{Linear, Module};
use candlewick_parameters::{Initial, Mode, ParameterBuilder, SafetensorsFile, VarBuilder};

/// How many classes the head in a file tells apart, for a network by name; `None` where the file holds no head.
///
/// Put it into [`NetworkConfig::classes`] before building a network whose values will be assigned from this file.
///
/// # Errors
/// When no network has this name.
pub fn classes_in(network: &str, file: &SafetensorsFile) -> Result<Option<usize>> {
    let shape = file.shape(&format!("{}.weight", head_prefix(network)?));
    Ok(shape.and_then(|shape| shape.dims().first().copied()))
}

/// The classes of the head to build: as many as asked for, or else as many as the loaded file's head has.
///
/// A head that the file holds and nobody asked for stays in the store as buffers: it is saved with the rest and serves
/// [`crate::Encoder::logits`], but no optimiser sees it.
fn classes(config: &NetworkConfig, vb: &VarBuilder) -> Result<Option<usize>> {
    if config.classes.is_some() || !vb.contains_tensor("weight") {
        return Ok(config.classes);
    }
    let mut count = None;
    for name in ["weight", "bias"] {
        let found = vb.get_unchecked(name)?;
        count = count.or_else(|| found.dims().first().copied());
        vb.buffer(found.shape(), name, Initial::Constant(0.0))?;
    }
    Ok(count)
}

/// What turns the map into logits.
#[derive(Clone, Debug)]
pub(crate) enum Head {
    /// Mean over the positions, then a linear layer (He et al. 2015).
    Linear(Linear),
    /// Dropout, a 1×1 convolution, ReLU, then the mean over the positions (Iandola et al. 2016).
    Conv { conv: Box<ConvNorm>, dropout: f64 },
}

impl Head {
    /// A linear head on C channels; `vb` stands at the head's name.
    pub(crate) fn linear(channels: usize, config: &NetworkConfig, vb: VarBuilder) -> Result<Option<Self>> {
        let Some(classes) = classes(config, &vb)? else { return Ok(None) };
        let weight = vb.parameter((classes, channels), "weight", Initial::fan_in(channels))?;
        let bias = vb.parameter(classes, "bias", Initial::fan_in(channels))?;
        Ok(Some(Self::Linear(Linear::new(weight, Some(bias)))))
    }

    /// A convolutional head on C channels; `vb` stands at the head's name.
    pub(crate) fn conv(channels: usize, config: &NetworkConfig, vb: VarBuilder) -> Result<Option<Self>> {
        let Some(classes) = classes(config, &vb)? else { return Ok(None) };
        let layer = Conv2dConfig { bias: true, initial: ConvInitial::Normal(0.01), ..Conv2dConfig::new(1) };
        let conv = Conv2d::new(channels, classes, &layer, vb)?;
        Ok(Some(Self::Conv { conv: Box::new(ConvNorm::new(conv, None, true)), dropout: config.dropout }))
    }

    pub(crate) fn classes(&self) -> usize {
        match self {
            Self::Linear(linear) => linear.weight().dims()[0],
            Self::Conv { conv, .. } => conv.out_channels(),
        }
    }

    /// (N, C, h, w) → (N, classes).
    pub(crate) fn forward(&self, map: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        match self {
            Self::Linear(linear) => linear.forward(&Map::new(map)?.mean()?),
            Self::Conv { conv, dropout } => conv.forward(&Map::new(map)?.dropout(*dropout, mode)?, mode)?.mean(),
        }
    }

    /// The same head without gradients and dropout.
    pub(crate) fn for_inference(&self) -> Result<Self> {
        Ok(match self {
            Self::Linear(linear) => {
                Self::Linear(Linear::new(linear.weight().detach(), linear.bias().map(Tensor::detach)))
            }
            Self::Conv { conv, .. } => Self::Conv { conv: Box::new(conv.folded()?), dropout: 0.0 },
        })
    }
}
