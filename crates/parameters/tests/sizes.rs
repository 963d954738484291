//! Sizes that a config may ask for by mistake: told by the parameter's name before any memory is taken.
#![allow(clippy::unwrap_used)]

use candle_core::{Device, Result, Tensor};
use candlewick_parameters::{Initial, ParameterBuilder, Parameters, VarBuilder, write_safetensors};
use std::path::PathBuf;

/// A file of the tensors that [`network`] has with a hidden size of 4.
fn file(folder: &tempfile::TempDir) -> PathBuf {
    let path = folder.path().join("model.safetensors");
    let parameters = Parameters::new(1);
    network(parameters.builder(&Device::Cpu), 4).unwrap();
    parameters.save(&path).unwrap();
    path
}

fn network(vb: VarBuilder, hidden: usize) -> Result<Vec<Tensor>> {
    let weight = vb.pp("layer").parameter((hidden, 3), "weight", Initial::fan_in(3))?;
    let mean = vb.pp("layer").buffer(hidden, "running_mean", Initial::Constant(0.0))?;
    Ok(vec![weight, mean, vb.pp("head").parameter((2, hidden), "weight", Initial::Normal(1.0))?])
}

#[test]
fn a_loaded_network_of_any_size_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder);
    for hidden in [5, 1_000, 1_000_000, 1_000_000_000, 1 << 45, 1 << 62, usize::MAX] {
        let fault = Parameters::open(&path, &Device::Cpu, |vb| network(vb, hidden)).err().unwrap().to_string();
        let named = fault.contains("layer.weight") && fault.contains(&hidden.to_string());
        assert!(named, "{hidden}: {fault}");
        assert!(hidden > 1 << 40 || fault.contains("model.safetensors"), "{hidden}: {fault}");
        assert!(hidden > 1 << 20 || fault.contains("3 of another shape"), "{hidden}: {fault}");
    }
    // Within the bound a view of one value stands for what does not fit, and again where it is shared.
    let parameters = Parameters::from_safetensors(&path).unwrap();
    let vb = parameters.builder(&Device::Cpu);
    let tensors = network(vb.clone(), 1_000_000).unwrap();
    assert_eq!((tensors[0].dims(), tensors[0].stride()), ([1_000_000, 3].as_slice(), [0, 0].as_slice()));
    network(vb, 1_000_000).unwrap();
    assert!(parameters.verify().unwrap_err().to_string().contains("3 of another shape"));
}

#[test]
fn a_missing_parameter_of_any_size_takes_no_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let tensor = Tensor::zeros(1, candle_core::DType::F32, &Device::Cpu).unwrap();
    write_safetensors(&[("other".to_owned(), tensor)], &path).unwrap();
    let fault = Parameters::open(&path, &Device::Cpu, |vb| network(vb, 1 << 33)).err().unwrap().to_string();
    assert!(fault.contains("1 missing: layer.weight"), "{fault}");
}

#[test]
fn a_fresh_network_that_no_memory_holds_is_refused_by_name() {
    for hidden in [1 << 40, 1 << 61, usize::MAX] {
        let parameters = Parameters::new(1);
        let fault = network(parameters.builder(&Device::Cpu), hidden).unwrap_err().to_string();
        let told = fault.contains("parameter layer.weight of shape") && fault.contains(&hidden.to_string());
        assert!(told && fault.contains("config.json smaller"), "{fault}");
    }
    // A square matrix of 2²⁰ rows in f32: 4398.05 GB.
    let vb = Parameters::new(1).builder(&Device::Cpu);
    let fault = vb.parameter((1 << 20, 1 << 20), "u", Initial::Orthogonal(1.0)).unwrap_err().to_string();
    assert!(fault.contains("takes 4398.05 GB of memory"), "{fault}");
}
