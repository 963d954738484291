//! Fresh values, heads, freezing, and what happens with the weights of another network.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod networks_by_name;

use candle_core::{DType, Device, Tensor};
use candlewick_encoders::{Architecture, NetworkConfig, networks};
use candlewick_parameters::{Mode, Parameters, Rng, SafetensorsFile};
use candlewick_testing::{flat, images};
use networks_by_name::{find, network};

const CPU: Device = Device::Cpu;

fn config(classes: Option<usize>) -> NetworkConfig {
    NetworkConfig { classes, ..Default::default() }
}

fn deviation(tensor: &Tensor) -> f64 {
    let values = flat(tensor);
    (values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / values.len() as f64).sqrt()
}

#[test]
fn fresh_values_are_torchvisions() {
    let parameters = Parameters::new(3);
    let config = NetworkConfig { zero_init_residual: true, ..config(Some(7)) };
    network("resnet18", &config, parameters.builder(&CPU)).unwrap();
    let tensors: std::collections::HashMap<String, Tensor> = parameters.tensors().into_iter().collect();
    let near = |found: f64, wanted: f64| assert!((found / wanted - 1.0).abs() < 0.02, "{found}, not {wanted}");
    near(deviation(&tensors["layer3.1.conv2.weight"]), (2.0 / (256.0 * 9.0f64)).sqrt());
    near(deviation(&tensors["conv1.weight"]), (2.0 / (64.0 * 49.0f64)).sqrt());
    near(deviation(&tensors["fc.weight"]), (1.0 / (3.0 * 512.0f64)).sqrt());
    assert_eq!(deviation(&tensors["layer1.0.bn1.weight"]), 1.0);
    assert_eq!(deviation(&tensors["layer1.0.bn2.weight"]), 0.0);
    assert_eq!(deviation(&tensors["layer1.0.bn1.running_var"]), 1.0);

    let fresh = |name: &str, classes| -> std::collections::HashMap<String, Tensor> {
        let parameters = Parameters::new(3);
        network(name, &NetworkConfig { classes, ..Default::default() }, parameters.builder(&CPU)).unwrap();
        parameters.tensors().into_iter().collect()
    };
    let tensors = fresh("squeezenet1_1", Some(7));
    near(deviation(&tensors["features.12.expand3x3.weight"]), (2.0 / (64.0 * 9.0f64)).sqrt());
    near(deviation(&tensors["classifier.1.weight"]), 0.01);
    assert_eq!(deviation(&tensors["features.0.bias"]), 0.0);

    let tensors = fresh("alexnet", Some(7));
    near(deviation(&tensors["features.3.weight"]), (1.0 / (3.0 * 64.0 * 25.0f64)).sqrt());
    near(deviation(&tensors["classifier.1.weight"]), (1.0 / (3.0 * 9216.0f64)).sqrt());
    near(deviation(&tensors["classifier.4.bias"]), (1.0 / (3.0 * 4096.0f64)).sqrt());

    let tensors = fresh("vgg11_bn", None);
    near(deviation(&tensors["features.8.weight"]), (2.0 / (256.0 * 9.0f64)).sqrt());
    assert_eq!(deviation(&tensors["features.8.bias"]), 0.0);
    assert!(!tensors.contains_key("classifier.0.weight"));

    let tensors = fresh("googlenet", Some(100));
    for name in ["conv3.conv.weight", "aux1.conv.conv.weight", "aux2.fc1.weight", "fc.weight"] {
        near(deviation(&tensors[name]), 0.01);
    }
    near(deviation(&tensors["aux2.fc1.bias"]), (1.0 / (3.0 * 2048.0f64)).sqrt());

    let tensors = fresh("densenet121", Some(100));
    near(deviation(&tensors["features.denseblock1.denselayer1.conv2.weight"]), (2.0 / (128.0 * 9.0f64)).sqrt());
    near(deviation(&tensors["classifier.weight"]), (1.0 / (3.0 * 1024.0f64)).sqrt());
    assert_eq!(deviation(&tensors["classifier.bias"]), 0.0);

    let tensors = fresh("convnext_tiny", Some(100));
    for name in
        ["features.0.0.weight", "features.3.0.block.0.weight", "features.5.1.block.3.weight", "classifier.2.weight"]
    {
        near(deviation(&tensors[name]), 0.02);
    }
    assert!((deviation(&tensors["features.7.2.layer_scale"]) - 1e-6).abs() < 1e-9);

    let tensors = fresh("efficientnet_b0", Some(100));
    near(deviation(&tensors["features.4.1.block.1.0.weight"]), (2.0 / (480.0 * 9.0f64)).sqrt());
    near(deviation(&tensors["features.6.1.block.2.fc1.weight"]), (2.0 / 48.0f64).sqrt());
    near(deviation(&tensors["classifier.1.weight"]), (1.0 / (3.0 * 100.0f64)).sqrt());

    let tensors = fresh("fractalnet20", Some(7));
    near(deviation(&tensors["block2.column1.0.conv.weight"]), (2.0 / ((64.0 + 128.0) * 9.0f64)).sqrt());
}

