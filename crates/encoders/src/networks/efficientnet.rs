//! EfficientNet: Tan and Le 2019, "EfficientNet: rethinking model scaling for convolutional neural networks", and version 2 (Tan
//! and Le 2021, "EfficientNetV2: smaller models and faster training").
//!
//! An inverted residual block widens the channels with a 1×1 convolution, has one kernel a channel, weighs the channels by
//! squeeze-and-excitation and narrows them again; a fused one does the first two in one k×k convolution and weighs nothing.
//! Batch norm follows each convolution, SiLU each but the last. B1 to B7 are B0 wider and deeper. Names are torchvision's.

use crate::architecture::Architecture;
use crate::blocks::feature_map::FeatureMap;
use crate::blocks::head::Head;
use crate::blocks::layers::{BatchNorm2d, BatchNormConfig, Conv2d, Conv2dConfig, ConvInitial, ConvNorm};
use crate::blocks::network::{Block, NamedLayers, Network, Sequential};
use crate::config::NetworkConfig;
use crate::counter;
use crate::preprocessing::{Interpolation, Preprocessing};
use candle_core::{Result, Tensor};
use candlewick_kernels::activation::{Activation, sigmoid, silu};
use candlewick_kernels::linear::linear;
use candlewick_parameters::{Initial, Mode, ParameterBuilder, VarBuilder};

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
}

/// The next multiple of eight, never below nine tenths of the number.
fn multiple_of_eight(channels: f64) -> usize {
    let rounded = ((channels + 4.0) as usize / 8 * 8).max(8);
    if (rounded as f64) < 0.9 * channels { rounded + 8 } else { rounded }
}

/// B0 wider and deeper by these factors, for pictures of so many pixels.
fn scaled(
    name: &'static str,
    (width, depth): (f64, f64),
    dropout: f64,
    (resize, crop): (usize, usize),
    norm: BatchNormConfig,
) -> Variant {
    let wider = |channels: usize| multiple_of_eight(channels as f64 * width);
    let larger = |stage: &Stage| Stage {
        channels: wider(stage.channels),
        depth: (stage.depth as f64 * depth).ceil() as usize,
        ..*stage
    };
    let stages: Vec<Stage> = B0.iter().map(larger).collect();
    let preprocessing = Preprocessing::imagenet_of(resize, crop, Interpolation::Bicubic);
    Variant { name, first: wider(32), last: 4 * wider(320), stages, norm, dropout, preprocessing }
}

fn version_2(name: &'static str, stages: &[Stage], dropout: f64, preprocessing: Preprocessing) -> Variant {
    let norm = BatchNormConfig { eps: 1e-3, ..Default::default() };
    let first = stages.first().map_or(24, |stage| stage.channels);
    Variant { name, first, stages: stages.to_vec(), last: 1280, norm, dropout, preprocessing }
}

fn table() -> Vec<Variant> {
    let usual = BatchNormConfig::default();
    let slow = BatchNormConfig { eps: 1e-3, momentum: 0.01, ..Default::default() };
    let bilinear = |side| Preprocessing::imagenet_of(side, side, Interpolation::Bilinear);
    let large =
        Preprocessing { mean: [0.5; 3], std: [0.5; 3], ..Preprocessing::imagenet_of(480, 480, Interpolation::Bicubic) };
    vec![
        scaled("efficientnet_b0", (1.0, 1.0), 0.2, (256, 224), usual.clone()),
        scaled("efficientnet_b1", (1.0, 1.1), 0.2, (256, 240), usual.clone()),
        scaled("efficientnet_b2", (1.1, 1.2), 0.3, (288, 288), usual.clone()),
        scaled("efficientnet_b3", (1.2, 1.4), 0.3, (320, 300), usual.clone()),
        scaled("efficientnet_b4", (1.4, 1.8), 0.4, (384, 380), usual),
        scaled("efficientnet_b5", (1.6, 2.2), 0.4, (456, 456), slow.clone()),
        scaled("efficientnet_b6", (1.8, 2.6), 0.5, (528, 528), slow.clone()),
        scaled("efficientnet_b7", (2.0, 3.1), 0.5, (600, 600), slow),
        version_2("efficientnet_v2_s", V2_S, 0.2, bilinear(384)),
        version_2("efficientnet_v2_m", V2_M, 0.3, bilinear(480)),
        version_2("efficientnet_v2_l", V2_L, 0.4, large),
    ]
}

