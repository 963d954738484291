//! EfficientNet: Tan and Le 2019, "EfficientNet: rethinking model scaling for convolutional neural networks", and version 2 (Tan
//! and Le 2021, "EfficientNetV2: smaller models and faster training").
//!
//! An inverted residual block widens the channels with a 1×1 convolution, has one kernel a channel, weighs the channels by
//! squeeze-and-excitation and narrows them again; a fused one does the first two in one k×k convolution and weighs nothing.
//! Batch norm follows each convolution, SiLU each but the last. B1 to B7 are B0 wider and deeper. Names are torchvision's.

use crate::architecture::Architecture;
use crate::blocks::{
    BatchNorm2d, BatchNormConfig, Block, Conv2d, Conv2dConfig, ConvInitial, ConvNorm, FeatureMap, Head, Linear,
    MlpConfig, NamedLayers, Network, Sequential,
};
use crate::config::NetworkConfig;
use crate::preprocessing::{Interpolation, Preprocessing};
use candle_core::Result;
use candlewick_kernels::activation::{Activation, sigmoid, silu};
use candlewick_parameters::{Initial, Mode, VarBuilder};

/// Blocks of one shape.
#[derive(Clone, Copy, Debug)]
struct Stage {
    fused: bool,
    /// The channels within a block over those of its input.
    expansion: usize,
    kernel: usize,
    /// Of the first block.
    stride: usize,
    channels: usize,
    depth: usize,
}

const fn stage(expansion: usize, kernel: usize, stride: usize, channels: usize, depth: usize) -> Stage {
    Stage { fused: false, expansion, kernel, stride, channels, depth }
}

const fn fused(expansion: usize, stride: usize, channels: usize, depth: usize) -> Stage {
    Stage { fused: true, expansion, kernel: 3, stride, channels, depth }
}

/// Table 1 of the first paper.
const B0: &[Stage] = &[
    stage(1, 3, 1, 16, 1),
    stage(6, 3, 2, 24, 2),
    stage(6, 5, 2, 40, 2),
    stage(6, 3, 2, 80, 3),
    stage(6, 5, 1, 112, 3),
    stage(6, 5, 2, 192, 4),
    stage(6, 3, 1, 320, 1),
];

/// Table 4 of the second paper.
const V2_S: &[Stage] = &[
    fused(1, 1, 24, 2),
    fused(4, 2, 48, 4),
    fused(4, 2, 64, 4),
    stage(4, 3, 2, 128, 6),
    stage(6, 3, 1, 160, 9),
    stage(6, 3, 2, 256, 15),
];

const V2_M: &[Stage] = &[
    fused(1, 1, 24, 3),
    fused(4, 2, 48, 5),
    fused(4, 2, 80, 5),
    stage(4, 3, 2, 160, 7),
    stage(6, 3, 1, 176, 14),
    stage(6, 3, 2, 304, 18),
    stage(6, 3, 1, 512, 5),
];

const V2_L: &[Stage] = &[
    fused(1, 1, 32, 4),
    fused(4, 2, 64, 7),
    fused(4, 2, 96, 7),
    stage(4, 3, 2, 192, 10),
    stage(6, 3, 1, 224, 19),
    stage(6, 3, 2, 384, 25),
    stage(6, 3, 1, 640, 7),
];

#[derive(Clone, Debug)]
struct Variant {
    name: &'static str,
    /// The channels of the first convolution.
    first: usize,
    stages: Vec<Stage>,
    /// The channels of the last convolution.
    last: usize,
    norm: BatchNormConfig,
    /// The probability of dropout before the head.
    dropout: f64,
    preprocessing: Preprocessing,
    /// The published ImageNet top-1, as a share of 1.
    top1: Option<f32>,
}

impl Variant {
    /// The same with the published ImageNet top-1, as a share of 1.
    fn top1(self, top1: f32) -> Self {
        Self { top1: Some(top1), ..self }
    }
}

/// The next multiple of eight, never below nine tenths of the number.
fn multiple_of_eight(channels: f64) -> usize {
    let rounded = ((channels + 4.0) as usize / 8 * 8).max(8);
    if (rounded as f64) < 0.9 * channels { rounded + 8 } else { rounded }
}

/// B0 wider and deeper by these factors, for images of `crop` pixels.
fn scaled(name: &'static str, width: f64, depth: f64, dropout: f64, resize: usize, crop: usize) -> Variant {
    let wider = |channels: usize| multiple_of_eight(channels as f64 * width);
    let larger = |stage: &Stage| Stage {
        channels: wider(stage.channels),
        depth: (stage.depth as f64 * depth).ceil() as usize,
        ..*stage
    };
    let stages: Vec<Stage> = B0.iter().map(larger).collect();
    let preprocessing = Preprocessing::imagenet_of(resize, crop, Interpolation::Bicubic);
    let norm = BatchNormConfig::default();
    Variant { name, first: wider(32), last: 4 * wider(320), stages, norm, dropout, preprocessing, top1: None }
}

