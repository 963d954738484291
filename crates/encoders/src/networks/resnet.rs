//! ResNet: He et al. 2015, "Deep residual learning for image recognition", and its kin ResNeXt (Xie et al. 2017, "Aggregated
//! residual transformations for deep neural networks") and Wide ResNet (Zagoruyko and Komodakis 2016, "Wide residual networks").
//!
//! A residual block computes y = relu(F(x) + s(x)): F is two 3×3 convolutions, or a bottleneck of 1×1, 3×3 and 1×1; s is
//! the identity, or a 1×1 convolution where the shape changes. As in torchvision the stride of a bottleneck is in its
//! 3×3 convolution ("v1.5"). A ResNeXt has that convolution in groups, a Wide ResNet has it twice as wide.

use crate::architecture::Architecture;
use crate::blocks::feature_map::FeatureMap;
use crate::blocks::head::Head;
use crate::blocks::layers::{BatchNorm2d, BatchNormConfig, Conv2d, Conv2dConfig, ConvInitial, ConvNorm};
use crate::blocks::mlp_head::pytorch_linear_init;
use crate::blocks::network::{Block, NamedLayers, Network, Sequential};
use crate::config::NetworkConfig;
use crate::preprocessing::{Interpolation, Preprocessing};
use candle_core::Result;
use candlewick_kernels::pool::Pool2d;
use candlewick_parameters::{Mode, VarBuilder};

/// The shape of a residual block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BlockKind {
    /// Two 3×3 convolutions.
    Basic,
    /// 1×1, 3×3 and 1×1, the last four times as wide.
    Bottleneck,
}

impl BlockKind {
    /// The channels of a block's output over those of its 3×3 convolution.
    fn expansion(self) -> usize {
        match self {
            BlockKind::Basic => 1,
            BlockKind::Bottleneck => 4,
        }
    }

    /// The convolutions of the branch of a block with so many channels before its expansion: (kernel, stride, groups, output
    /// channels).
    fn convolutions(self, variant: &Variant, channels: usize, stride: usize) -> Vec<(usize, usize, usize, usize)> {
        let (groups, width) = (variant.groups, channels * variant.group_width / 64 * variant.groups);
        match self {
            BlockKind::Basic => vec![(3, stride, 1, channels), (3, 1, 1, channels)],
            BlockKind::Bottleneck => {
                vec![(1, 1, 1, width), (3, stride, groups, width), (1, 1, 1, channels * self.expansion())]
            }
        }
    }
}

/// A row of the paper's table 1, or of its kin's.
#[derive(Clone, Copy, Debug)]
struct Variant {
    name: &'static str,
    block: BlockKind,
    /// The blocks of each stage.
    depths: [usize; 4],
    /// The groups of a bottleneck's 3×3 convolution.
    groups: usize,
    /// The channels of each group in the first stage.
    group_width: usize,
    /// The shortest side that pictures are resized to, in pixels.
    resize: usize,
}

/// A ResNet.
const fn plain(name: &'static str, block: BlockKind, depths: [usize; 4]) -> Variant {
    Variant { name, block, depths, groups: 1, group_width: 64, resize: 256 }
}

/// A network of bottlenecks whose 3×3 convolutions have other groups or widths.
const fn bottlenecks(name: &'static str, depths: [usize; 4], groups: usize, group_width: usize) -> Variant {
    Variant { name, block: BlockKind::Bottleneck, depths, groups, group_width, resize: 256 }
}

const TABLE: [Variant; 10] = [
    plain("resnet18", BlockKind::Basic, [2, 2, 2, 2]),
    plain("resnet34", BlockKind::Basic, [3, 4, 6, 3]),
    plain("resnet50", BlockKind::Bottleneck, [3, 4, 6, 3]),
    plain("resnet101", BlockKind::Bottleneck, [3, 4, 23, 3]),
    plain("resnet152", BlockKind::Bottleneck, [3, 8, 36, 3]),
    bottlenecks("resnext50_32x4d", [3, 4, 6, 3], 32, 4),
    bottlenecks("resnext101_32x8d", [3, 4, 23, 3], 32, 8),
    Variant { resize: 232, ..bottlenecks("resnext101_64x4d", [3, 4, 23, 3], 64, 4) },
    bottlenecks("wide_resnet50_2", [3, 4, 6, 3], 1, 128),
    bottlenecks("wide_resnet101_2", [3, 4, 23, 3], 1, 128),
];

/// The parts of any ResNet before its head.
const STAGES: [&str; 6] = ["conv1", "bn1", "layer1", "layer2", "layer3", "layer4"];