pub(crate) fn architectures() -> Vec<Architecture> {
    let row = |variant: Variant| {
        let stages = (0..variant.stages.len() + 2).map(|number| format!("features.{number}")).collect();
        let preprocessing = variant.preprocessing.clone();
        Architecture::new(variant.name, stages, &["classifier.1"], move |config, vb| build(&variant, config, vb))
            .with_preprocessing(preprocessing)
    };
    table().into_iter().map(row).collect()
}

fn build(variant: &Variant, config: &NetworkConfig, vb: VarBuilder) -> Result<Network> {
    let most = config.stochastic_depth.unwrap_or(0.2);
    let (mut layers, features) = (NamedLayers::default(), vb.pp("features"));
    let unit = |channels, shape, vb: VarBuilder| conv_norm_silu(channels, shape, &variant.norm, vb);
    layers.push("features.0", variant.first, 2, unit((3, variant.first), (3, 2, 1), features.pp(0))?);
    let (mut inputs, mut stride, mut number) = (variant.first, 2, 0);
    let total: usize = variant.stages.iter().map(|stage| stage.depth).sum();
    for (index, stage) in variant.stages.iter().enumerate() {
        let mut blocks = Sequential::default();
        for block in 0..stage.depth {
            let stage = Stage { stride: if block == 0 { stage.stride } else { 1 }, ..*stage };
            let depth = most * number as f64 / total as f64;
            blocks.push(MbConv::new(
                &stage,
                inputs,
                depth,
                &variant.norm,
                features.pp(index + 1).pp(block).pp("block"),
            )?);
            (inputs, number) = (stage.channels, number + 1);
        }
        stride *= stage.stride;
        layers.push(format!("features.{}", index + 1), inputs, stride, blocks);
    }
    let last = variant.stages.len() + 1;
    layers.push(
        format!("features.{last}"),
        variant.last,
        stride,
        unit((inputs, variant.last), (1, 1, 1), features.pp(last))?,
    );
    let initial = |_, outputs| (Initial::fan_in(outputs), Initial::Constant(0.0));
    let dropout = config.dropout.unwrap_or(variant.dropout);
    Ok(Network::new(variant.name, layers, Head::linear(variant.last, ("classifier.1", dropout), initial, config, vb)?))
}

/// A convolution (from, to) of (kernel, stride, groups) that keeps the size but for its stride, and its batch norm.
fn conv_norm(
    (inputs, outputs): (usize, usize),
    (kernel, stride, groups): (usize, usize, usize),
    norm: &BatchNormConfig,
    vb: VarBuilder,
) -> Result<ConvNorm> {
    let initial = ConvInitial::KaimingFanOut;
    let layer = Conv2dConfig { stride, padding: kernel / 2, groups, initial, ..Conv2dConfig::new(kernel) };
    let conv = Conv2d::new(inputs, outputs, &layer, vb.pp(0))?;
    Ok(ConvNorm::new(conv, Some(BatchNorm2d::new(outputs, norm, vb.pp(1))?), false))
}

/// The same and then SiLU.
fn conv_norm_silu(
    channels: (usize, usize),
    shape: (usize, usize, usize),
    norm: &BatchNormConfig,
    vb: VarBuilder,
) -> Result<ConvNorm> {
    Ok(conv_norm(channels, shape, norm, vb)?.then(Activation::Silu))
}

/// Squeeze-and-excitation: x ⊙ σ(W₂ silu(W₁ mean(x) + b₁) + b₂), one number a channel (Hu et al. 2018).
#[derive(Clone, Debug)]
struct Excitation {
    /// Weights (O, C) and biases (O) of both layers.
    layers: [(Tensor, Tensor); 2],
}

