//! ConvNeXt: Liu et al. 2022, "A ConvNet for the 2020s".
//!
//! A block computes y = x + γ ⊙ W₂ gelu(W₁ LN(d(x))), where d is a 7×7 convolution with one kernel a channel, LN the layer norm
//! of each position, W₁ and W₂ go to four times the channels and back, and γ begins near 0. Names are torchvision's, where
//! `features.0` cuts patches, 2, 4 and 6 halve the map, and the odd ones are the stages.

use crate::architecture::Architecture;
use crate::blocks::{
    Block, Conv2d, Conv2dConfig, ConvInitial, ConvNorm, FeatureMap, Head, LayerNorm, MlpConfig, NamedLayers, Network,
    Sequential,
};
use crate::config::NetworkConfig;
use crate::preprocessing::{Interpolation, Preprocessing};
use candle_core::{Result, Tensor};
use candlewick_kernels::activation::Activation;
use candlewick_parameters::{Initial, Mode, ParameterBuilder, VarBuilder};

/// A row of the paper's section 3.
#[derive(Clone, Copy, Debug)]
struct Variant {
    name: &'static str,
    /// The channels of each stage.
    channels: [usize; 4],
    /// The blocks of each stage.
    depths: [usize; 4],
    /// The probability that an image skips the last block in training.
    stochastic_depth: f64,
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

const fn variant(name: &'static str, first: usize, third: usize, stochastic_depth: f64, resize: usize) -> Variant {
    let channels = [first, 2 * first, 4 * first, 8 * first];
    Variant { name, channels, depths: [3, 3, third, 3], stochastic_depth, resize, top1: None }
}

const TABLE: [Variant; 4] = [
    variant("convnext_tiny", 96, 9, 0.1, 236).top1(0.82520),
    variant("convnext_small", 96, 27, 0.4, 230).top1(0.83616),
    variant("convnext_base", 128, 27, 0.5, 232).top1(0.84062),
    variant("convnext_large", 192, 27, 0.5, 232).top1(0.84414),
];

/// Added to the variance of a layer norm.
const EPS: f64 = 1e-6;

pub(crate) fn architectures() -> Vec<Architecture> {
    let row = |variant: Variant| {
        let stages = (0..8).map(|number| format!("features.{number}")).collect();
        let head = &["classifier.0", "classifier.2"];
        Architecture::new(variant.name, stages, head, move |config, vb| build(&variant, config, vb))
            .with_preprocessing(Preprocessing::imagenet_of(variant.resize, 224, Interpolation::Bilinear))
            .with_published_top1(variant.top1)
    };
    TABLE.map(row).into()
}

fn build(variant: &Variant, config: &NetworkConfig, vb: VarBuilder) -> Result<Network> {
    let most = config.stochastic_depth.unwrap_or(variant.stochastic_depth);
    let (mut layers, features) = (NamedLayers::default(), vb.pp("features"));
    let (mut inputs, mut number, last) = (3, 0, variant.depths.iter().sum::<usize>() - 1);
    for (index, (channels, depth)) in variant.channels.into_iter().zip(variant.depths).enumerate() {
        let (stride, vb, mut smaller) = (4 << index, features.pp(2 * index), Sequential::default());
        // Patches are cut before they are normalised, later maps normalised before they are halved.
        if index == 0 {
            smaller.push(patches(inputs, channels, 4, vb.pp(0))?);
            smaller.push(LayerNorm::new(channels, EPS, vb.pp(1))?);
        } else {
            smaller.push(LayerNorm::new(inputs, EPS, vb.pp(0))?);
            smaller.push(patches(inputs, channels, 2, vb.pp(1))?);
        }
        layers.push(format!("features.{}", 2 * index), channels, stride, smaller);
        let mut blocks = Sequential::default();
        for block in 0..depth {
            let vb = features.pp(2 * index + 1).pp(block);
            blocks.push(CnBlock::new(channels, most * number as f64 / last as f64, vb)?);
            number += 1;
        }
        layers.push(format!("features.{}", 2 * index + 1), channels, stride, blocks);
        inputs = channels;
    }
    let mlp = MlpConfig { norm: Some("classifier.0"), initial, ..MlpConfig::linear("classifier.2") };
    let head = Head::mlp(inputs, &mlp, config, vb)?;
    Ok(Network::new(variant.name, layers, head))
}

/// How fresh weights and biases of linear layers are drawn.
fn initial(_: usize, _: usize) -> (Initial, Initial) {
    (Initial::Normal(0.02), Initial::Constant(0.0))
}

/// A convolution whose windows lie side by side.
fn patches(inputs: usize, outputs: usize, side: usize, vb: VarBuilder) -> Result<ConvNorm> {
    Ok(ConvNorm::new(conv(Conv2dConfig::same(inputs, outputs, side).with_stride(side).with_padding(0), vb)?, None))
}

fn conv(config: Conv2dConfig, vb: VarBuilder) -> Result<Conv2d> {
    Conv2d::new(&config.with_bias().with_initial(ConvInitial::Normal(0.02)), vb)
}

/// What a block computes in four times the channels: gelu(W₁ LN(d(x))).
#[derive(Clone, Debug)]
struct Hidden {
    depthwise: ConvNorm,
    norm: LayerNorm,
    wider: ConvNorm,
}

impl Hidden {
    fn forward(&self, xs: &FeatureMap, mode: &mut Mode) -> Result<FeatureMap> {
        self.wider.forward(&self.norm.forward(&self.depthwise.forward(xs, mode)?)?, mode)
    }

