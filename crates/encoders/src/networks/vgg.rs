//! VGG: Simonyan and Zisserman 2014, "Very deep convolutional networks for large-scale image recognition".
//!
//! Five stages of 3×3 convolutions with ReLU, each closed by a 2×2 max-pool, then fc6, fc7 and fc8 with dropout after fc6 and
//! fc7; the `_bn` networks have batch norm after each convolution. Pre-logits are `classifier.1` (fc6) and `classifier.4` (fc7).
//! The paper's `conv5_3` is `features.29` of `vgg16`, `conv5_4` is `features.35` of `vgg19`.

use super::conv_fc::{ConvFc, FullyConnected, Layer};
use crate::architecture::Architecture;
use crate::blocks::ConvInitial;
use candlewick_parameters::Initial;

/// A column of the paper's table 1, without or with batch norm.
#[derive(Clone, Copy, Debug)]
struct Variant {
    name: &'static str,
    batch_norm: bool,
    /// The convolutions of each stage.
    depths: [usize; 5],
    /// The published ImageNet top-1, as a share of 1.
    top1: f32,
}

const A: [usize; 5] = [1, 1, 2, 2, 2];
const B: [usize; 5] = [2, 2, 2, 2, 2];
const D: [usize; 5] = [2, 2, 3, 3, 3];
const E: [usize; 5] = [2, 2, 4, 4, 4];

const TABLE: [Variant; 8] = [
    Variant { name: "vgg11", batch_norm: false, depths: A, top1: 0.69020 },
    Variant { name: "vgg11_bn", batch_norm: true, depths: A, top1: 0.70370 },
    Variant { name: "vgg13", batch_norm: false, depths: B, top1: 0.69928 },
    Variant { name: "vgg13_bn", batch_norm: true, depths: B, top1: 0.71586 },
    Variant { name: "vgg16", batch_norm: false, depths: D, top1: 0.71592 },
    Variant { name: "vgg16_bn", batch_norm: true, depths: D, top1: 0.73360 },
    Variant { name: "vgg19", batch_norm: false, depths: E, top1: 0.72376 },
    Variant { name: "vgg19_bn", batch_norm: true, depths: E, top1: 0.74218 },
];

/// The channels of each stage.
const CHANNELS: [usize; 5] = [64, 128, 256, 512, 512];

fn vgg(Variant { name, batch_norm, depths, top1 }: Variant) -> Architecture {
    let stage = |(channels, depth)| {
        let conv = Layer::Conv { channels, kernel_size: 3, stride: 1, padding: 1 };
        std::iter::repeat_n(conv, depth).chain([Layer::Pool(2)])
    };
    let vgg = ConvFc {
        name,
        layers: CHANNELS.into_iter().zip(depths).flat_map(stage).collect(),
        batch_norm,
        conv_initial: ConvInitial::KaimingFanOut,
        grid: 7,
        fully_connected: FullyConnected {
            names: &["classifier.0", "classifier.3", "classifier.6"],
            outputs: ["classifier.1", "classifier.4"],
            dropout: [false, true, true],
            initial: |_, _| (Initial::Normal(0.01), Initial::Constant(0.0)),
        },
    };
    vgg.architecture().with_published_top1(top1)
}

pub(crate) fn architectures() -> Vec<Architecture> {
    TABLE.map(vgg).into()
}
