//! The classification head, wanted or merely found in a file.

use crate::blocks::feature_map::Map;
use crate::blocks::layers::{Conv2d, Conv2dConfig, ConvInitial, ConvNorm, LayerNorm};
use crate::blocks::mlp_head::{FullyConnected, LinearInitial, Plan, classes, keep};
use crate::config::NetworkConfig;
use crate::encoder::VectorInfo;
use candle_core::{Result, Tensor};
use candlewick_parameters::{Mode, VarBuilder};

/// What turns the map into logits.
#[derive(Clone, Debug)]
pub(crate) enum Head {
    /// Means over a grid of positions, then linear layers: one on the mean of all (He et al. 2015), or three (Krizhevsky
    /// et al. 2012).
    FullyConnected(FullyConnected),
    /// Dropout, a 1×1 convolution, ReLU, then the mean over the positions (Iandola et al. 2016).
    Conv { conv: Box<ConvNorm>, dropout: f64 },
}

impl Head {
    /// A linear layer, of this name, on the mean of C channels, with dropout before it.
    pub(crate) fn linear(
        channels: usize,
        last: (&'static str, f64),
        initial: LinearInitial,
        config: &NetworkConfig,
        vb: VarBuilder,
    ) -> Result<Option<Self>> {
        Self::fully_connected(channels, &Plan { grid: 1, hidden: &[], last, initial }, config, vb)
    }

    /// Layer norm (name, eps) of the mean of C channels, then a linear layer.
    pub(crate) fn after_norm(
        channels: usize,
        norm: (&'static str, f64),
        last: &'static str,
        initial: LinearInitial,
        config: &NetworkConfig,
        vb: VarBuilder,
    ) -> Result<Option<Self>> {
        let plan = Plan { grid: 1, hidden: &[], last: (last, 0.0), initial };
        let Some(layers) = FullyConnected::new(channels, &plan, config, vb.clone())? else { return Ok(None) };
        let vb = vb.pp(norm.0);
        if config.classes.is_none() {
            keep(&vb, &["weight", "bias"])?;
        }
        Ok(Some(Self::FullyConnected(layers.after_norm(LayerNorm::new(channels, norm.1, vb)?))))
    }

    /// The fully connected layers of a plan on C channels.
    pub(crate) fn fully_connected(
        channels: usize,
        plan: &Plan,
        config: &NetworkConfig,
        vb: VarBuilder,
    ) -> Result<Option<Self>> {
        Ok(FullyConnected::new(channels, plan, config, vb)?.map(Self::FullyConnected))
    }

    /// A convolutional head on C channels; `vb` stands at the head's name.
    pub(crate) fn conv(channels: usize, dropout: f64, config: &NetworkConfig, vb: VarBuilder) -> Result<Option<Self>> {
        let Some(classes) = classes(config, &vb)? else { return Ok(None) };
        let layer = Conv2dConfig { bias: true, initial: ConvInitial::Normal(0.01), ..Conv2dConfig::new(1) };
        let conv = Conv2d::new(channels, classes, &layer, vb)?;
        Ok(Some(Self::Conv { conv: Box::new(ConvNorm::new(conv, None, true)), dropout }))
    }

    /// How many classes it tells apart; `None` where only hidden layers are there.
    pub(crate) fn classes(&self) -> Option<usize> {
        match self {
            Self::FullyConnected(head) => head.classes(),
            Self::Conv { conv, .. } => Some(conv.out_channels()),
        }
    }

    /// The hidden layers in order.
    pub(crate) fn vectors(&self) -> &[VectorInfo] {
        match self {
            Self::FullyConnected(head) => head.vectors(),
            Self::Conv { .. } => &[],
        }
    }

    /// (N, C, h, w) → (N, classes).
    pub(crate) fn forward(&self, map: &Map, mode: &mut Mode) -> Result<Tensor> {
        match self {
            Self::FullyConnected(head) => head.logits(map, mode),
            Self::Conv { conv, dropout } => conv.forward(&map.dropout(*dropout, mode)?, mode)?.mean(),
        }
    }

    /// The same head without gradients and dropout.
    pub(crate) fn for_inference(&self) -> Result<Self> {
        Ok(match self {
            Self::FullyConnected(head) => Self::FullyConnected(head.for_inference()?),
            Self::Conv { conv, .. } => Self::Conv { conv: Box::new(conv.folded()?), dropout: 0.0 },
        })
    }
}
