//! What published weights want of pictures, and how their files are taken.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod networks_by_name;

use candle_core::{Device, Tensor};
use candlewick_encoders::{Encoder, Interpolation, NetworkConfig, Preprocessing, Resize, networks};
use candlewick_parameters::{Mode, Parameters, SafetensorsFile, write_safetensors};
use candlewick_testing::{Hashed, assert_close, flat, images, json};
use image::{Rgb, RgbImage};
use networks_by_name::{find, network};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

const CPU: Device = Device::Cpu;

fn open(path: &Path) -> SafetensorsFile {
    SafetensorsFile::open(path).unwrap()
}

/// What torchvision does to pictures before a network sees them.
#[derive(Deserialize)]
struct Transforms {
    resize: usize,
    crop: usize,
    mean: [f32; 3],
    std: [f32; 3],
    bicubic: bool,
}

#[test]
fn pictures_are_made_as_torchvisions_first_weights_want_them() {
    let published: BTreeMap<String, Transforms> = json("published.json");
    let own = ["convnet", "fractalnet", "vit_", "dinov2_", "clip_", "siglip_", "beit_", "eva02_"];
    let wanted = networks().into_iter().filter(|name| !own.iter().any(|own| name.starts_with(own)));
    assert!(wanted.eq(networks().into_iter().filter(|name| published.contains_key(*name))) && published.len() > 40);
    for (name, Transforms { resize, crop, mean, std, bicubic }) in published {
        let wanted = Preprocessing {
            size: Some(Resize::Shortest(resize)),
            crop: Some((crop, crop)),
            interpolation: if bicubic { Interpolation::Bicubic } else { Interpolation::Bilinear },
            rescale_factor: 1.0 / 255.0,
            mean,
            std,
        };
        assert_eq!(find(&name).preprocessing(), &wanted, "{name}");
    }
}

#[test]
fn googlenet_sees_what_torchvisions_transform_input_shows_it() {
    let weights = Hashed::default();
    let logits = |transform_input, preprocessing: &Preprocessing| {
        let config = NetworkConfig { classes: Some(10), transform_input, ..Default::default() };
        let picture = RgbImage::from_fn(64, 64, |x, y| Rgb([(x * 4) as u8, (y * 4) as u8, (x * y % 256) as u8]));
        let unresized = Preprocessing { size: None, crop: None, ..preprocessing.clone() };
        let images = unresized.apply(&picture, &CPU).unwrap().unsqueeze(0).unwrap();
        let net = network("googlenet", &config, weights.builder()).unwrap();
        flat(&net.logits(&images, &mut Mode::Eval).unwrap())
    };
    let wanted = logits(true, &Preprocessing::imagenet());
    assert_close("logits", &logits(false, find("googlenet").preprocessing()), &wanted, 1e-4);
}

#[test]
fn googlenet_loads_from_files_with_auxiliary_heads_and_without() {
    let (folder, images) = (tempfile::tempdir().unwrap(), images(64, 64));
    let (with, without) = (folder.path().join("with"), folder.path().join("without"));
    let config = |classes| NetworkConfig { classes, auxiliary: false, ..Default::default() };
    let saved = Parameters::new(1);
    let whole = NetworkConfig { auxiliary: true, ..config(Some(4)) };
    let whole = network("googlenet", &whole, saved.builder(&CPU)).unwrap();
    saved.save(&with).unwrap();
    let of_aux = |name: &str| find("googlenet").auxiliary_prefixes().iter().any(|aux| name.starts_with(aux));
    let tensors: Vec<_> = saved.tensors().into_iter().filter(|(name, _)| !of_aux(name)).collect();
    assert_eq!(saved.names().len() - tensors.len(), 18);
    write_safetensors(&tensors, &without).unwrap();
    let logits = |net: &dyn Encoder| flat(&net.logits(&images, &mut Mode::Eval).unwrap());
    for path in [&with, &without] {
        for classes in [None, Some(4)] {
            let loaded = Parameters::from_file(find("googlenet").canonical_weights(open(path)).unwrap());
            let net = network("googlenet", &config(classes), loaded.builder(&CPU)).unwrap();
            loaded.verify().unwrap();
            assert_eq!(logits(net.as_ref()), logits(whole.as_ref()));
        }
        let encoder = Parameters::new(2);
        let net = network("googlenet", &config(None), encoder.builder(&CPU)).unwrap();
        encoder.assign(&find("googlenet").without_head(open(path)).unwrap(), "").unwrap();
        let map = |net: &dyn Encoder| flat(&net.map(&images, &mut Mode::Eval).unwrap());
        assert_eq!(map(net.as_ref()), map(whole.as_ref()));
    }
}

#[test]
fn names_under_module_are_told_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wrapped");
    let write = |names: &[&str]| {
        let tensors: Vec<_> =
            names.iter().map(|name| (name.to_string(), Tensor::new(&[0f32], &CPU).unwrap())).collect();
        write_safetensors(&tensors, &path).unwrap();
    };
    write(&["module.conv1.weight", "module.fc.bias"]);
    for fault in
        [find("resnet18").canonical_weights(open(&path)).err(), find("resnet18").without_head(open(&path)).err()]
    {
        let fault = fault.unwrap().to_string();
        let parts = ["wrapped: ", "begin with module.", "DataParallel", "candlewick convert"];
        assert!(parts.iter().all(|part| fault.contains(part)), "{fault}");
    }
    // Where some names do not begin so, it is a part of the network.
    write(&["module.conv1.weight", "fc.bias"]);
    assert_eq!(find("resnet18").canonical_weights(open(&path)).unwrap().names().count(), 2);
}
