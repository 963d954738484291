//! The convolutional networks, one file a paper.

use crate::architecture::Architecture;

mod alexnet;
mod conv_fc;
mod convnet;
mod convnext;
mod densenet;
mod efficientnet;
mod fractalnet;
mod googlenet;
mod resnet;
mod squeezenet;
mod vgg;

/// Every architecture of this folder, by family in the order of the papers.
pub(crate) fn architectures() -> impl Iterator<Item = Architecture> {
    let families = [
        alexnet::architectures(),
        vgg::architectures(),
        googlenet::architectures(),
        resnet::architectures(),
        squeezenet::architectures(),
        densenet::architectures(),
        efficientnet::architectures(),
        convnext::architectures(),
        fractalnet::architectures(),
        convnet::architectures(),
    ];
    families.into_iter().flatten()
}
