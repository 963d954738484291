//! The convolutional networks, a file a paper.

use crate::architecture::Architecture;

mod alexnet;
mod conv_fc;
pub(crate) mod convnet;
mod convnext;
mod densenet;
mod efficientnet;
pub(crate) mod fractalnet;
mod googlenet;
mod resnet;
mod squeezenet;
mod vgg;

/// Every architecture of this folder, by family in the order of the papers.
pub(crate) fn rows() -> impl Iterator<Item = Architecture> {
    let families = [
        alexnet::rows(),
        vgg::rows(),
        googlenet::rows(),
        resnet::rows(),
        squeezenet::rows(),
        densenet::rows(),
        efficientnet::rows(),
        convnext::rows(),
        fractalnet::rows(),
        convnet::rows(),
    ];
    families.into_iter().flatten()
}