pub(crate) fn architectures() -> Vec<Architecture> {
    let row = |variant: Variant| {
        let stages = STAGES.map(str::to_owned).to_vec();
        Architecture::new(variant.name, stages, &["fc"], move |config, vb| build(&variant, config, vb))
            .with_preprocessing(Preprocessing::imagenet_of(variant.resize, 224, Interpolation::Bilinear))
    };
    TABLE.map(row).into()
}

fn build(variant: &Variant, config: &NetworkConfig, vb: VarBuilder) -> Result<Network> {
    let mut layers = NamedLayers::default();
    layers.push("relu", 64, 2, conv_norm((3, 64), (7, 2, 1), 1.0, true, vb.pp("conv1"), vb.pp("bn1"))?);
    layers.push("maxpool", 64, 4, Pool2d { padding: (1, 1), ..Pool2d::new((3, 3), (2, 2)) });
    let mut channels = 64;
    for (index, depth) in variant.depths.into_iter().enumerate() {
        let (stage, mut blocks) = (format!("layer{}", index + 1), Sequential::default());
        for number in 0..depth {
            let stride = if number == 0 && index > 0 { 2 } else { 1 };
            let (vb, zero_init) = (vb.pp(&stage).pp(number), config.zero_init_residual);
            blocks.push(ResidualBlock::new(variant, (channels, 64 << index), stride, zero_init, vb)?);
            channels = (64 << index) * variant.block.expansion();
        }
        layers.push(stage, channels, 4 << index, blocks);
    }
    Ok(Network::new(variant.name, layers, Head::linear(channels, ("fc", 0.0), pytorch_linear_init, config, vb)?))
}

/// One residual block.
#[derive(Clone, Debug)]
struct ResidualBlock {
    branch: Vec<ConvNorm>,
    downsample: Option<ConvNorm>,
}

impl ResidualBlock {
    /// From so many channels to (as many before the expansion).
    fn new(
        variant: &Variant,
        (channels, narrow): (usize, usize),
        stride: usize,
        zero_init: bool,
        vb: VarBuilder,
    ) -> Result<Self> {
        let convolutions = variant.block.convolutions(variant, narrow, stride);
        let (mut branch, mut inputs) = (Vec::with_capacity(convolutions.len()), channels);
        for (index, &(kernel, stride, groups, outputs)) in convolutions.iter().enumerate() {
            let last = index + 1 == convolutions.len();
            let initial = if last && zero_init { 0.0 } else { 1.0 };
            let (conv, norm) = (vb.pp(format!("conv{}", index + 1)), vb.pp(format!("bn{}", index + 1)));
            branch.push(conv_norm((inputs, outputs), (kernel, stride, groups), initial, true, conv, norm)?);
            inputs = outputs;
        }
        let downsample = if stride == 1 && channels == inputs {
            None
        } else {
            let vb = vb.pp("downsample");
            Some(conv_norm((channels, inputs), (1, stride, 1), 1.0, false, vb.pp(0), vb.pp(1))?)
        };
        Ok(Self { branch, downsample })
    }
}

impl Block for ResidualBlock {
    fn forward(&self, xs: &FeatureMap, mode: &mut Mode) -> Result<FeatureMap> {
        let shortcut = match &self.downsample {
            Some(layer) => layer.forward(xs, mode)?,
            None => xs.clone(),
        };
        let mut ys = xs.clone();
        for (index, layer) in self.branch.iter().enumerate() {
            // The last one adds what the shortcut brings, before its ReLU.
            let add = (index + 1 == self.branch.len()).then_some(&shortcut);
            ys = layer.forward_add(&ys, add, mode)?;
        }
        Ok(ys)
    }

    fn folded(&self) -> Result<Box<dyn Block>> {
        let branch = self.branch.iter().map(ConvNorm::folded).collect::<Result<_>>()?;
        Ok(Box::new(Self { branch, downsample: self.downsample.as_ref().map(ConvNorm::folded).transpose()? }))
    }
}

/// A convolution (from, to) of (kernel, stride, groups) without bias that keeps the size but for its stride, and its batch norm.
fn conv_norm(
    (inputs, outputs): (usize, usize),
    (kernel, stride, groups): (usize, usize, usize),
    initial_weight: f64,
    relu: bool,
    conv: VarBuilder,
    norm: VarBuilder,
) -> Result<ConvNorm> {
    let initial = ConvInitial::KaimingFanOut;
    let layer = Conv2dConfig { stride, padding: kernel / 2, groups, initial, ..Conv2dConfig::new(kernel) };
    let conv = Conv2d::new(inputs, outputs, &layer, conv)?;
    let norm = BatchNorm2d::new(outputs, &BatchNormConfig { initial_weight, ..Default::default() }, norm)?;
    Ok(ConvNorm::new(conv, Some(norm), relu))
}
