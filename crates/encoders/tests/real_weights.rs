//! ImageNet weights give the logits that PyTorch gives: the folder `cnn_weights` of CANDLEWICK_DATA.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, clippy::print_stdout)]

use candle_core::{DType, Device, Tensor};
use candlewick_encoders::{Architecture, NetworkConfig};
use candlewick_parameters::{Mode, Parameters, SafetensorsFile, write_safetensors};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::path::{Path, PathBuf};

const CPU: Device = Device::Cpu;

/// The floats of a stored tensor in f32.
fn floats(view: &TensorView) -> Tensor {
    let dtype = DType::try_from(view.dtype()).unwrap();
    Tensor::from_raw_buffer(view.data(), dtype, view.shape(), &CPU).unwrap().to_dtype(DType::F32).unwrap()
}

fn codes(view: &TensorView) -> Vec<u32> {
    match view.dtype() {
        Dtype::U8 => view.data().iter().map(|&byte| u32::from(byte)).collect(),
        Dtype::U16 => view.data().chunks_exact(2).map(|b| u32::from(u16::from_le_bytes([b[0], b[1]]))).collect(),
        other => panic!("codes are {other:?}"),
    }
}

fn kernel(layer: &str, bottleneck: bool) -> usize {
    if layer == "fc" || layer.contains("downsample") || (bottleneck && !layer.ends_with("conv2")) { 1 } else { 3 }
}

/// A complete checkpoint of one that stores weight[o] as codebook[codes[o, 0]], codebook[codes[o, 1]] …
fn decode(path: &Path, to: &Path) {
    let bytes = std::fs::read(path).unwrap();
    let stored = SafeTensors::deserialize(&bytes).unwrap();
    let bottleneck = stored.names().iter().any(|name| name.starts_with("layer1.0.conv3"));
    let mut tensors: Vec<(String, Tensor)> = Vec::new();
    for (name, view) in stored.iter() {
        if name.ends_with(".codebook") {
            continue;
        }
        let Some(layer) = name.strip_suffix(".codes") else {
            let value = floats(&view);
            if let (Some(norm), 1) = (name.strip_suffix(".weight"), value.rank()) {
                tensors.push((format!("{norm}.running_mean"), value.zeros_like().unwrap()));
                tensors.push((format!("{norm}.running_var"), value.ones_like().unwrap()));
            }
            tensors.push((name.to_owned(), value));
            continue;
        };
        let codebook = floats(&stored.tensor(&format!("{layer}.codebook")).unwrap());
        let (rows, k) = (view.shape()[0], kernel(layer, bottleneck));
        let indices = codes(&view);
        let picked = codebook.index_select(&Tensor::new(&indices[..], &CPU).unwrap(), 0).unwrap();
        let weight = if layer == "fc" { picked.reshape((rows, ())) } else { picked.reshape((rows, (), k, k)) };
        tensors.push((format!("{layer}.weight"), weight.unwrap()));
    }
    write_safetensors(&tensors, to).unwrap();
}

fn compare(data: &Path, weights: &Path, name: &str, key: &str) {
    let fixture = SafetensorsFile::open(data.join("fixture_inputs_logits.safetensors")).unwrap();
    let parameters = Parameters::from_safetensors(weights).unwrap();
    parameters.freeze("");
    // No head is asked for; the one in the file serves.
    let architecture = Architecture::find(name).unwrap();
    let net = architecture.build(&NetworkConfig::default(), parameters.builder(&CPU)).unwrap();
    parameters.verify().unwrap();
    let tensor = |key: String| fixture.tensor(&key, &CPU).unwrap();
    let pictures = ["cat", "ski"];
    let images = Tensor::stack(&pictures.map(|picture| tensor(format!("input.{picture}"))), 0).unwrap();
    let wanted = Tensor::stack(&pictures.map(|picture| tensor(format!("logits.{key}.{picture}"))), 0).unwrap();
    for net in [&net, &net.for_inference().unwrap()] {
        let logits = net.logits(&images, &mut Mode::Eval).unwrap();
        let worst = (logits - &wanted).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        println!("{key}: off by {worst}");
        assert!(worst < 1e-3, "{key}: off by {worst}");
    }
}

#[test]
fn pretrained_networks_give_pytorchs_logits() {
    let Some(data) = std::env::var_os("CANDLEWICK_DATA").map(PathBuf::from) else {
        println!("skipped: CANDLEWICK_DATA is not set");
        return;
    };
    let data = data.join("cnn_weights");
    compare(&data, &data.join("squeezenet1_1_torchvision_f16.safetensors"), "squeezenet1_1", "squeezenet1_1");
    let folder = tempfile::tempdir().unwrap();
    for (file, name, key) in [
        ("resnet18_pqf_66.74", "resnet18", "resnet18_pqf"),
        ("resnet18_ktb_65.81", "resnet18", "resnet18_ktb"),
        ("resnet50_pqf_72.18", "resnet50", "resnet50_pqf"),
    ] {
        let decoded = folder.path().join(key);
        decode(&data.join(format!("{file}.safetensors")), &decoded);
        compare(&data, &decoded, name, key);
    }
}
