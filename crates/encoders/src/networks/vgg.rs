//! VGG: Simonyan and Zisserman 2014, "Very deep convolutional networks for large-scale image recognition".
//!
//! Five stages of 3×3 convolutions with ReLU, each closed by a 2×2 max-pool, then fc6, fc7 and fc8 with dropout after fc6 and
//! fc7; the `_bn` networks have batch norm after each convolution. Vectors are `classifier.1` (fc6) and `classifier.4` (fc7).
//! The paper's `conv5_3` is `features.29` of `vgg16`, `conv5_4` is `features.35` of `vgg19`.

use super::conv_fc::{ConvFc, Layer};
use crate::architecture::Architecture;
use crate::blocks::layers::ConvInitial;
use candlewick_parameters::Initial;

/// Names, without and with batch norm, and the number of convolutions of each stage: columns A, B, D and E of the paper's
/// table 1.
const TABLE: [([&str; 2], [usize; 5]); 4] = [
    (["vgg11", "vgg11_bn"], [1, 1, 2, 2, 2]),
    (["vgg13", "vgg13_bn"], [2, 2, 2, 2, 2]),
    (["vgg16", "vgg16_bn"], [2, 2, 3, 3, 3]),
    (["vgg19", "vgg19_bn"], [2, 2, 4, 4, 4]),
];

/// The channels of each stage.
const CHANNELS: [usize; 5] = [64, 128, 256, 512, 512];

fn plan(name: &'static str, depths: [usize; 5], batch_norm: bool) -> ConvFc {
    let stage = |(channels, depth)| {
        let conv = Layer::Conv { channels, kernel_size: 3, stride: 1, padding: 1 };
        std::iter::repeat_n(conv, depth).chain([Layer::Pool(2)])
    };
    ConvFc {
        name,
        layers: CHANNELS.into_iter().zip(depths).flat_map(stage).collect(),
        batch_norm,
        initial: ConvInitial::KaimingFanOut,
        grid: 7,
        vectors: ["classifier.1", "classifier.4"],
        dropped: [false, true, true],
        linear_initial: |_, _| (Initial::Normal(0.01), Initial::Constant(0.0)),
        head: &["classifier.0", "classifier.3", "classifier.6"],
    }
}

pub(crate) fn architectures() -> Vec<Architecture> {
    let pairs = TABLE.into_iter().flat_map(|(names, depths)| [(names[0], depths, false), (names[1], depths, true)]);
    pairs.map(|(name, depths, batch_norm)| plan(name, depths, batch_norm).row()).collect()
}