fn version_2(name: &'static str, stages: &[Stage], dropout: f64, preprocessing: Preprocessing) -> Variant {
    let norm = BatchNormConfig { eps: 1e-3, ..Default::default() };
    let first = stages.first().map_or(24, |stage| stage.channels);
    Variant { name, first, stages: stages.to_vec(), last: 1280, norm, dropout, preprocessing, top1: None }
}

fn table() -> Vec<Variant> {
    let norm = BatchNormConfig { eps: 1e-3, momentum: 0.01, ..Default::default() };
    let slow = |variant| Variant { norm: norm.clone(), ..variant };
    let bilinear = |side| Preprocessing::imagenet_of(side, side, Interpolation::Bilinear);
    let bicubic = Preprocessing::imagenet_of(480, 480, Interpolation::Bicubic);
    vec![
        // Name, width, depth, dropout, resize, crop.
        scaled("efficientnet_b0", 1.0, 1.0, 0.2, 256, 224).top1(0.77692),
        scaled("efficientnet_b1", 1.0, 1.1, 0.2, 256, 240).top1(0.78642),
        scaled("efficientnet_b2", 1.1, 1.2, 0.3, 288, 288).top1(0.80608),
        scaled("efficientnet_b3", 1.2, 1.4, 0.3, 320, 300).top1(0.82008),
        scaled("efficientnet_b4", 1.4, 1.8, 0.4, 384, 380).top1(0.83384),
        slow(scaled("efficientnet_b5", 1.6, 2.2, 0.4, 456, 456)).top1(0.83444),
        slow(scaled("efficientnet_b6", 1.8, 2.6, 0.5, 528, 528)).top1(0.84008),
        slow(scaled("efficientnet_b7", 2.0, 3.1, 0.5, 600, 600)).top1(0.84122),
        version_2("efficientnet_v2_s", V2_S, 0.2, bilinear(384)).top1(0.84228),
        version_2("efficientnet_v2_m", V2_M, 0.3, bilinear(480)).top1(0.85112),
        version_2("efficientnet_v2_l", V2_L, 0.4, Preprocessing { mean: [0.5; 3], std: [0.5; 3], ..bicubic })
            .top1(0.85808),
    ]
}

pub(crate) fn architectures() -> Vec<Architecture> {
    let row = |variant: Variant| {
        let stages = (0..variant.stages.len() + 2).map(|number| format!("features.{number}")).collect();
        let (preprocessing, top1) = (variant.preprocessing.clone(), variant.top1);
        Architecture::new(variant.name, stages, &["classifier.1"], move |config, vb| build(&variant, config, vb))
            .with_preprocessing(preprocessing)
            .with_published_top1(top1)
    };
    table().into_iter().map(row).collect()
}

fn build(variant: &Variant, config: &NetworkConfig, vb: VarBuilder) -> Result<Network> {
    let most = config.stochastic_depth.unwrap_or(0.2);
    let (mut layers, features) = (NamedLayers::default(), vb.pp("features"));
    let norm = &variant.norm;
    let stem = Conv2dConfig::same(3, variant.first, 3).with_stride(2);
    layers.push("features.0", variant.first, 2, conv_norm_silu(stem, norm, features.pp(0))?);
    let (mut inputs, mut stride, mut number) = (variant.first, 2, 0);
    let total: usize = variant.stages.iter().map(|stage| stage.depth).sum();
    for (index, stage) in variant.stages.iter().enumerate() {
        let mut blocks = Sequential::default();
        for block in 0..stage.depth {
            let stage = Stage { stride: if block == 0 { stage.stride } else { 1 }, ..*stage };
            let mb_conv = MbConv::new(&stage, inputs, norm, features.pp(index + 1).pp(block).pp("block"))?;
            blocks.push(MbConv { stochastic_depth: most * number as f64 / total as f64, ..mb_conv });
            (inputs, number) = (stage.channels, number + 1);
        }
        stride *= stage.stride;
        layers.push(format!("features.{}", index + 1), inputs, stride, blocks);
    }
    let last = variant.stages.len() + 1;
    let conv = conv_norm_silu(Conv2dConfig::same(inputs, variant.last, 1), norm, features.pp(last))?;
    layers.push(format!("features.{last}"), variant.last, stride, conv);
    let initial = |_, outputs| (Initial::fan_in(outputs), Initial::Constant(0.0));
    let dropout = config.dropout.unwrap_or(variant.dropout);
    let mlp = MlpConfig { dropout, initial, ..MlpConfig::linear("classifier.1") };
    Ok(Network::new(variant.name, layers, Head::mlp(variant.last, &mlp, config, vb)?))
}

