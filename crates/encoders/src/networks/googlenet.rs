//! GoogLeNet: Szegedy et al. 2014, "Going deeper with convolutions", with batch norm as torchvision has it.
//!
//! An inception module computes side by side a 1×1 convolution, a 3×3 behind a 1×1, another 3×3 behind a 1×1 (5×5 in the
//! paper; torchvision's weights have 3×3), and a 1×1 behind a max-pool. Two auxiliary heads, `aux1` on `inception4a` and `aux2`
//! on `inception4d`, help training; [`crate::Encoder::logits_with_auxiliary`] gives their logits. A fresh normal value is not truncated:
//! torchvision does so at 200 standard deviations.

use crate::architecture::Architecture;
use crate::blocks::{
    AuxiliaryHead, BatchNorm2d, BatchNormConfig, Block, Conv2d, Conv2dConfig, ConvInitial, ConvNorm, FeatureMap, Head,
    HiddenLayer, MlpConfig, MlpHead, NamedLayers, Network, Sequential, keep_as_buffers,
};
use crate::config::NetworkConfig;
use crate::preprocessing::Preprocessing;
use candle_core::Result;
use candlewick_kernels::pool::Pool2d;
use candlewick_parameters::{Initial, Mode, VarBuilder};

const NAME: &str = "googlenet";

