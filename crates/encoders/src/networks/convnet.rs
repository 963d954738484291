//! A plain stack of convolutions for small pictures, trained from scratch with what reads its map.
//!
//! Convolution, batch norm and ReLU, block after block: names `blocks.0.conv.weight`, `blocks.0.bn.weight` …, head `fc`.

use crate::architecture::{Architecture, NetworkConfig};
use crate::blocks::head::Head;
use crate::blocks::layers::{BatchNorm2d, BatchNormConfig, Conv2d, Conv2dConfig, ConvInitial, ConvNorm};
use crate::blocks::mlp_head::as_pytorch;
use crate::blocks::network::{Layers, Network};
use candle_core::Result;
use candlewick_parameters::VarBuilder;
use serde::{Deserialize, Serialize};

const NAME: &str = "convnet";

/// As many blocks as a convnet may have.
const MOST: usize = 12;

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

pub(crate) fn rows() -> Vec<Architecture> {
    let stages = (0..MOST).map(|index| format!("blocks.{index}")).collect();
    vec![Architecture::new(NAME, stages, &["fc"], build)]
}

fn build(config: &NetworkConfig, vb: VarBuilder) -> Result<Network> {
    if config.blocks.is_empty() || config.blocks.len() > MOST {
        candle_core::bail!("{NAME}: wants 1 to {MOST} blocks, got {}", config.blocks.len())
    }
    let (mut layers, mut inputs, mut total) = (Layers::default(), 3, 1);
    for (index, &ConvBlock { channels, kernel_size, stride }) in config.blocks.iter().enumerate() {
        let name = format!("blocks.{index}");
        let (vb, initial) = (vb.pp(&name), ConvInitial::KaimingFanOut);
        let padding = kernel_size.saturating_sub(stride).div_ceil(2);
        let layer = Conv2dConfig { stride, padding, initial, ..Conv2dConfig::new(kernel_size) };
        let conv = Conv2d::new(inputs, channels, &layer, vb.pp("conv"))?;
        let norm = BatchNorm2d::new(channels, &BatchNormConfig::default(), vb.pp("bn"))?;
        (inputs, total) = (channels, usize::saturating_mul(total, stride));
        layers.push(name, channels, total, ConvNorm::new(conv, Some(norm), true));
    }
    Ok(Network::new(NAME, layers, Head::linear(inputs, ("fc", 0.0), as_pytorch, config, vb)?))
}
