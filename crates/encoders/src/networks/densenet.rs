//! DenseNet: Huang et al. 2017, "Densely connected convolutional networks" (DenseNet-BC).
//!
//! Layer ℓ of a block reads the maps of all layers before it, x_ℓ = H([x_0, …, x_{ℓ−1}]), where H is batch norm, ReLU, 1×1
//! convolution to 4k channels, batch norm, ReLU and 3×3 convolution to k channels. A transition halves channels and map.
//! The last layer, `features.norm5`, is meant with the ReLU that follows it.

use crate::architecture::Architecture;
use crate::blocks::{
    BatchNorm2d, BatchNormConfig, Block, Conv2d, Conv2dConfig, ConvInitial, ConvNorm, FeatureMap, Head, MlpConfig,
    NamedLayers, Network, Sequential,
};
use crate::config::NetworkConfig;
use candle_core::Result;
use candlewick_kernels::pool::Pool2d;
use candlewick_parameters::{Initial, Mode, VarBuilder};

/// A row of the paper's table 1.
#[derive(Clone, Copy, Debug)]
struct Variant {
    name: &'static str,
    /// The channels k that each layer adds.
    growth: usize,
    /// The layers of each block.
    depths: [usize; 4],
    /// The channels before the first block.
    first: usize,
    /// The published ImageNet top-1, as a share of 1.
    top1: f32,
}

const TABLE: [Variant; 4] = [
    Variant { name: "densenet121", growth: 32, depths: [6, 12, 24, 16], first: 64, top1: 0.74434 },
    Variant { name: "densenet161", growth: 48, depths: [6, 12, 36, 24], first: 96, top1: 0.77138 },
    Variant { name: "densenet169", growth: 32, depths: [6, 12, 32, 32], first: 64, top1: 0.75600 },
    Variant { name: "densenet201", growth: 32, depths: [6, 12, 48, 32], first: 64, top1: 0.76896 },
];

/// The parts of any DenseNet before its head.
const STAGES: [&str; 10] = [
    "conv0",
    "norm0",
    "denseblock1",
    "transition1",
    "denseblock2",
    "transition2",
    "denseblock3",
    "transition3",
    "denseblock4",
    "norm5",
];

pub(crate) fn architectures() -> Vec<Architecture> {
    let row = |variant: Variant| {
        let stages = STAGES.map(|stage| format!("features.{stage}")).to_vec();
        Architecture::new(variant.name, stages, &["classifier"], move |config, vb| build(&variant, config, vb))
            .with_canonical_names(|name| Some(canonical_name(name)))
            .with_published_top1(variant.top1)
    };
    TABLE.map(row).into()
}

fn build(variant: &Variant, config: &NetworkConfig, vb: VarBuilder) -> Result<Network> {
    let (mut layers, features) = (NamedLayers::default(), vb.pp("features"));
    let (mut channels, mut stride) = (variant.first, 4);
    let mut stem = Sequential::default();
    let conv0 = conv(Conv2dConfig::same(3, channels, 7).with_stride(2), features.pp("conv0"))?;
    stem.push(ConvNorm::new(conv0, Some(norm(channels, features.pp("norm0"))?)).with_relu());
    stem.push(Pool2d { padding: (1, 1), ..Pool2d::new((3, 3), (2, 2)) });
    layers.push("features.pool0", channels, stride, stem);
    for (index, depth) in variant.depths.into_iter().enumerate() {
        let name = format!("denseblock{}", index + 1);
        let block =
            DenseBlock::new(channels, variant.growth, depth, config.dropout.unwrap_or(0.0), features.pp(&name))?;
        channels += depth * variant.growth;
        layers.push(format!("features.{name}"), channels, stride, block);
        if index + 1 < variant.depths.len() {
            let name = format!("transition{}", index + 1);
            let transition = Transition::new(channels, features.pp(&name))?;
            (channels, stride) = (channels / 2, 2 * stride);
            layers.push(format!("features.{name}"), channels, stride, transition);
        }
    }
    layers.push("features.norm5", channels, stride, NormRelu(norm(channels, features.pp("norm5"))?));
    let initial = |inputs, _| (Initial::fan_in(inputs), Initial::Constant(0.0));
    let head = Head::mlp(channels, &MlpConfig { initial, ..MlpConfig::linear("classifier") }, config, vb)?;
    Ok(Network::new(variant.name, layers, head))
}

/// Batch norm and ReLU that no convolution precedes, so that there is nothing to fold them into.
#[derive(Clone, Debug)]
struct NormRelu(BatchNorm2d);

impl NormRelu {
    fn detached(&self) -> Result<Self> {
        Ok(Self(self.0.detached()?))
    }
}

