//! A plain convolutional network for small images, trained from scratch with what reads its map.
//!
//! Convolution, batch norm and ReLU, block after block: names `blocks.0.conv.weight`, `blocks.0.bn.weight` …, head `fc`.

use crate::architecture::Architecture;
use crate::blocks::{
    BatchNorm2d, BatchNormConfig, Conv2d, Conv2dConfig, ConvInitial, ConvNorm, Head, MlpConfig, NamedLayers, Network,
};
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
        let vb = vb.pp(&name);
        let padding = kernel_size.saturating_sub(stride).div_ceil(2);
        let conv = Conv2dConfig::same(inputs, channels, kernel_size).with_stride(stride).with_padding(padding);
        let conv = Conv2d::new(&conv.with_initial(ConvInitial::KaimingFanOut), vb.pp("conv"))?;
        let norm = BatchNorm2d::new(channels, &BatchNormConfig::default(), vb.pp("bn"))?;
        (inputs, total) = (channels, usize::saturating_mul(total, stride));
        layers.push(name, channels, total, ConvNorm::new(conv, Some(norm)).with_relu());
    }
    Ok(Network::new(NAME, layers, Head::mlp(inputs, &MlpConfig::linear("fc"), config, vb)?))
}
