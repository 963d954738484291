//! The files beside a crate's tests, and sentences.

#[cfg(feature = "tensors")]
use candle_core::{Device, Tensor};
use serde::de::DeserializeOwned;
#[cfg(feature = "tensors")]
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The path of `tests/fixtures/NAME` in the crate that is tested, as cargo tells it.
pub fn fixture(name: &str) -> PathBuf {
    let of_crate = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo runs the tests");
    Path::new(&of_crate).join("tests/fixtures").join(name)
}

/// What the JSON file `tests/fixtures/NAME` holds.
pub fn json<T: DeserializeOwned>(name: &str) -> T {
    serde_json::from_slice(&std::fs::read(fixture(name)).unwrap()).unwrap()
}

/// The tensors of `tests/fixtures/NAME.safetensors` by name.
#[cfg(feature = "tensors")]
pub fn tensors(name: &str) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(fixture(&format!("{name}.safetensors")), &Device::Cpu).unwrap()
}

/// The words of a text, between its spaces.
pub fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}
