//! AlexNet: Krizhevsky et al. 2012, "ImageNet classification with deep convolutional neural networks".
//!
//! Five convolutions with ReLU and three max-pools, then fc6, fc7 and fc8 with dropout before fc6 and fc7. As in torchvision
//! it has the widths of Krizhevsky 2014, "One weird trick for parallelizing convolutional neural networks": one column, no
//! groups, no local response normalisation. Layers are `features.1` to `features.12`, pre-logits `classifier.2` (fc6) and
//! `classifier.5` (fc7).

use super::conv_fc::{ConvFc, FullyConnected, Layer};
use crate::architecture::Architecture;
use crate::blocks::{ConvInitial, pytorch_linear_init};

/// Channels, kernel, stride and padding of a convolution.
const fn conv(channels: usize, kernel_size: usize, stride: usize, padding: usize) -> Layer {
    Layer::Conv { channels, kernel_size, stride, padding }
}

const LAYERS: [Layer; 8] = [
    conv(64, 11, 4, 2),
    Layer::Pool(3),
    conv(192, 5, 1, 2),
    Layer::Pool(3),
    conv(384, 3, 1, 1),
    conv(256, 3, 1, 1),
    conv(256, 3, 1, 1),
    Layer::Pool(3),
];

pub(crate) fn architectures() -> Vec<Architecture> {
    let alexnet = ConvFc {
        name: "alexnet",
        layers: LAYERS.to_vec(),
        batch_norm: false,
        conv_initial: ConvInitial::FanIn,
        grid: 6,
        fully_connected: FullyConnected {
            names: &["classifier.1", "classifier.4", "classifier.6"],
            outputs: ["classifier.2", "classifier.5"],
            dropout: [true, true, false],
            initial: pytorch_linear_init,
        },
    };
    vec![alexnet.architecture().with_published_top1(0.56522)]
}
