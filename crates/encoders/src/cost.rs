//! What a picture costs a network, counted while it looks at one.

use crate::encoder::Encoder;
use candle_core::{DType, Device, Result, Tensor};
use candlewick_kernels::thread_pool;
use candlewick_parameters::Mode;
use std::cell::Cell;

/// What one picture costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Multiplications with an addition, in convolutions, fully connected layers and attention's products.
    pub multiply_adds: u64,
    /// The numbers that these put out: what training keeps for going back (Radosavovic et
    /// al. 2020, "Designing network design spaces").
    pub activations: u64,
}

thread_local! {
    /// What was counted so far, where something is to be counted.
    static COUNTED: Cell<Option<Cost>> = const { Cell::new(None) };
}

/// Counts a layer that puts out so many numbers, each a sum of so many products.
pub(crate) fn count(outputs: usize, terms: usize) {
    COUNTED.with(|counted| {
        if let Some(cost) = counted.get() {
            let multiply_adds = cost.multiply_adds + (outputs * terms) as u64;
            counted.set(Some(Cost { multiply_adds, activations: cost.activations + outputs as u64 }));
        }
    });
}

/// A network's pass: on rayon's threads where the device is the CPU. What it costs is counted where this thread counts, and what
/// else runs there meanwhile is not.
pub(crate) fn pass<R: Send>(device: &Device, work: impl FnOnce() -> R + Send) -> R {
    let counted = COUNTED.take();
    let (result, counted) = thread_pool::install(device, || {
        let outer = COUNTED.replace(counted);
        (work(), COUNTED.replace(outer))
    });
    COUNTED.set(counted);
    result
}

/// Ends the counting even where a layer fails.
struct Counting;

impl Drop for Counting {
    fn drop(&mut self) {
        COUNTED.set(None);
    }
}

/// What one picture of height × width pixels costs, head included where there is one; auxiliary heads are not.
///
/// The network must be as it was built, not as [`Encoder::for_inference`] gives it.
///
/// # Errors
/// When the picture is too small for the network.
pub fn cost(encoder: &dyn Encoder, (height, width): (usize, usize), device: &Device) -> Result<Cost> {
    let images = Tensor::zeros((1, 3, height, width), DType::F32, device)?;
    COUNTED.set(Some(Cost::default()));
    let counting = Counting;
    match encoder.classes() {
        Some(_) => encoder.logits(&images, &mut Mode::Eval)?,
        None => encoder.map(&images, &mut Mode::Eval)?,
    };
    let found = COUNTED.get().unwrap_or_default();
    drop(counting);
    Ok(found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{NetworkConfig, network};
    use candlewick_parameters::Parameters;

    fn millions(name: &str) -> (f64, f64, f64) {
        let config = NetworkConfig { classes: Some(1000), auxiliary: false, ..Default::default() };
        let parameters = Parameters::new(1);
        let network = network(name, &config, parameters.builder(&Device::Cpu)).unwrap();
        let cost = cost(network.as_ref(), (224, 224), &Device::Cpu).unwrap();
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
        let alexnet = network("alexnet", &config, parameters.builder(&Device::Cpu)).unwrap();
        assert!(cost(alexnet.as_ref(), (8, 8), &Device::Cpu).is_err());
        assert_eq!(COUNTED.get(), None);
    }
}