#[test]
fn weights_of_another_network_are_reported_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    let saved = Parameters::new(1);
    network("squeezenet1_1", &config(Some(10)), saved.builder(&CPU)).unwrap();
    saved.save(&path).unwrap();

    let loaded = Parameters::from_safetensors(&path).unwrap();
    network("convnet", &config(Some(10)), loaded.builder(&CPU)).unwrap();
    let report = loaded.verify().unwrap_err().to_string();
    let report = report.lines().next().unwrap();
    for part in ["weights.safetensors", "missing: blocks.0.conv.weight", "unused: classifier.1.bias"] {
        assert!(report.contains(part), "{part} is not in: {report}");
    }

    let loaded = Parameters::from_safetensors(&path).unwrap();
    network("squeezenet1_1", &config(Some(5)), loaded.builder(&CPU)).unwrap();
    let report = loaded.verify().unwrap_err().to_string();
    assert!(
        report.contains("classifier.1.weight (the network has [5, 512, 1, 1], the file [10, 512, 1, 1])"),
        "{report}"
    );
}

#[test]
fn a_head_that_nobody_asked_for_loads_but_does_not_train() {
    let folder = tempfile::tempdir().unwrap();
    let images = Tensor::ones((1, 3, 64, 64), DType::F32, &CPU).unwrap();
    for (name, in_head) in [("convnet", 2), ("squeezenet1_1", 2), ("convnext_tiny", 4), ("efficientnet_b0", 2)] {
        let path = folder.path().join(name);
        let saved = Parameters::new(1);
        let whole = network(name, &config(Some(10)), saved.builder(&CPU)).unwrap();
        saved.save(&path).unwrap();
        assert_eq!(find(name).head_classes(&SafetensorsFile::open(&path).unwrap()), Some(10));

        let loaded = Parameters::from_safetensors(&path).unwrap();
        let encoder = network(name, &config(None), loaded.builder(&CPU)).unwrap();
        loaded.verify().unwrap();
        for head in find(name).head_prefixes().iter().map(|head| format!("{head}.")) {
            assert!(loaded.names().iter().any(|name| name.starts_with(&head)));
            assert!(!loaded.trainable().iter().any(|(name, _)| name.starts_with(&head)));
        }
        assert_eq!(loaded.trainable().len() + in_head, saved.trainable().len());
        let logits = |net: &dyn candlewick_encoders::Encoder| flat(&net.logits(&images, &mut Mode::Eval).unwrap());
        assert_eq!(logits(encoder.as_ref()), logits(whole.as_ref()));

        let headless = network(name, &config(None), Parameters::new(1).builder(&CPU)).unwrap();
        assert_eq!(headless.classes(), None);
        let fault = headless.logits(&images, &mut Mode::Eval).unwrap_err().to_string();
        assert!(fault.contains("without a classification head"), "{fault}");
    }
}

#[test]
fn what_lies_before_a_stage_stands_still_and_what_follows_trains() {
    let parameters = Parameters::new(5);
    for prefix in find("resnet18").frozen_prefixes(Some("layer4")).unwrap() {
        parameters.freeze(prefix);
    }
    let net = network("resnet18", &config(None), parameters.builder(&CPU)).unwrap();
    let statistics = |parameters: &Parameters| -> Vec<(String, f64)> {
        let buffers = parameters.tensors().into_iter().filter(|(name, _)| name.ends_with("running_mean"));
        buffers.map(|(name, tensor)| (name, deviation(&tensor))).collect()
    };
    let before = statistics(&parameters);
    let mut rng = Rng::derive(1, "train", 0);
    let map = net.map(&images(64, 64), &mut Mode::Train(&mut rng)).unwrap();
    let gradients = map.sqr().unwrap().sum_all().unwrap().backward().unwrap();
    let trained = parameters.trainable();
    assert!(!trained.is_empty());
    for (name, variable) in &trained {
        assert!(name.starts_with("layer4."), "{name}");
        assert!(deviation(gradients.get(variable.as_tensor()).unwrap()) > 0.0, "{name}");
    }
    for ((name, old), (_, new)) in before.iter().zip(statistics(&parameters)) {
        assert_eq!(*old != new, name.starts_with("layer4."), "{name}");
    }
}

#[test]
fn frozen_prefixes_end_with_a_dot_and_unknown_names_are_told() {
    let prefixes = find("squeezenet1_1").frozen_prefixes(Some("features.4")).unwrap();
    assert_eq!(prefixes, ["features.0.", "features.3."]);
    assert_eq!(find("resnet50").frozen_prefixes(None).unwrap().len(), 7);
    let fault = find("resnet50").frozen_prefixes(Some("layer9")).unwrap_err().to_string();
    assert!(fault.contains("layer9") && fault.contains("layer4"), "{fault}");
    let unknown = |name: &str| Architecture::find(name).err().unwrap().to_string();
    assert_eq!(unknown("resnet19"), "no network is called resnet19; did you mean resnet18?");
    let fault = unknown("lenet");
    assert!(fault.starts_with("no network is called lenet; there are alexnet, vgg11"), "{fault}");
    assert_eq!(fault.contains("built with the feature transformers"), !cfg!(feature = "transformers"), "{fault}");
    let mut names = networks();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), networks().len());
    let net = network("convnet", &config(None), Parameters::new(1).builder(&CPU)).unwrap();
    let fault = net.layer("layer1", &images(64, 64), &mut Mode::Eval).unwrap_err().to_string();
    assert!(fault.contains("layer1") && fault.contains("blocks.3"), "{fault}");
    let grey = Tensor::zeros((1, 1, 64, 64), DType::F32, &CPU).unwrap();
    assert!(net.map(&grey, &mut Mode::Eval).unwrap_err().to_string().contains("(N, 3, height, width)"));
}
