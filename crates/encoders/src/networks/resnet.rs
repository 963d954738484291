//! ResNet: He et al. 2015, "Deep residual learning for image recognition", and its kin ResNeXt (Xie et al. 2017, "Aggregated
//! residual transformations for deep neural networks") and Wide ResNet (Zagoruyko and Komodakis 2016, "Wide residual networks").
//!
//! A residual block computes y = relu(F(x) + s(x)): F is two 3×3 convolutions, or a bottleneck of 1×1, 3×3 and 1×1; s is
//! the identity, or a 1×1 convolution where the shape changes. As in torchvision the stride of a bottleneck is in its
//! 3×3 convolution ("v1.5"). A ResNeXt has that convolution in groups, a Wide ResNet has it twice as wide.

use crate::architecture::Architecture;
use crate::blocks::{
    BatchNorm2d, BatchNormConfig, Block, Conv2d, Conv2dConfig, ConvInitial, ConvNorm, FeatureMap, Head, MlpConfig,
    NamedLayers, Network, Sequential,
};
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
    /// The shortest side that images are resized to, in pixels.
    resize: usize,
    /// The published ImageNet top-1, as a share of 1.
    top1: Option<f32>,
}

impl Variant {
    /// The same with the published ImageNet top-1, as a share of 1.
    const fn top1(self, top1: f32) -> Self {
        Self { top1: Some(top1), ..self }
    }
}

/// A ResNet.
const fn plain(name: &'static str, block: BlockKind, depths: [usize; 4]) -> Variant {
    Variant { name, block, depths, groups: 1, group_width: 64, resize: 256, top1: None }
}

/// A network of bottlenecks whose 3×3 convolutions have other groups or widths.
const fn bottlenecks(name: &'static str, depths: [usize; 4], groups: usize, group_width: usize) -> Variant {
    Variant { name, block: BlockKind::Bottleneck, depths, groups, group_width, resize: 256, top1: None }
}

const TABLE: [Variant; 10] = [
    plain("resnet18", BlockKind::Basic, [2, 2, 2, 2]).top1(0.69758),
    plain("resnet34", BlockKind::Basic, [3, 4, 6, 3]).top1(0.73314),
    plain("resnet50", BlockKind::Bottleneck, [3, 4, 6, 3]).top1(0.76130),
    plain("resnet101", BlockKind::Bottleneck, [3, 4, 23, 3]).top1(0.77374),
    plain("resnet152", BlockKind::Bottleneck, [3, 8, 36, 3]).top1(0.78312),
    bottlenecks("resnext50_32x4d", [3, 4, 6, 3], 32, 4).top1(0.77618),
    bottlenecks("resnext101_32x8d", [3, 4, 23, 3], 32, 8).top1(0.79312),
    Variant { resize: 232, ..bottlenecks("resnext101_64x4d", [3, 4, 23, 3], 64, 4) }.top1(0.83246),
    bottlenecks("wide_resnet50_2", [3, 4, 6, 3], 1, 128).top1(0.78468),
    bottlenecks("wide_resnet101_2", [3, 4, 23, 3], 1, 128).top1(0.78848),
];

/// The parts of any ResNet before its head.
const STAGES: [&str; 6] = ["conv1", "bn1", "layer1", "layer2", "layer3", "layer4"];

pub(crate) fn architectures() -> Vec<Architecture> {
    let row = |variant: Variant| {
        let stages = STAGES.map(str::to_owned).to_vec();
        Architecture::new(variant.name, stages, &["fc"], move |config, vb| build(&variant, config, vb))
            .with_preprocessing(Preprocessing::imagenet_of(variant.resize, 224, Interpolation::Bilinear))
            .with_published_top1(variant.top1)
    };
    TABLE.map(row).into()
}

impl Variant {
    /// The channels of a block's output over those of its 3×3 convolution.
    fn expansion(&self) -> usize {
        match self.block {
            BlockKind::Basic => 1,
            BlockKind::Bottleneck => 4,
        }
    }

