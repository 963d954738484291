//! The store: order, seeding, freezing, strict loading.
#![allow(clippy::unwrap_used)]

use candle_core::{DType, Device, Result, Tensor};
use candlewick_parameters::{Initial, ParameterBuilder, Parameters, VarBuilder};
use candlewick_testing::flat;

fn network(vb: &VarBuilder, hidden: usize) -> Result<Vec<Tensor>> {
    let layer = vb.pp("layer");
    Ok(vec![
        layer.parameter((hidden, 3), "weight", Initial::fan_in(3))?,
        layer.parameter(hidden, "bias", Initial::Constant(0.5))?,
        layer.buffer(hidden, "running_mean", Initial::Constant(0.0))?,
        vb.pp("a_head").parameter((2, hidden), "weight", Initial::Normal(1.0))?,
    ])
}

#[test]
fn parameters_keep_the_networks_order_and_their_seed() {
    let (first, second, other) = (Parameters::new(1), Parameters::new(1), Parameters::new(2));
    let a = network(&first.builder(&Device::Cpu), 4).unwrap();
    // Another layer in front changes nothing for the layers behind it.
    second.builder(&Device::Cpu).parameter(7, "before", Initial::Normal(1.0)).unwrap();
    let b = network(&second.builder(&Device::Cpu), 4).unwrap();
    let c = network(&other.builder(&Device::Cpu), 4).unwrap();
    assert_eq!(first.names(), ["layer.weight", "layer.bias", "layer.running_mean", "a_head.weight"]);
    assert_eq!(flat(&a[0]), flat(&b[0]));
    assert_ne!(flat(&a[0]), flat(&c[0]));
    assert_eq!(first.count(), 12 + 4 + 8);
    let trained: Vec<String> = first.trainable().into_iter().map(|(name, _)| name).collect();
    assert_eq!(trained, ["layer.weight", "layer.bias", "a_head.weight"]);
}

#[test]
fn a_frozen_parameter_builds_no_graph_and_is_not_trained() {
    let parameters = Parameters::new(1);
    parameters.freeze("layer.");
    let tensors = network(&parameters.builder(&Device::Cpu), 4).unwrap();
    assert!(!tensors[0].track_op());
    assert!(tensors[3].track_op());
    assert_eq!(parameters.trainable().len(), 1);
}

#[test]
fn what_is_saved_is_loaded_and_a_second_request_shares_the_variable() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let saved = Parameters::new(5);
    let a = network(&saved.builder(&Device::Cpu), 4).unwrap();
    saved.save(&path).unwrap();
    let loaded = Parameters::from_safetensors(&path).unwrap();
    let b = network(&loaded.builder(&Device::Cpu), 4).unwrap();
    loaded.verify().unwrap();
    for (x, y) in a.iter().zip(&b) {
        assert_eq!(flat(x), flat(y));
    }
    let fresh = Parameters::new(6);
    let c = network(&fresh.builder(&Device::Cpu), 4).unwrap();
    let again = network(&fresh.builder(&Device::Cpu), 4).unwrap();
    fresh.load(&path).unwrap();
    assert_eq!(flat(&a[0]), flat(&c[0]));
    assert_eq!(flat(&a[0]), flat(&again[0]));
    assert!(network(&fresh.builder(&Device::Cpu), 5).is_err());
}

#[test]
fn strict_loading_names_every_fault_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.safetensors");
    let other = Parameters::new(5);
    let vb = other.builder(&Device::Cpu);
    vb.pp("layer").parameter((5, 3), "weight", Initial::Constant(1.0)).unwrap();
    vb.parameter(3, "stranger", Initial::Constant(1.0)).unwrap();
    vb.buffer(1, "bn.num_batches_tracked", Initial::Constant(1.0)).unwrap();
    other.save(&path).unwrap();

    let loaded = Parameters::from_safetensors(&path).unwrap();
    network(&loaded.builder(&Device::Cpu), 4).unwrap();
    let message = loaded.verify().unwrap_err().to_string();
    for part in [
        "other.safetensors",
        "3 missing: layer.bias",
        "layer.weight (the network has [4, 3], the file [5, 3])",
        "1 unused: stranger",
    ] {
        assert!(message.contains(part), "{part} is not in: {message}");
    }
    assert!(!message.contains("num_batches_tracked"));

    let kept = Parameters::new(1);
    let before = flat(&network(&kept.builder(&Device::Cpu), 4).unwrap()[0]);
    assert!(kept.load(&path).is_err());
    assert_eq!(before, flat(&network(&kept.builder(&Device::Cpu), 4).unwrap()[0]));
}

#[test]
fn a_prefix_takes_the_weights_of_a_part() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("encoder.safetensors");
    let encoder = Parameters::new(5);
    let a = network(&encoder.builder(&Device::Cpu), 4).unwrap();
    encoder.save(&path).unwrap();
    let whole = Parameters::new(1);
    let b = network(&whole.builder(&Device::Cpu).pp("encoder"), 4).unwrap();
    network(&whole.builder(&Device::Cpu).pp("decoder"), 4).unwrap();
    whole.assign(&candlewick_parameters::SafetensorsFile::open(&path).unwrap(), "encoder.").unwrap();
    assert_eq!(flat(&a[3]), flat(&b[3]));
}

#[test]
fn a_file_cut_in_half_is_named_and_half_precision_is_widened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("half.safetensors");
    let tensor = Tensor::new(&[1.5f32, -2.0], &Device::Cpu).unwrap().to_dtype(DType::F16).unwrap();
    candlewick_parameters::write_safetensors(&[("x".to_owned(), tensor)], &path).unwrap();
    let loaded = Parameters::from_safetensors(&path).unwrap();
    let x = loaded.builder(&Device::Cpu).parameter(2, "x", Initial::Constant(0.0)).unwrap();
    assert_eq!(flat(&x), [1.5, -2.0]);

    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    let message = Parameters::from_safetensors(&path).err().unwrap().to_string();
    assert!(message.contains("half.safetensors") && message.contains("not a whole"), "{message}");
}

#[test]
fn an_open_file_stays_as_it_was_when_another_is_written_in_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let write = |value: f32| {
        let tensor = Tensor::full(value, 1000, &Device::Cpu).unwrap();
        candlewick_parameters::write_safetensors(&[("x".to_owned(), tensor)], &path).unwrap();
    };
    let open = || candlewick_parameters::SafetensorsFile::open(&path).unwrap();
    let found = |file: &candlewick_parameters::SafetensorsFile| flat(&file.tensor("x", &Device::Cpu).unwrap())[999];
    write(1.0);
    let before = open();
    write(2.0);
    assert_eq!((found(&before), found(&open())), (1.0, 2.0));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing unfinished is left");
    let fault = candlewick_parameters::SafetensorsFile::open(folder.path()).err().unwrap().to_string();
    assert!(fault.contains("not a file; name a safetensors file"), "{fault}");
}
