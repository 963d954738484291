//! What one image costs a network: multiply-adds and activations.

use crate::counter::{COUNTED, Cost};
use crate::encoder::Encoder;
use candle_core::{DType, Device, Result, Tensor};
use candlewick_parameters::Mode;

/// What one image of height × width pixels costs, with the head where there is one and without auxiliary heads.
///
/// The network must be as it was built, not as [`Encoder::for_inference`] gives it.
///
/// # Errors
/// When the image is too small for the network.
pub fn cost(encoder: &dyn Encoder, height: usize, width: usize, device: &Device) -> Result<Cost> {
    let images = Tensor::zeros((1, 3, height, width), DType::F32, device)?;
    COUNTED.set(Some(Cost::default()));
    let output = match encoder.classes() {
        Some(_) => encoder.logits(&images, &mut Mode::Eval),
        None => encoder.map(&images, &mut Mode::Eval),
    };
    let cost = COUNTED.take().unwrap_or_default();
    output.map(|_| cost)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{Architecture, NetworkConfig};
    use candlewick_parameters::Parameters;

    fn millions(name: &str) -> (f64, f64, f64) {
        let config = NetworkConfig { classes: Some(1000), auxiliary: false, ..Default::default() };
        let parameters = Parameters::new(1);
        let network = Architecture::find(name).unwrap().build(&config, parameters.builder(&Device::Cpu)).unwrap();
        let cost = cost(network.as_ref(), 224, 224, &Device::Cpu).unwrap();
        let weights: usize = parameters.trainable().iter().map(|(_, var)| var.elem_count()).sum();
        (weights as f64 / 1e6, cost.multiply_adds as f64 / 1e6, cost.activations as f64 / 1e6)
    }

    #[test]
    fn costs_are_those_that_are_published() {
        // Parameters and multiply-adds as torchvision states them, in millions; activations as Radosavovic et al. have ResNet-50's.
        for (name, parameters, multiply_adds) in [
            ("alexnet", 61.10, 714.0),
            ("resnet18", 11.69, 1814.0),
            ("squeezenet1_1", 1.24, 349.0),
            ("convnext_tiny", 28.59, 4456.0),
            ("efficientnet_b0", 5.29, 386.0),
        ] {
            let found = millions(name);
            assert!((found.0 - parameters).abs() < 0.01, "{name}: {found:?}");
            assert!((found.1 - multiply_adds).abs() < 1.0, "{name}: {found:?}");
        }
        let (_, multiply_adds, activations) = millions("resnet50");
        assert!(
            (multiply_adds - 4089.0).abs() < 1.0 && (activations - 11.1).abs() < 0.1,
            "{multiply_adds} {activations}"
        );
    }

    #[test]
    fn nothing_is_counted_after_a_fault() {
        let config = NetworkConfig { classes: Some(10), ..Default::default() };
        let parameters = Parameters::new(1);
        let alexnet = Architecture::find("alexnet").unwrap().build(&config, parameters.builder(&Device::Cpu)).unwrap();
        assert!(cost(alexnet.as_ref(), 8, 8, &Device::Cpu).is_err());
        assert_eq!(COUNTED.get(), None);
    }
}