    /// The convolutions of a block's branch, from so many channels to `channels` before the expansion.
    fn branch(&self, inputs: usize, channels: usize, stride: usize) -> Vec<Conv2dConfig> {
        match self.block {
            BlockKind::Basic => vec![
                Conv2dConfig::same(inputs, channels, 3).with_stride(stride),
                Conv2dConfig::same(channels, channels, 3),
            ],
            BlockKind::Bottleneck => {
                let width = channels * self.group_width / 64 * self.groups;
                vec![
                    Conv2dConfig::same(inputs, width, 1),
                    Conv2dConfig::same(width, width, 3).with_stride(stride).with_groups(self.groups),
                    Conv2dConfig::same(width, channels * self.expansion(), 1),
                ]
            }
        }
    }
}

fn build(variant: &Variant, config: &NetworkConfig, vb: VarBuilder) -> Result<Network> {
    let mut layers = NamedLayers::default();
    let stem = Conv2dConfig::same(3, 64, 7).with_stride(2);
    layers.push("relu", 64, 2, conv_norm(stem, 1.0, vb.pp("conv1"), vb.pp("bn1"))?.with_relu());
    layers.push("maxpool", 64, 4, Pool2d { padding: (1, 1), ..Pool2d::new((3, 3), (2, 2)) });
    let mut inputs = 64;
    for (index, depth) in variant.depths.into_iter().enumerate() {
        let (stage, channels) = (format!("layer{}", index + 1), 64 << index);
        let (outputs, mut blocks) = (channels * variant.expansion(), Sequential::default());
        for number in 0..depth {
            let stride = if number == 0 && index > 0 { 2 } else { 1 };
            let branch = variant.branch(inputs, channels, stride);
            let shortcut = Conv2dConfig::same(inputs, outputs, 1).with_stride(stride);
            blocks.push(ResidualBlock::new(&branch, shortcut, config.zero_init_residual, vb.pp(&stage).pp(number))?);
            inputs = outputs;
        }
        layers.push(stage, outputs, 4 << index, blocks);
    }
    Ok(Network::new(variant.name, layers, Head::mlp(inputs, &MlpConfig::linear("fc"), config, vb)?))
}

/// y = relu(F(x) + s(x)).
#[derive(Clone, Debug)]
struct ResidualBlock {
    /// F.
    branch: Vec<ConvNorm>,
    /// s, where it is not the identity.
    downsample: Option<ConvNorm>,
}

impl ResidualBlock {
    /// A block with these convolutions in F, and in s where it is not the identity.
    fn new(branch: &[Conv2dConfig], shortcut: Conv2dConfig, zero_init: bool, vb: VarBuilder) -> Result<Self> {
        let layer = |(index, conv): (usize, &Conv2dConfig)| {
            let initial_weight = if zero_init && index + 1 == branch.len() { 0.0 } else { 1.0 };
            let (conv_vb, norm_vb) = (vb.pp(format!("conv{}", index + 1)), vb.pp(format!("bn{}", index + 1)));
            Ok(conv_norm(*conv, initial_weight, conv_vb, norm_vb)?.with_relu())
        };
        let branch = branch.iter().enumerate().map(layer).collect::<Result<_>>()?;
        let is_identity = shortcut.stride == 1 && shortcut.in_channels == shortcut.out_channels;
        let vb = vb.pp("downsample");
        let downsample = (!is_identity).then(|| conv_norm(shortcut, 1.0, vb.pp(0), vb.pp(1))).transpose()?;
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

/// A convolution and its batch norm, whose `weight` begins with this value.
fn conv_norm(config: Conv2dConfig, initial_weight: f64, conv_vb: VarBuilder, norm_vb: VarBuilder) -> Result<ConvNorm> {
    let conv = Conv2d::new(&config.with_initial(ConvInitial::KaimingFanOut), conv_vb)?;
    let norm = BatchNormConfig { initial_weight, ..Default::default() };
    Ok(ConvNorm::new(conv, Some(BatchNorm2d::new(config.out_channels, &norm, norm_vb)?)))
}
