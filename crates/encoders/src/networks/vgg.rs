//! VGG: Simonyan and Zisserman 2014, "Very deep convolutional networks for large-scale image recognition".
//!
//! Five stages of 3×3 convolutions with ReLU, each closed by a 2×2 max-pool, then fc6, fc7 and fc8 with dropout after fc6 and
//! fc7; the `_bn` networks have batch norm after each convolution. Pre-logits are `classifier.1` (fc6) and `classifier.4` (fc7).
//! The paper's `conv5_3` is `features.29` of `vgg16`, `conv5_4` is `features.35` of `vgg19`.

use super::conv_fc::{ConvFc, FullyConnected, Layer};
use crate::architecture::Architecture;
use crate::blocks::ConvInitial;
use candlewick_parameters::Initial;

/// Names without and with batch norm, convolutions of each stage: columns A, B, D and E of the paper's table 1.
const TABLE: [(&str, &str, [usize; 5]); 4] = [
    ("vgg11", "vgg11_bn", [1, 1, 2, 2, 2]),
    ("vgg13", "vgg13_bn", [2, 2, 2, 2, 2]),
    ("vgg16", "vgg16_bn", [2, 2, 3, 3, 3]),
    ("vgg19", "vgg19_bn", [2, 2, 4, 4, 4]),
];

/// The channels of each stage.
const CHANNELS: [usize; 5] = [64, 128, 256, 512, 512];

fn vgg(name: &'static str, depths: [usize; 5], batch_norm: bool) -> Architecture {
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
    vgg.architecture()
}

pub(crate) fn architectures() -> Vec<Architecture> {
    let pair = |(plain, with_norm, depths)| [vgg(plain, depths, false), vgg(with_norm, depths, true)];
    TABLE.into_iter().flat_map(pair).collect()
}
