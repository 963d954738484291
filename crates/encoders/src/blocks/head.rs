//! The classification head, wanted or merely found in a file.

use crate::blocks::feature_map::FeatureMap;
use crate::blocks::layers::{Conv2d, Conv2dConfig, ConvInitial, ConvNorm, LayerNorm};
use crate::blocks::mlp_head::{LinearInit, MlpConfig, MlpHead, classes_to_build, keep_as_buffers};
use crate::config::NetworkConfig;
use crate::encoder::PreLogitsInfo;
use candle_core::{Result, Tensor};
use candlewick_parameters::{Mode, VarBuilder};

/// What turns the map into logits.
#[derive(Clone, Debug)]
pub(crate) enum Head {
    /// Means over a grid of positions, then linear layers: one on the mean of all (He et al. 2015), or three (Krizhevsky
    /// et al. 2012).
    Mlp(MlpHead),
    /// Dropout, a 1×1 convolution, ReLU, then the mean over the positions (Iandola et al. 2016).
    Conv { conv: Box<ConvNorm>, dropout: f64 },
}

impl Head {
    /// A linear layer, of this name, on the mean of C channels, with dropout before it.
    pub(crate) fn linear(
        channels: usize,
        last: (&'static str, f64),
        initial: LinearInit,
        config: &NetworkConfig,
        vb: VarBuilder,
    ) -> Result<Option<Self>> {
        Self::fully_connected(channels, &MlpConfig { grid: 1, hidden: &[], last, initial }, config, vb)
    }

    /// Layer norm (name, eps) of the mean of C channels, then a linear layer.
    pub(crate) fn after_norm(
        channels: usize,
        norm: (&'static str, f64),
        last: &'static str,
        initial: LinearInit,
        config: &NetworkConfig,
        vb: VarBuilder,
    ) -> Result<Option<Self>> {
        let plan = MlpConfig { grid: 1, hidden: &[], last: (last, 0.0), initial };
        let Some(layers) = MlpHead::new(channels, &plan, config, vb.clone())? else { return Ok(None) };
        let vb = vb.pp(norm.0);
        if config.classes.is_none() {
            keep_as_buffers(&vb, &["weight", "bias"])?;
        }
        Ok(Some(Self::Mlp(layers.after_norm(LayerNorm::new(channels, norm.1, vb)?))))
    }

    /// The fully connected layers of a plan on C channels.
    pub(crate) fn fully_connected(
        channels: usize,
        plan: &MlpConfig,
        config: &NetworkConfig,
        vb: VarBuilder,
    ) -> Result<Option<Self>> {
        Ok(MlpHead::new(channels, plan, config, vb)?.map(Self::Mlp))
    }

    /// A convolutional head on C channels; `vb` stands at the head's name.
    pub(crate) fn conv(channels: usize, dropout: f64, config: &NetworkConfig, vb: VarBuilder) -> Result<Option<Self>> {
        let Some(classes) = classes_to_build(config, &vb)? else { return Ok(None) };
        let layer = Conv2dConfig { bias: true, initial: ConvInitial::Normal(0.01), ..Conv2dConfig::new(1) };
        let conv = Conv2d::new(channels, classes, &layer, vb)?;
        Ok(Some(Self::Conv { conv: Box::new(ConvNorm::new(conv, None, true)), dropout }))
    }

    /// How many classes it tells apart; `None` where only hidden layers are there.
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
