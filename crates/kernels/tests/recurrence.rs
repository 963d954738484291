//! The recurrence and additive attention against PyTorch, in f32 (our kernels) and f64 (the reference).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use candle_core::{DType, Device, Tensor, Var};
use candlewick_kernels::additive_attention::additive;
use candlewick_kernels::recurrence::{Nonlinearity, gru, lstm, rnn};
use std::collections::HashMap;

const LENGTHS: [usize; 3] = [3, 5, 1];

fn fixture(name: &str, dtype: DType) -> HashMap<String, Tensor> {
    let path = format!("{}/tests/fixtures/{name}.safetensors", env!("CARGO_MANIFEST_DIR"));
    let tensors = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
    tensors.into_iter().map(|(name, tensor)| (name, tensor.to_dtype(dtype).unwrap())).collect()
}

fn assert_close(found: &Tensor, wanted: &Tensor, what: &str) {
    assert_eq!(found.dims(), wanted.dims(), "{what}");
    let flat = |tensor: &Tensor| tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
    for (i, (found, wanted)) in flat(found).iter().zip(flat(wanted)).enumerate() {
        assert!((found - wanted).abs() <= 1e-5 * wanted.abs().max(1.0), "{what} at {i}: {found} instead of {wanted}");
    }
}

fn check(kind: &str, direction: usize, case: &str, dtype: DType) {
    let fixture = fixture("recurrence", dtype);
    let get = |name: &str| fixture.get(&format!("{kind}.{name}")).unwrap().clone();
    let here = |name: &str| get(&format!("{direction}.{name}"));
    let var = |tensor: Tensor| Var::from_tensor(&tensor).unwrap();
    let (x, w, h0) = (var(get("x")), var(here("w_hh")), var(here("state_0")));
    let (lengths, reverse) = ((case == "lengths").then_some(&LENGTHS[..]), direction == 1);
    let mut inputs = vec![("x", x.clone()), ("w_hh", w.clone()), ("state_0", h0.clone())];
    let outputs = match kind {
        "lstm" => {
            inputs.push(("state_1", var(here("state_1"))));
            let (out, h, c) = lstm(&x, &w, &h0, &inputs[3].1, lengths, reverse).unwrap();
            vec![out, h, c]
        }
        "gru" => {
            inputs.push(("b_hh", var(here("b_hh"))));
            let (out, h) = gru(&x, &w, Some(inputs[3].1.as_tensor()), &h0, lengths, reverse).unwrap();
            vec![out, h]
        }
        _ => {
            let nonlinearity = if kind == "rnn_relu" { Nonlinearity::Relu } else { Nonlinearity::Tanh };
            let (out, h) = rnn(&x, &w, &h0, nonlinearity, lengths, reverse).unwrap();
            vec![out, h]
        }
    };
    let what = format!("{kind} {direction} {case} {dtype:?}");
    let mut loss = Tensor::zeros((), dtype, &Device::Cpu).unwrap();
    for (i, output) in outputs.iter().enumerate() {
        assert_close(output, &here(&format!("{case}.output_{i}")), &format!("{what} output {i}"));
        loss = (loss + (output * get(&format!("weight_{i}"))).unwrap().sum_all().unwrap()).unwrap();
    }
    let store = loss.backward().unwrap();
    for (name, var) in inputs {
        let wanted = here(&format!("{case}.d_{name}"));
        assert_close(store.get(var.as_tensor()).unwrap(), &wanted, &format!("{what} gradient of {name}"));
    }
}

#[test]
fn recurrences_equal_pytorchs_with_lengths_and_both_ways() {
    for kind in ["rnn_tanh", "rnn_relu", "lstm", "gru"] {
        for case in ["whole", "lengths"] {
            for (direction, dtype) in [(0, DType::F32), (1, DType::F32), (0, DType::F64), (1, DType::F64)] {
                check(kind, direction, case, dtype);
            }
        }
    }
}

#[test]
fn attention_equals_pytorchs() {
    for dtype in [DType::F32, DType::F64] {
        let fixture = fixture("attend", dtype);
        let names = ["keys", "query", "v", "annotations"];
        let inputs: Vec<Var> = names.iter().map(|&name| Var::from_tensor(&fixture[name]).unwrap()).collect();
        let (context, alpha) = additive(&inputs[0], &inputs[1], &inputs[2], &inputs[3]).unwrap();
        assert_close(&context, &fixture["context"], "context");
        assert_close(&alpha, &fixture["alpha"], "alpha");
        let parts = [(&context * &fixture["weight_0"]).unwrap(), (&alpha * &fixture["weight_1"]).unwrap()];
        let loss = (parts[0].sum_all().unwrap() + parts[1].sum_all().unwrap()).unwrap();
        let store = loss.backward().unwrap();
        for (name, var) in names.iter().zip(&inputs) {
            assert_close(store.get(var.as_tensor()).unwrap(), &fixture[&format!("d_{name}")], name);
        }
    }
}
