//! What the tests of this crate share: fixtures, comparison of values and gradients, finite differences.
#![allow(dead_code)]

use candle_core::{DType, Device, Result, Tensor, Var};
use std::collections::HashMap;

/// The numbered cases of a fixture file.
pub fn cases(name: &str) -> Vec<HashMap<String, Tensor>> {
    let path = format!("{}/tests/fixtures/{name}.safetensors", env!("CARGO_MANIFEST_DIR"));
    let tensors = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
    let mut cases: Vec<HashMap<String, Tensor>> = Vec::new();
    for (name, tensor) in tensors {
        let (number, name) = name.split_once('.').unwrap();
        let number: usize = number.parse().unwrap();
        cases.resize_with(cases.len().max(number + 1), HashMap::new);
        cases[number].insert(name.to_string(), tensor);
    }
    assert!(!cases.is_empty());
    cases
}

pub fn options(case: &HashMap<String, Tensor>) -> Vec<usize> {
    case["options"].to_vec1::<u32>().unwrap().into_iter().map(|value| value as usize).collect()
}

/// Values in f64, whatever the type and the layout.
pub fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// Fails where shapes differ, or values by more than `tolerance` times the largest expected value.
pub fn assert_close(found: &Tensor, expected: &Tensor, tolerance: f64, what: &str) {
    assert_eq!(found.dims(), expected.dims(), "shape of {what}");
    let (found, expected) = (values(found), values(expected));
    let largest = expected.iter().fold(1e-2f64, |largest, value| largest.max(value.abs()));
    for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
        let same = (found - expected).abs() <= tolerance * largest || (found.is_nan() && expected.is_nan());
        assert!(same, "{what}[{i}]: found {found}, expected {expected} (largest {largest})");
    }
}

/// The output of `f` and the gradients of Σ output · weights with respect to all inputs.
pub fn gradients(
    inputs: &[Tensor],
    weights: Option<&Tensor>,
    f: impl Fn(&[Tensor]) -> Result<Tensor>,
) -> (Tensor, Vec<Tensor>) {
    let vars: Vec<Var> = inputs.iter().map(|input| Var::from_tensor(input).unwrap()).collect();
    let tensors: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
    let ys = f(&tensors).unwrap();
    let weights = weights.cloned().unwrap_or_else(|| random(ys.dims(), 99).to_dtype(ys.dtype()).unwrap());
    let found = (&ys * weights.to_dtype(ys.dtype()).unwrap()).unwrap().sum_all().unwrap().backward().unwrap();
    let gradients = vars.iter().map(|var| found.get(var).expect("a gradient").clone()).collect();
    (ys.detach(), gradients)
}

/// Checks a fixture's case: `f` gets the inputs named in `names` (those that the case has) in f32 and in f64.
pub fn check_case(case: &HashMap<String, Tensor>, names: &[&str], what: &str, f: impl Fn(&[Tensor]) -> Result<Tensor>) {
    let names: Vec<&str> = names.iter().copied().filter(|name| case.contains_key(*name)).collect();
    for dtype in [DType::F32, DType::F64] {
        let inputs: Vec<Tensor> = names.iter().map(|name| case[*name].to_dtype(dtype).unwrap()).collect();
        let (ys, found) = gradients(&inputs, Some(&case["dys"]), &f);
        assert_eq!(ys.dtype(), dtype);
        assert_close(&ys, &case["ys"], 1e-5, &format!("{what} {dtype:?}: values"));
        for (name, found) in names.iter().zip(&found) {
            assert_close(found, &case[&format!("d{name}")], 1e-5, &format!("{what} {dtype:?}: gradient of {name}"));
        }
    }
}

/// Compares gradients with central differences in f64 (the reference path) at every element.
pub fn check_differences(inputs: &[Tensor], f: impl Fn(&[Tensor]) -> Result<Tensor>) {
    let inputs: Vec<Tensor> = inputs.iter().map(|input| input.to_dtype(DType::F64).unwrap()).collect();
    let (_, found) = gradients(&inputs, None, &f);
    differences(&inputs, &found, 1e-5, 1e-7, &f);
}

/// The same in f32 (the CPU's own path), with steps and bounds that f32 allows.
pub fn check_differences_f32(inputs: &[Tensor], f: impl Fn(&[Tensor]) -> Result<Tensor>) {
    let (_, found) = gradients(inputs, None, &f);
    differences(inputs, &found, 1e-2, 2e-3, &f);
}

fn differences(
    inputs: &[Tensor],
    found: &[Tensor],
    step: f64,
    tolerance: f64,
    f: &impl Fn(&[Tensor]) -> Result<Tensor>,
) {
    let loss = |inputs: &[Tensor]| {
        let ys = f(inputs).unwrap();
        values(&ys).iter().zip(values(&random(ys.dims(), 99))).map(|(y, weight)| y * weight).sum::<f64>()
    };
    for (i, found) in found.iter().enumerate() {
        let start = values(&inputs[i]);
        let mut expected = Vec::new();
        for at in 0..start.len() {
            let moved = |by: f64| {
                let mut moved = start.clone();
                moved[at] += by;
                let moved = Tensor::from_vec(moved, inputs[i].dims(), &Device::Cpu).unwrap();
                let mut inputs = inputs.to_vec();
                inputs[i] = moved.to_dtype(inputs[i].dtype()).unwrap();
                loss(&inputs)
            };
            expected.push((moved(step) - moved(-step)) / (2.0 * step));
        }
        let expected = Tensor::from_vec(expected, inputs[i].dims(), &Device::Cpu).unwrap();
        assert_close(found, &expected, tolerance, &format!("finite differences of input {i}"));
    }
}

/// Values in (−1, 1) from an integer hash of (seed, position), the same on every machine.
pub fn random(shape: &[usize], seed: u64) -> Tensor {
    let count: usize = shape.iter().product();
    let value = |i: usize| {
        let mut z = (seed << 32).wrapping_add(i as u64).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    Tensor::from_vec((0..count).map(value).collect::<Vec<f32>>(), shape, &Device::Cpu).unwrap()
}

/// The same values with a transposed and offset layout (rank at least 2).
pub fn scattered(tensor: &Tensor) -> Tensor {
    let last = tensor.rank() - 1;
    let padded = tensor.pad_with_zeros(last, 2, 1).unwrap().transpose(0, last).unwrap().contiguous().unwrap();
    padded.transpose(0, last).unwrap().narrow(last, 2, tensor.dims()[last]).unwrap()
}
