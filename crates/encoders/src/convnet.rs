//! A plain stack of convolutions for small pictures, trained from scratch with what reads its map.

use crate::encoder::{Encoder, LayerInfo, no_head, position};
use crate::head::Head;
use crate::layers::{BatchNorm2d, BatchNormConfig, Conv2d, Conv2dConfig, ConvInitial, ConvNorm};
use crate::map::Map;
use crate::network::NetworkConfig;
use candle_core::{Result, Tensor};
use candlewick_parameters::{Mode, VarBuilder};
use serde::{Deserialize, Serialize};

const NAME: &str = "convnet";

/// The parts of a convnet in order, which fine-tuning can begin at; as many blocks as it may have.
pub(crate) const STAGES: &[&str] = &[
    "blocks.0",
    "blocks.1",
    "blocks.2",
    "blocks.3",
    "blocks.4",
    "blocks.5",
    "blocks.6",
    "blocks.7",
    "blocks.8",
    "blocks.9",
    "blocks.10",
    "blocks.11",
    "fc",
];

/// One block: a convolution padded by ⌈(kernel − stride) / 2⌉, batch norm and ReLU.
///
/// With kernel and stride both even or both odd, a position looks at the part of the picture that it stands for, and
/// not beside it: then attention points where it should.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConvBlock {
    /// The channels of its output.
    pub channels: usize,
    /// The side of its kernel.
    pub kernel_size: usize,
    /// The step of its kernel.
    pub stride: usize,
}

impl ConvBlock {
    /// The default for 64×64 pictures: four 3×3 blocks down to an 8×8 map of 128 channels.
    pub fn for_small_pictures() -> Vec<Self> {
        [(32, 2), (64, 2), (96, 2), (128, 1)]
            .map(|(channels, stride)| Self { channels, kernel_size: 3, stride })
            .to_vec()
    }
}

/// Convolution, batch norm and ReLU, block after block: names `blocks.0.conv.weight`, `blocks.0.bn.weight` …, head `fc`.
#[derive(Clone, Debug)]
pub struct ConvNet {
    blocks: Vec<ConvNorm>,
    layers: Vec<LayerInfo>,
    head: Option<Head>,
}

impl ConvNet {
    /// The blocks of the configuration in a row.
    ///
    /// # Errors
    /// When there are no blocks or too many, or the builder has no such parameters.
    pub fn new(config: &NetworkConfig, vb: VarBuilder) -> Result<Self> {
        let most = STAGES.len() - 1;
        if config.blocks.is_empty() || config.blocks.len() > most {
            candle_core::bail!("{NAME}: wants 1 to {most} blocks, got {}", config.blocks.len())
        }
        let (mut blocks, mut layers, mut inputs, mut total) = (Vec::new(), Vec::new(), 3, 1);
        for (index, &ConvBlock { channels, kernel_size, stride }) in config.blocks.iter().enumerate() {
            let name = format!("blocks.{index}");
            let (vb, initial) = (vb.pp(&name), ConvInitial::KaimingFanOut);
            let layer = Conv2dConfig {
                stride,
                padding: kernel_size.saturating_sub(stride).div_ceil(2),
                initial,
                ..Conv2dConfig::new(kernel_size)
            };
            let conv = Conv2d::new(inputs, channels, &layer, vb.pp("conv"))?;
            let norm = BatchNorm2d::new(channels, &BatchNormConfig::default(), vb.pp("bn"))?;
            blocks.push(ConvNorm::new(conv, Some(norm), true));
            (inputs, total) = (channels, total * stride);
            layers.push(LayerInfo::new(name, channels, total));
        }
        let head = Head::linear(inputs, config, vb.pp("fc"))?;
        Ok(Self { blocks, layers, head })
    }
}

impl Encoder for ConvNet {
    fn name(&self) -> &str {
        NAME
    }

    fn layers(&self) -> &[LayerInfo] {
        &self.layers
    }

    fn layer(&self, name: &str, images: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        let last = position(NAME, &self.layers, name, images)?;
        let mut xs = Map::new(images)?;
        for block in self.blocks.iter().take(last + 1) {
            xs = block.forward(&xs, mode)?;
        }
        xs.apart()
    }

    fn classes(&self) -> Option<usize> {
        self.head.as_ref().map(Head::classes)
    }

    fn classify(&self, map: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        self.head.as_ref().ok_or_else(|| no_head(NAME))?.forward(map, mode)
    }

    fn for_inference(&self) -> Result<Box<dyn Encoder + Send + Sync>> {
        Ok(Box::new(Self {
            blocks: self.blocks.iter().map(ConvNorm::folded).collect::<Result<_>>()?,
            layers: self.layers.clone(),
            head: self.head.as_ref().map(Head::for_inference).transpose()?,
        }))
    }
}
