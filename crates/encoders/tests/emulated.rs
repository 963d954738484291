//! Whole networks on an emulated CUDA device, as they run on a GPU: values and gradients are the CPU's.
#![allow(clippy::unwrap_used)]

use candle_core::{Device, Tensor};
use candlewick_encoders::NetworkConfig;
use candlewick_kernels::emulated;
use candlewick_kernels::node::backward;
use candlewick_parameters::{Mode, Parameters, Rng};
use candlewick_testing::flat;
use networks_by_name::network;

mod networks_by_name;

/// Logits, and the gradients of all parameters, of a batch in training.
fn outcome(name: &str, side: usize) -> Vec<(String, Tensor)> {
    let parameters = Parameters::new(3);
    let config = NetworkConfig { classes: Some(7), ..NetworkConfig::default() };
    let net = network(name, &config, parameters.builder(&Device::Cpu)).unwrap();
    let images = Rng::derive(1, "images", 0).normal_tensor(0.0, 1.0, (3, 3, side, side), &Device::Cpu).unwrap();
    // Dropout is the same on both, as its bits are drawn on the host.
    let logits = net.logits(&images, &mut Mode::Train(&mut Rng::derive(1, "train", 0))).unwrap();
    let weights = Rng::derive(1, "weights", 0).normal_tensor(0.0, 1.0, logits.shape(), &Device::Cpu).unwrap();
    let store = backward(&(&logits * weights).unwrap().sum_all().unwrap()).unwrap();
    let gradients = parameters.trainable().into_iter().map(|(name, var)| (name, store.get(&var).unwrap().clone()));
    [("logits".to_owned(), logits)].into_iter().chain(gradients).collect()
}

#[test]
fn networks_on_cuda_are_those_of_the_cpu() {
    // EfficientNet has biases behind which a norm takes the mean away: their gradients are rounding and nothing else.
    let cases =
        [("resnet18", 96, 1e-3), ("squeezenet1_1", 64, 1e-3), ("alexnet", 64, 1e-3), ("efficientnet_b0", 64, 0.2f32)];
    for (seed, (name, side, least)) in cases.into_iter().enumerate() {
        let wanted = outcome(name, side);
        let Some(found) = emulated(seed as u64, || outcome(name, side)).unwrap() else { return };
        for ((of, found), (_, wanted)) in found.iter().zip(&wanted) {
            let (found, wanted) = (flat(found), flat(wanted));
            let largest = wanted.iter().fold(least, |largest, value| largest.max(value.abs()));
            for (f, w) in found.iter().zip(&wanted) {
                assert!((f - w).abs() <= 1e-3 * largest, "{name}, {of}: {f} instead of {w}, largest {largest}");
            }
        }
    }
}
