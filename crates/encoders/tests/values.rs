//! Layers, logits, gradients and recorded statistics against torchvision's in float64, on hashed weights and inputs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod hashed;

use candle_core::{Device, Tensor};
use candlewick_encoders::{NetworkConfig, network};
use candlewick_parameters::{Mode, Rng, SafetensorsFile};
use hashed::{Hashed, assert_close, digest, fixture, hashed};

fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// Compares everything that the fixture holds about a network; `tolerance` is that of gradients.
fn compare(name: &str, height: usize, width: usize, tolerance: f32) {
    let file = SafetensorsFile::open(fixture("values.safetensors")).unwrap();
    let wanted = |key: &str| flat(&file.tensor(&format!("{name}.{key}"), &Device::Cpu).unwrap());
    let weights = Hashed::default();
    let config = NetworkConfig { classes: Some(10), dropout: 0.0, ..Default::default() };
    let net = network(name, &config, weights.builder()).unwrap();
    let (images, prefix) = (hashed::images(height, width), format!("{name}."));
    let keys = || file.names().filter_map(|key| key.strip_prefix(&prefix));

    let mut layers = 0;
    for layer in keys().filter_map(|key| key.strip_prefix("layer.")) {
        let map = net.layer(layer, &images, &mut Mode::Eval).unwrap();
        assert_close(layer, &digest(&map), &wanted(&format!("layer.{layer}")), 1e-5);
        let info = net.layers().iter().find(|info| info.name == layer).unwrap();
        assert_eq!(map.dim(1).unwrap(), info.channels);
        layers += 1;
    }
    assert!(layers > 0);
    let logits = net.logits(&images, &mut Mode::Eval).unwrap();
    assert_close("logits", &flat(&logits), &wanted("logits"), 1e-5);
    let folded = net.for_inference().unwrap();
    let inferred = folded.logits(&images, &mut Mode::Eval).unwrap();
    assert!(!inferred.track_op() && logits.track_op());
    assert_close("logits for inference", &flat(&inferred), &wanted("logits"), 1e-5);

    if keys().any(|key| key == "train.logits") {
        let mut rng = Rng::derive(1, "train", 0);
        let logits = net.logits(&images, &mut Mode::Train(&mut rng)).unwrap();
        assert_close("train.logits", &flat(&logits), &wanted("train.logits"), 1e-4);
        let factors: Vec<f32> = hashed("loss", logits.elem_count()).map(|v| v as f32).collect();
        let factors = Tensor::from_vec(factors, logits.shape(), &Device::Cpu).unwrap();
        let gradients = (logits * factors).unwrap().sum_all().unwrap().backward().unwrap();
        for key in keys().filter_map(|key| key.strip_prefix("gradient.")) {
            let gradient = gradients.get(weights.variable(key).as_tensor()).expect(key);
            assert_close(key, &digest(gradient), &wanted(&format!("gradient.{key}")), tolerance);
        }
        for key in keys().filter_map(|key| key.strip_prefix("statistic.")) {
            assert_close(key, &digest(weights.variable(key).as_tensor()), &wanted(&format!("statistic.{key}")), 1e-5);
        }
    }
}

#[test]
fn resnet18_is_torchvisions() {
    compare("resnet18", 64, 96, 1e-3);
}

#[test]
fn resnet50_is_torchvisions() {
    // Fifty batch norms over twelve values a channel magnify rounding: PyTorch's own float32 is off by 2e-2 here.
    compare("resnet50", 64, 96, 1e-2);
}

#[test]
fn the_other_resnets_are_torchvisions() {
    for name in ["resnet34", "resnet101", "resnet152"] {
        compare(name, 64, 64, 1e-3);
    }
}

#[test]
fn squeezenet_is_torchvisions() {
    compare("squeezenet1_1", 70, 64, 1e-3);
}

#[test]
fn convnet_is_pytorchs() {
    compare("convnet", 64, 64, 1e-3);
}
