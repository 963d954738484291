//! The classification head: a multilayer perceptron or a 1×1 convolution, wanted or merely found in a file.

use super::conv::{Conv2d, Conv2dConfig, ConvInitial};
use super::conv_norm::ConvNorm;
use super::feature_map::FeatureMap;
use super::mlp_head::{MlpConfig, MlpHead, classes_to_build};
use crate::config::NetworkConfig;
use crate::encoder::PreLogitsInfo;
use candle_core::{Result, Tensor};
use candlewick_parameters::{Mode, VarBuilder};

/// From the map to logits.
#[derive(Clone, Debug)]
pub(crate) enum Head {
    /// Means over a grid of positions, then linear layers: one on the mean of all (He et al. 2015), or three (Krizhevsky
    /// et al. 2012).
    Mlp(MlpHead),
    /// Dropout, a 1×1 convolution, ReLU, then the mean over the positions (Iandola et al. 2016).
    Conv { conv: Box<ConvNorm>, dropout: f64 },
}

impl Head {
    /// Linear layers on C channels, where `config` wants them or the file holds them.
    pub(crate) fn mlp(
        channels: usize,
        mlp: &MlpConfig,
        config: &NetworkConfig,
        vb: VarBuilder,
    ) -> Result<Option<Self>> {
        Ok(MlpHead::new(channels, mlp, config, vb)?.map(Self::Mlp))
    }

    /// A convolutional head on C channels; `vb` stands at the head's name.
    pub(crate) fn conv(channels: usize, dropout: f64, config: &NetworkConfig, vb: VarBuilder) -> Result<Option<Self>> {
        let Some(classes) = classes_to_build(config, &vb)? else { return Ok(None) };
        let layer = Conv2dConfig::same(channels, classes, 1).with_bias().with_initial(ConvInitial::Normal(0.01));
        let conv = ConvNorm::new(Conv2d::new(&layer, vb)?, None).with_relu();
        Ok(Some(Self::Conv { conv: Box::new(conv), dropout }))
    }

    /// How many classes it has; `None` where only hidden layers are there.
    pub(crate) fn classes(&self) -> Option<usize> {
        match self {
            Self::Mlp(head) => head.classes(),
            Self::Conv { conv, .. } => Some(conv.out_channels()),
        }
    }

    /// The hidden layers in order.
    pub(crate) fn pre_logits_layers(&self) -> &[PreLogitsInfo] {
        match self {
            Self::Mlp(head) => head.pre_logits_layers(),
            Self::Conv { .. } => &[],
        }
    }

    /// (N, C, h, w) → (N, classes).
    pub(crate) fn forward(&self, map: &FeatureMap, mode: &mut Mode) -> Result<Tensor> {
        match self {
            Self::Mlp(head) => head.logits(map, mode),
            Self::Conv { conv, dropout } => conv.forward(&map.dropout(*dropout, mode)?, mode)?.mean(),
        }
    }

    /// The same head without gradients and dropout.
    pub(crate) fn for_inference(&self) -> Result<Self> {
        Ok(match self {
            Self::Mlp(head) => Self::Mlp(head.for_inference()?),
            Self::Conv { conv, .. } => Self::Conv { conv: Box::new(conv.folded()?), dropout: 0.0 },
        })
    }
}
