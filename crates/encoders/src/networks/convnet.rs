//! A plain stack of convolutions for small pictures, trained from scratch with what reads its map.
//!
//! Convolution, batch norm and ReLU, block after block: names `blocks.0.conv.weight`, `blocks.0.bn.weight` …, head `fc`.

use crate::architecture::Architecture;
use crate::blocks::head::Head;
use crate::blocks::layers::{BatchNorm2d, BatchNormConfig, Conv2d, Conv2dConfig, ConvInitial, ConvNorm};
use crate::blocks::mlp_head::pytorch_linear_init;
use crate::blocks::network::{NamedLayers, Network};
use crate::config::{ConvBlock, NetworkConfig};
use candle_core::Result;
use candlewick_parameters::VarBuilder;

const NAME: &str = "convnet";

/// As many blocks as a convnet may have.
const MOST: usize = 12;

pub(crate) fn architectures() -> Vec<Architecture> {
    let stages = (0..MOST).map(|index| format!("blocks.{index}")).collect();
    vec![Architecture::new(NAME, stages, &["fc"], build)]
}

fn build(config: &NetworkConfig, vb: VarBuilder) -> Result<Network> {
    if config.blocks.is_empty() || config.blocks.len() > MOST {
        candle_core::bail!("{NAME}: wants 1 to {MOST} blocks, got {}", config.blocks.len())
    }
    let (mut layers, mut inputs, mut total) = (NamedLayers::default(), 3, 1);
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
    Ok(Network::new(NAME, layers, Head::linear(inputs, ("fc", 0.0), pytorch_linear_init, config, vb)?))
}
