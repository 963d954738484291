//! SqueezeNet: Iandola et al. 2016, "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters", versions 1.0 and 1.1.
//!
//! A fire module squeezes the channels with a 1×1 convolution and expands them again with a 1×1 and a 3×3 beside each
//! other. Names are torchvision's, where activations count as members of `features`; layers are `features.1` to `features.12`.

use crate::architecture::Architecture;
use crate::blocks::{Block, Conv2d, Conv2dConfig, ConvInitial, ConvNorm, FeatureMap, Head, NamedLayers, Network};
use crate::config::NetworkConfig;
use candle_core::Result;
use candlewick_kernels::pool::Pool2d;
use candlewick_parameters::{Mode, VarBuilder};

/// A layer of `features`.
#[derive(Clone, Copy, Debug)]
enum Layer {
    /// Channels and kernel of a convolution of stride 2; its ReLU counts as a member of its own.
    Conv(usize, usize),
    /// A 3×3 max-pool of stride 2 whose last window may reach over the edge.
    Pool,
    /// Channels after the squeeze, and of either half of the expansion.
    Fire(usize, usize),
}

const VERSION_1_0: [Layer; 12] = [
    Layer::Conv(96, 7),
    Layer::Pool,
    Layer::Fire(16, 64),
    Layer::Fire(16, 64),
    Layer::Fire(32, 128),
    Layer::Pool,
    Layer::Fire(32, 128),
    Layer::Fire(48, 192),
    Layer::Fire(48, 192),
    Layer::Fire(64, 256),
    Layer::Pool,
    Layer::Fire(64, 256),
];

const VERSION_1_1: [Layer; 12] = [
    Layer::Conv(64, 3),
    Layer::Pool,
    Layer::Fire(16, 64),
    Layer::Fire(16, 64),
    Layer::Pool,
    Layer::Fire(32, 128),
    Layer::Fire(32, 128),
    Layer::Pool,
    Layer::Fire(48, 192),
    Layer::Fire(48, 192),
    Layer::Fire(64, 256),
    Layer::Fire(64, 256),
];

#[derive(Clone, Copy, Debug)]
struct Variant {
    name: &'static str,
    layers: [Layer; 12],
    /// The published ImageNet top-1, as a share of 1.
    top1: f32,
}

const TABLE: [Variant; 2] = [
    Variant { name: "squeezenet1_0", layers: VERSION_1_0, top1: 0.58092 },
    Variant { name: "squeezenet1_1", layers: VERSION_1_1, top1: 0.58178 },
];

pub(crate) fn architectures() -> Vec<Architecture> {
    let row = |Variant { name, layers, top1 }: Variant| {
        // The first convolution's ReLU is a member too, so that all others come one later.
        let members = layers.iter().enumerate().map(|(index, layer)| (index + index.min(1), layer));
        let with_parameters = members.filter(|(_, layer)| !matches!(layer, Layer::Pool));
        let stages = with_parameters.map(|(index, _)| format!("features.{index}")).collect();
        Architecture::new(name, stages, &["classifier.1"], move |config, vb| build(name, &layers, config, vb))
            .with_published_top1(top1)
    };
    TABLE.map(row).into()
}

fn build(name: &'static str, table: &[Layer], config: &NetworkConfig, vb: VarBuilder) -> Result<Network> {
    let mut layers = NamedLayers::default();
    let (mut index, mut channels, mut stride) = (0, 3, 1);
    for &layer in table {
        let vb = vb.pp("features").pp(index);
        match layer {
            Layer::Conv(outputs, kernel) => {
                let conv = conv_relu(Conv2dConfig::same(channels, outputs, kernel).with_stride(2).with_padding(0), vb)?;
                (index, channels, stride) = (index + 1, outputs, 2 * stride);
                layers.push(format!("features.{index}"), channels, stride, conv);
            }
            Layer::Pool => {
                stride *= 2;
                let pool = Pool2d { ceil_mode: true, ..Pool2d::new((3, 3), (2, 2)) };
                layers.push(format!("features.{index}"), channels, stride, pool);
            }
            Layer::Fire(squeezed, half) => {
                let fire = Fire::new(channels, squeezed, half, vb)?;
                channels = 2 * half;
                layers.push(format!("features.{index}"), channels, stride, fire);
            }
        }
        index += 1;
    }
    let head = Head::conv(channels, config.dropout.unwrap_or(0.5), config, vb.pp("classifier").pp(1))?;
    Ok(Network::new(name, layers, head))
}

/// Squeeze, and the expansions 1×1 and 3×3.
#[derive(Debug)]
struct Fire {
    squeeze: ConvNorm,
    expand1x1: ConvNorm,
    expand3x3: ConvNorm,
}

impl Fire {
    fn new(channels: usize, squeezed: usize, half: usize, vb: VarBuilder) -> Result<Self> {
        Ok(Self {
            squeeze: conv_relu(Conv2dConfig::same(channels, squeezed, 1), vb.pp("squeeze"))?,
            expand1x1: conv_relu(Conv2dConfig::same(squeezed, half, 1), vb.pp("expand1x1"))?,
            expand3x3: conv_relu(Conv2dConfig::same(squeezed, half, 3), vb.pp("expand3x3"))?,
        })
    }
}

impl Block for Fire {
    fn forward(&self, xs: &FeatureMap, mode: &mut Mode) -> Result<FeatureMap> {
        let xs = self.squeeze.forward(xs, mode)?;
        FeatureMap::concat(&[self.expand1x1.forward(&xs, mode)?, self.expand3x3.forward(&xs, mode)?])
    }

    fn folded(&self) -> Result<Box<dyn Block>> {
        Ok(Box::new(Self {
            squeeze: self.squeeze.folded()?,
            expand1x1: self.expand1x1.folded()?,
            expand3x3: self.expand3x3.folded()?,
        }))
    }
}

fn conv_relu(config: Conv2dConfig, vb: VarBuilder) -> Result<ConvNorm> {
    let conv = Conv2d::new(&config.with_bias().with_initial(ConvInitial::KaimingUniform), vb)?;
    Ok(ConvNorm::new(conv, None).with_relu())
}