impl Excitation {
    fn new(channels: usize, squeezed: usize, vb: VarBuilder) -> Result<Self> {
        let layer = |inputs: usize, outputs: usize, vb: VarBuilder| {
            let weight = vb.parameter((outputs, inputs, 1, 1), "weight", Initial::kaiming_fan_out(outputs))?;
            Ok::<_, candle_core::Error>((
                weight.flatten_from(1)?,
                vb.parameter(outputs, "bias", Initial::Constant(0.0))?,
            ))
        };
        let layers = [layer(channels, squeezed, vb.pp("fc1"))?, layer(squeezed, channels, vb.pp("fc2"))?];
        Ok(Self { layers })
    }

    fn forward(&self, xs: &FeatureMap) -> Result<FeatureMap> {
        let run = |xs: &Tensor, (weight, bias): &(Tensor, Tensor)| {
            let ys = linear(xs, weight, Some(bias))?;
            counter::count(ys.elem_count(), weight.dims()[1]);
            Ok::<_, candle_core::Error>(ys)
        };
        let squeezed = silu(&run(&xs.mean()?, &self.layers[0])?)?;
        xs.scale_channels(&sigmoid(&run(&squeezed, &self.layers[1])?)?)
    }

    fn detached(&self) -> Self {
        Self { layers: self.layers.clone().map(|(weight, bias)| (weight.detach(), bias.detach())) }
    }
}

/// An inverted residual block.
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
    fn new(
        stage: &Stage,
        inputs: usize,
        stochastic_depth: f64,
        norm: &BatchNormConfig,
        vb: VarBuilder,
    ) -> Result<Self> {
        let Stage { fused, expansion, kernel, stride, channels, .. } = *stage;
        let width = multiple_of_eight((inputs * expansion) as f64);
        let (mut wide, mut number) = (Vec::new(), 0);
        let mut next = || {
            number += 1;
            vb.pp(number - 1)
        };
        let outputs = if fused && width == inputs { channels } else { width };
        if fused {
            wide.push(conv_norm_silu((inputs, outputs), (kernel, stride, 1), norm, next())?);
        } else {
            if width != inputs {
                wide.push(conv_norm_silu((inputs, width), (1, 1, 1), norm, next())?);
            }
            wide.push(conv_norm_silu((width, width), (kernel, stride, width), norm, next())?);
        }
        let excitation = (!fused).then(|| Excitation::new(width, (inputs / 4).max(1), next())).transpose()?;
        let narrow =
            (!fused || width != inputs).then(|| conv_norm((width, channels), (1, 1, 1), norm, next())).transpose()?;
        Ok(Self { wide, excitation, narrow, residual: stride == 1 && inputs == channels, stochastic_depth })
    }
}

impl Block for MbConv {
    fn forward(&self, xs: &FeatureMap, mode: &mut Mode) -> Result<FeatureMap> {
        let mut ys = xs.clone();
        for conv in &self.wide {
            ys = conv.forward(&ys, mode)?;
        }
        if let Some(excitation) = &self.excitation {
            ys = excitation.forward(&ys)?;
        }
        // Where no picture may pass the block by, the sum is formed with the last convolution.
        let together = self.residual && (self.stochastic_depth == 0.0 || !mode.is_training());
        if let Some(narrow) = &self.narrow {
            ys = narrow.forward_add(&ys, together.then_some(xs), mode)?;
            if together {
                return Ok(ys);
            }
        }
        if self.residual { xs.residual(&ys, self.stochastic_depth, mode) } else { Ok(ys) }
    }

    fn folded(&self) -> Result<Box<dyn Block>> {
        Ok(Box::new(Self {
            wide: self.wide.iter().map(ConvNorm::folded).collect::<Result<_>>()?,
            excitation: self.excitation.as_ref().map(Excitation::detached),
            narrow: self.narrow.as_ref().map(ConvNorm::folded).transpose()?,
            residual: self.residual,
            stochastic_depth: 0.0,
        }))
    }
}