    fn folded(&self) -> Result<Self> {
        let (depthwise, wider) = (self.depthwise.folded()?, self.wider.folded()?);
        Ok(Self { depthwise, norm: self.norm.detached(), wider })
    }
}

/// A residual block.
#[derive(Clone, Debug)]
struct CnBlock {
    hidden: Hidden,
    narrower: Conv2d,
    /// γ.
    scale: Tensor,
    stochastic_depth: f64,
}

impl CnBlock {
    fn new(channels: usize, stochastic_depth: f64, vb: VarBuilder) -> Result<Self> {
        let scale = vb.parameter((channels, 1, 1), "layer_scale", Initial::Constant(1e-6))?;
        let vb = vb.pp("block");
        let depthwise = conv(Conv2dConfig::same(channels, channels, 7).with_groups(channels), vb.pp(0))?;
        let norm = LayerNorm::new(channels, EPS, vb.pp(2))?;
        let wider = Conv2d::linear(channels, 4 * channels, initial, vb.pp(3))?;
        let wider = ConvNorm::new(wider, None).with_activation(Activation::Gelu);
        let hidden = Hidden { depthwise: ConvNorm::new(depthwise, None), norm, wider };
        let narrower = Conv2d::linear(4 * channels, channels, initial, vb.pp(5))?;
        Ok(Self { hidden, narrower, scale, stochastic_depth })
    }
}

impl Block for CnBlock {
    fn forward(&self, xs: &FeatureMap, mode: &mut Mode) -> Result<FeatureMap> {
        let ys = self.narrower.scaled(&self.scale)?.forward(&self.hidden.forward(xs, mode)?)?;
        xs.residual(&ys, self.stochastic_depth, mode)
    }

    fn folded(&self) -> Result<Box<dyn Block>> {
        let narrower = ConvNorm::new(self.narrower.scaled(&self.scale)?, None).folded()?;
        Ok(Box::new(Folded { hidden: self.hidden.folded()?, narrower }))
    }
}

/// A block for inference, γ within the last weights.
#[derive(Clone, Debug)]
struct Folded {
    hidden: Hidden,
    narrower: ConvNorm,
}

impl Block for Folded {
    fn forward(&self, xs: &FeatureMap, mode: &mut Mode) -> Result<FeatureMap> {
        self.narrower.forward_add(&self.hidden.forward(xs, mode)?, Some(xs), mode)
    }

    fn folded(&self) -> Result<Box<dyn Block>> {
        Ok(Box::new(self.clone()))
    }
}
