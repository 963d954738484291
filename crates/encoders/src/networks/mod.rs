//! The convolutional networks, one file a paper.
//!
//! The published top-1 in the rows is `acc@1` of torchvision's first weights, `IMAGENET1K_V1`, as its documentation tells it: single crop,
//! at the size of the row's preprocessing.

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

#[cfg(test)]
mod tests {
    use super::architectures;

    #[test]
    fn the_published_top_1_is_torchvisions() {
        let known: Vec<(&str, f32)> =
            architectures().filter_map(|row| Some((row.name(), row.published_top1()?))).collect();
        let without: Vec<&str> =
            architectures().filter(|row| row.published_top1().is_none()).map(|row| row.name()).collect();
        assert_eq!(without, ["fractalnet20", "fractalnet40", "convnet"]);
        assert!(known.iter().all(|(_, top1)| (0.56..0.86).contains(top1)), "{known:?}");
        for wanted in [("alexnet", 0.56522), ("vgg16_bn", 0.7336), ("resnet50", 0.7613), ("efficientnet_v2_l", 0.85808)]
        {
            assert!(known.contains(&wanted), "{wanted:?}");
        }
        // Deeper networks of a family are better, and batch norm helps.
        let of = |name: &str| known.iter().find(|(known, _)| *known == name).map(|(_, top1)| *top1);
        for (less, more) in [
            ("vgg11", "vgg19"),
            ("vgg19", "vgg19_bn"),
            ("resnet18", "resnet152"),
            ("densenet121", "densenet201"),
            ("squeezenet1_0", "squeezenet1_1"),
            ("convnext_tiny", "convnext_large"),
            ("efficientnet_b0", "efficientnet_b7"),
        ] {
            assert!(of(less) < of(more) && of(less).is_some(), "{less} {more}");
        }
    }
}