/// A convolution, `0`, and its batch norm, `1`.
fn conv_norm(config: Conv2dConfig, norm: &BatchNormConfig, vb: VarBuilder) -> Result<ConvNorm> {
    let conv = Conv2d::new(&config.with_initial(ConvInitial::KaimingFanOut), vb.pp(0))?;
    Ok(ConvNorm::new(conv, Some(BatchNorm2d::new(config.out_channels, norm, vb.pp(1))?)))
}

/// The same and then SiLU.
fn conv_norm_silu(config: Conv2dConfig, norm: &BatchNormConfig, vb: VarBuilder) -> Result<ConvNorm> {
    Ok(conv_norm(config, norm, vb)?.with_activation(Activation::Silu))
}

/// Squeeze-and-excitation: x ⊙ σ(W₂ silu(W₁ mean(x) + b₁) + b₂), one number a channel (Hu et al. 2018).
#[derive(Clone, Debug)]
struct Excitation {
    fc1: Linear,
    fc2: Linear,
}

impl Excitation {
    fn new(channels: usize, squeezed: usize, vb: VarBuilder) -> Result<Self> {
        let initial = |_, outputs| (Initial::kaiming_fan_out(outputs), Initial::Constant(0.0));
        let fc1 = Linear::from_conv1x1(channels, squeezed, initial, &vb.pp("fc1"))?;
        Ok(Self { fc1, fc2: Linear::from_conv1x1(squeezed, channels, initial, &vb.pp("fc2"))? })
    }

    fn forward(&self, xs: &FeatureMap, mode: &mut Mode) -> Result<FeatureMap> {
        let squeezed = silu(&self.fc1.forward(&xs.mean()?, mode)?)?;
        xs.scale_channels(&sigmoid(&self.fc2.forward(&squeezed, mode)?)?)
    }

    fn for_inference(&self) -> Self {
        Self { fc1: self.fc1.for_inference(), fc2: self.fc2.for_inference() }
    }
}

/// An inverted residual block, MBConv or Fused-MBConv.
#[derive(Clone, Debug)]
struct MbConv {
    /// The convolutions with SiLU.
    wide: Vec<ConvNorm>,
    excitation: Option<Excitation>,
    /// The last convolution; a fused block that widens nothing has none.
    narrow: Option<ConvNorm>,
    residual: bool,
    stochastic_depth: f64,
}

impl MbConv {
    /// A block of a stage, from so many channels, without stochastic depth.
    fn new(stage: &Stage, inputs: usize, norm: &BatchNormConfig, vb: VarBuilder) -> Result<Self> {
        let Stage { fused, expansion, kernel, stride, channels, .. } = *stage;
        let width = multiple_of_eight((inputs * expansion) as f64);
        let (mut wide, mut number) = (Vec::new(), 0);
        let mut next = || {
            number += 1;
            vb.pp(number - 1)
        };
        if fused {
            let outputs = if width == inputs { channels } else { width };
            wide.push(conv_norm_silu(Conv2dConfig::same(inputs, outputs, kernel).with_stride(stride), norm, next())?);
        } else {
            if width != inputs {
                wide.push(conv_norm_silu(Conv2dConfig::same(inputs, width, 1), norm, next())?);
            }
            let depthwise = Conv2dConfig::same(width, width, kernel).with_stride(stride).with_groups(width);
            wide.push(conv_norm_silu(depthwise, norm, next())?);
        }
        let excitation = (!fused).then(|| Excitation::new(width, (inputs / 4).max(1), next())).transpose()?;
        let project = || conv_norm(Conv2dConfig::same(width, channels, 1), norm, next());
        let narrow = (!fused || width != inputs).then(project).transpose()?;
        Ok(Self { wide, excitation, narrow, residual: stride == 1 && inputs == channels, stochastic_depth: 0.0 })
    }
}

impl Block for MbConv {
    fn forward(&self, xs: &FeatureMap, mode: &mut Mode) -> Result<FeatureMap> {
        let mut ys = xs.clone();
        for conv in &self.wide {
            ys = conv.forward(&ys, mode)?;
        }
        if let Some(excitation) = &self.excitation {
            ys = excitation.forward(&ys, mode)?;
        }
        // Without stochastic depth the sum is part of the last convolution.
        let fused = self.residual && (self.stochastic_depth == 0.0 || !mode.is_training());
        if let Some(narrow) = &self.narrow {
            ys = narrow.forward_add(&ys, fused.then_some(xs), mode)?;
            if fused {
                return Ok(ys);
            }
        }
        if self.residual { xs.residual(&ys, self.stochastic_depth, mode) } else { Ok(ys) }
    }

    fn folded(&self) -> Result<Box<dyn Block>> {
        Ok(Box::new(Self {
            wide: self.wide.iter().map(ConvNorm::folded).collect::<Result<_>>()?,
            excitation: self.excitation.as_ref().map(Excitation::for_inference),
            narrow: self.narrow.as_ref().map(ConvNorm::folded).transpose()?,
            residual: self.residual,
            stochastic_depth: 0.0,
        }))
    }
}