/// A row of the paper's table 1, with torchvision's name.
#[derive(Clone, Copy, Debug)]
enum Layer {
    /// Channels, kernel and stride of a convolution.
    Conv(&'static str, usize, usize, usize),
    /// A max-pool of this side and stride 2, whose last window may reach over the edge.
    Pool(&'static str, usize),
    Inception(&'static str, InceptionChannels),
}

/// The channels of the 1×1; before and after the 3×3; before and after the "5×5"; after the pool.
type InceptionChannels = [usize; 6];

const TABLE: [Layer; 16] = [
    Layer::Conv("conv1", 64, 7, 2),
    Layer::Pool("maxpool1", 3),
    Layer::Conv("conv2", 64, 1, 1),
    Layer::Conv("conv3", 192, 3, 1),
    Layer::Pool("maxpool2", 3),
    Layer::Inception("inception3a", [64, 96, 128, 16, 32, 32]),
    Layer::Inception("inception3b", [128, 128, 192, 32, 96, 64]),
    Layer::Pool("maxpool3", 3),
    Layer::Inception("inception4a", [192, 96, 208, 16, 48, 64]),
    Layer::Inception("inception4b", [160, 112, 224, 24, 64, 64]),
    Layer::Inception("inception4c", [128, 128, 256, 24, 64, 64]),
    Layer::Inception("inception4d", [112, 144, 288, 32, 64, 64]),
    Layer::Inception("inception4e", [256, 160, 320, 32, 128, 128]),
    Layer::Pool("maxpool4", 2),
    Layer::Inception("inception5a", [256, 160, 320, 32, 128, 128]),
    Layer::Inception("inception5b", [384, 192, 384, 48, 128, 128]),
];

/// The auxiliary heads, and the layers that they read with their channels.
const AUXILIARY: [(&str, &str, usize); 2] = [("aux1", "inception4a", 512), ("aux2", "inception4d", 528)];

/// What a file holds of an auxiliary head.
const AUXILIARY_PARAMETERS: [&str; 9] = [
    "conv.conv.weight",
    "conv.bn.weight",
    "conv.bn.bias",
    "conv.bn.running_mean",
    "conv.bn.running_var",
    "fc1.weight",
    "fc1.bias",
    "fc2.weight",
    "fc2.bias",
];

pub(crate) fn architectures() -> Vec<Architecture> {
    let stage = |layer: &Layer| match layer {
        Layer::Conv(name, ..) | Layer::Inception(name, _) => Some(name.to_string()),
        Layer::Pool(..) => None,
    };
    let row = Architecture::new(NAME, TABLE.iter().filter_map(stage).collect(), &["aux1", "aux2", "fc"], build);
    // torchvision's weights came from TensorFlow, where images have values from −1 to 1.
    let preprocessing = Preprocessing { mean: [0.5; 3], std: [0.5; 3], ..Preprocessing::imagenet() };
    let row = row.with_auxiliary(&["aux1", "aux2"], &["aux1.fc2", "aux2.fc2"]);
    vec![row.with_preprocessing(preprocessing).with_published_top1(0.69778)]
}

fn build(config: &NetworkConfig, vb: VarBuilder) -> Result<Network> {
    let mut layers = NamedLayers::default();
    let (mut channels, mut total) = (3, 1);
    for layer in TABLE {
        match layer {
            Layer::Conv(name, outputs, kernel, stride) => {
                let mut blocks = Sequential::default();
                if channels == 3 && config.transform_input {
                    blocks.push(TransformInput);
                }
                let conv = Conv2dConfig::same(channels, outputs, kernel).with_stride(stride);
                blocks.push(conv_norm(conv, vb.pp(name))?);
                (channels, total) = (outputs, total * stride);
                layers.push(name, channels, total, blocks);
            }
            Layer::Pool(name, side) => {
                total *= 2;
                layers.push(name, channels, total, Pool2d { ceil_mode: true, ..Pool2d::new((side, side), (2, 2)) });
            }
            Layer::Inception(name, branches) => {
                let module = Inception::new(channels, branches, vb.pp(name))?;
                let [one, _, three, _, five, pooled] = branches;
                channels = one + three + five + pooled;
                layers.push(name, channels, total, module);
            }
        }
    }
    let auxiliary = auxiliary(&layers, config, &vb)?;
    let fc = MlpConfig { dropout: config.dropout.unwrap_or(0.2), initial, ..MlpConfig::linear("fc") };
    let head = Head::mlp(channels, &fc, config, vb)?;
    Ok(Network::new(NAME, layers, head).with_auxiliary(auxiliary))
}

/// The auxiliary heads that are wanted; of those that are not, what the file holds stays in the store.
fn auxiliary(layers: &NamedLayers, config: &NetworkConfig, vb: &VarBuilder) -> Result<Vec<AuxiliaryHead>> {
    let mut heads = Vec::new();
    for (name, layer, channels) in AUXILIARY {
        let vb = vb.pp(name);
        if config.classes.is_none() || !config.auxiliary {
            if AUXILIARY_PARAMETERS.iter().all(|parameter| vb.contains_tensor(parameter)) {
                keep_as_buffers(&vb, &AUXILIARY_PARAMETERS)?;
            }
            continue;
        }
        let conv = conv_norm(Conv2dConfig::same(channels, 128, 1), vb.pp("conv"))?;
        let hidden = [HiddenLayer { name: "fc1", output: "fc1", size: 1024, dropout: 0.0 }];
        let dropout = config.auxiliary_dropout;
        let mlp = MlpConfig { grid: 4, hidden: &hidden, dropout, initial, ..MlpConfig::linear("fc2") };
        let head = MlpHead::new(128, &mlp, config, vb)?.map(|head| head.after_conv(conv));
        heads.extend(layers.number(layer).zip(head).map(|(layer, head)| AuxiliaryHead { layer, head }));
    }
    Ok(heads)
}

fn initial(inputs: usize, _: usize) -> (Initial, Initial) {
    (Initial::Normal(0.01), Initial::fan_in(inputs))
}

/// A convolution, `conv`, with batch norm, `bn`, and ReLU.
fn conv_norm(config: Conv2dConfig, vb: VarBuilder) -> Result<ConvNorm> {
    let conv = Conv2d::new(&config.with_initial(ConvInitial::Normal(0.01)), vb.pp("conv"))?;
    let norm = BatchNormConfig { eps: 1e-3, ..Default::default() };
    let norm = BatchNorm2d::new(config.out_channels, &norm, vb.pp("bn"))?;
    Ok(ConvNorm::new(conv, Some(norm)).with_relu())
}

/// From images normalised as for ImageNet to values from −1 to 1, as torchvision's weights were trained on.
#[derive(Debug)]
struct TransformInput;

impl Block for TransformInput {
    fn forward(&self, xs: &FeatureMap, _: &mut Mode) -> Result<FeatureMap> {
        let (mean, std) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
        xs.affine(&std.map(|std| std / 0.5), &mean.map(|mean| (mean - 0.5) / 0.5))
    }

    fn folded(&self) -> Result<Box<dyn Block>> {
        Ok(Box::new(Self))
    }
}

/// Four branches side by side.
#[derive(Debug)]
struct Inception {
    branches: [Vec<ConvNorm>; 4],
}

impl Inception {
    fn new(inputs: usize, channels: InceptionChannels, vb: VarBuilder) -> Result<Self> {
        let [one, before_three, three, before_five, five, pooled] = channels;
        let conv = |inputs, outputs, kernel, vb| conv_norm(Conv2dConfig::same(inputs, outputs, kernel), vb);
        let behind_1x1 = |name: &str, reduced, outputs| {
            let vb = vb.pp(name);
            Ok::<_, candle_core::Error>(vec![conv(inputs, reduced, 1, vb.pp(0))?, conv(reduced, outputs, 3, vb.pp(1))?])
        };
        let branches = [
            vec![conv(inputs, one, 1, vb.pp("branch1"))?],
            behind_1x1("branch2", before_three, three)?,
            behind_1x1("branch3", before_five, five)?,
            vec![conv(inputs, pooled, 1, vb.pp("branch4").pp(1))?],
        ];
        Ok(Self { branches })
    }
}

impl Block for Inception {
    fn forward(&self, xs: &FeatureMap, mode: &mut Mode) -> Result<FeatureMap> {
        let pooled = xs.max_pool(&Pool2d { padding: (1, 1), ceil_mode: true, ..Pool2d::new((3, 3), (1, 1)) })?;
        let mut maps = Vec::with_capacity(4);
        for (branch, xs) in self.branches.iter().zip([xs, xs, xs, &pooled]) {
            maps.push(branch.iter().try_fold(xs.clone(), |xs, layer| layer.forward(&xs, mode))?);
        }
        FeatureMap::concat(&maps)
    }

    fn folded(&self) -> Result<Box<dyn Block>> {
        let folded = |branch: &Vec<ConvNorm>| branch.iter().map(ConvNorm::folded).collect::<Result<Vec<_>>>();
        let [a, b, c, d] = &self.branches;
        Ok(Box::new(Self { branches: [folded(a)?, folded(b)?, folded(c)?, folded(d)?] }))
    }
}