impl Block for NormRelu {
    fn forward(&self, xs: &FeatureMap, mode: &mut Mode) -> Result<FeatureMap> {
        self.0.forward(xs, None, true, mode)
    }

    fn folded(&self) -> Result<Box<dyn Block>> {
        Ok(Box::new(self.detached()?))
    }
}

/// Layers that each read what all before them gave.
#[derive(Debug)]
struct DenseBlock(Vec<DenseLayer>);

#[derive(Debug)]
struct DenseLayer {
    first: NormRelu,
    /// To 4k channels, with the second batch norm and ReLU.
    bottleneck: ConvNorm,
    /// To k channels.
    last: ConvNorm,
    dropout: f64,
}

impl DenseBlock {
    fn new(channels: usize, growth: usize, depth: usize, dropout: f64, vb: VarBuilder) -> Result<Self> {
        let layer = |index: usize| {
            let vb = vb.pp(format!("denselayer{}", index + 1));
            let (inputs, width) = (channels + index * growth, 4 * growth);
            let first = NormRelu(norm(inputs, vb.pp("norm1"))?);
            let conv1 = conv(Conv2dConfig::same(inputs, width, 1), vb.pp("conv1"))?;
            let bottleneck = ConvNorm::new(conv1, Some(norm(width, vb.pp("norm2"))?)).with_relu();
            let conv2 = conv(Conv2dConfig::same(width, growth, 3), vb.pp("conv2"))?;
            Ok(DenseLayer { first, bottleneck, last: ConvNorm::new(conv2, None), dropout })
        };
        Ok(Self((0..depth).map(layer).collect::<Result<_>>()?))
    }
}

impl Block for DenseBlock {
    fn forward(&self, xs: &FeatureMap, mode: &mut Mode) -> Result<FeatureMap> {
        let mut maps = xs.clone();
        for layer in &self.0 {
            let xs = layer.bottleneck.forward(&layer.first.forward(&maps, mode)?, mode)?;
            let new = layer.last.forward(&xs, mode)?.dropout(layer.dropout, mode)?;
            maps = FeatureMap::concat(&[maps, new])?;
        }
        Ok(maps)
    }

    fn folded(&self) -> Result<Box<dyn Block>> {
        let layer = |layer: &DenseLayer| {
            let (bottleneck, last) = (layer.bottleneck.folded()?, layer.last.folded()?);
            Ok(DenseLayer { first: layer.first.detached()?, bottleneck, last, dropout: 0.0 })
        };
        Ok(Box::new(Self(self.0.iter().map(layer).collect::<Result<_>>()?)))
    }
}

/// Batch norm, ReLU, a 1×1 convolution to half the channels, and the mean of each 2×2 window.
#[derive(Debug)]
struct Transition {
    norm: NormRelu,
    conv: ConvNorm,
}

impl Transition {
    fn new(channels: usize, vb: VarBuilder) -> Result<Self> {
        let conv = conv(Conv2dConfig::same(channels, channels / 2, 1), vb.pp("conv"))?;
        Ok(Self { norm: NormRelu(norm(channels, vb.pp("norm"))?), conv: ConvNorm::new(conv, None) })
    }
}

impl Block for Transition {
    fn forward(&self, xs: &FeatureMap, mode: &mut Mode) -> Result<FeatureMap> {
        // The mean of a product is the product of the mean, with a quarter of the work.
        let means = self.norm.forward(xs, mode)?.avg_pool(&Pool2d::new((2, 2), (2, 2)))?;
        self.conv.forward(&means, mode)
    }

    fn folded(&self) -> Result<Box<dyn Block>> {
        Ok(Box::new(Self { norm: self.norm.detached()?, conv: self.conv.folded()? }))
    }
}

/// `norm1` and so on for `norm.1`, which the layers have in the files that torchvision still publishes.
fn canonical_name(name: &str) -> String {
    let Some((block, rest)) = name.split_once(".denselayer") else { return name.to_owned() };
    let members = ["norm", "conv"].into_iter().flat_map(|kind| [1, 2].map(|number| (kind, number)));
    let present = members.fold(rest.to_owned(), |rest, (kind, number)| {
        rest.replace(&format!(".{kind}.{number}."), &format!(".{kind}{number}."))
    });
    format!("{block}.denselayer{present}")
}

fn conv(config: Conv2dConfig, vb: VarBuilder) -> Result<Conv2d> {
    Conv2d::new(&config.with_initial(ConvInitial::KaimingFanIn), vb)
}

fn norm(channels: usize, vb: VarBuilder) -> Result<BatchNorm2d> {
    BatchNorm2d::new(channels, &BatchNormConfig::default(), vb)
}
