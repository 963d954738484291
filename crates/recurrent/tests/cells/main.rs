//! The cells that torch.nn does not have, and what regularises any cell: values, gradients, names, lengths.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod regularisation;

use candle_core::{DType, Device, Tensor, Var};
use candlewick_parameters::{Mode, Parameters, Rng};
use candlewick_recurrent::{
    Cell, CellConfig, CellState, LayerNormLstmCell, Lstm, LstmCell, LstmVariant, LstmVariantCell, Mutant, MutantCell,
    NasCell, Stack, StackConfig,
};
use std::collections::HashMap;

const D: usize = 3;
const H: usize = 4;

fn fixture(name: &str) -> HashMap<String, Tensor> {
    let path = format!("{}/tests/fixtures/{name}.safetensors", env!("CARGO_MANIFEST_DIR"));
    candle_core::safetensors::load(path, &Device::Cpu).unwrap()
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn assert_close(found: &Tensor, wanted: &Tensor, what: &str) {
    assert_eq!(found.dims(), wanted.dims(), "{what}");
    for (i, (found, wanted)) in flat(found).iter().zip(flat(wanted)).enumerate() {
        assert!((found - wanted).abs() <= 1e-5 * wanted.abs().max(1.0), "{what} at {i}: {found} instead of {wanted}");
    }
}

fn normal(name: &str, shape: &[usize]) -> Tensor {
    Rng::derive(7, name, 0).normal_tensor(0.0, 1.0, shape, &Device::Cpu).unwrap()
}

/// A case of a fixture: its tensors by their names within it.
fn case(all: &HashMap<String, Tensor>, case: &str) -> HashMap<String, Tensor> {
    let prefix = format!("{case}.");
    all.iter().filter_map(|(name, t)| Some((name.strip_prefix(&prefix)?.to_owned(), t.clone()))).collect()
}

/// The parameters take the fixture's values, and are exactly those that it has.
fn assign(parameters: &Parameters, wanted: &HashMap<String, Tensor>) {
    let mut names = parameters.names();
    names.sort();
    let mut given: Vec<_> =
        wanted.keys().filter(|name| name.starts_with("weight") || name.starts_with("bias")).collect();
    given.sort();
    assert_eq!(names.iter().collect::<Vec<_>>(), given);
    for (name, var) in parameters.trainable() {
        var.set(&wanted[&name]).unwrap();
    }
}

/// Outputs as wanted, and the gradients of the sum of outputs times factors as wanted, for every input and parameter.
fn check(outputs: &[Tensor], inputs: &[(String, Var)], wanted: &HashMap<String, Tensor>, what: &str) {
    let mut loss = Tensor::zeros((), DType::F32, &Device::Cpu).unwrap();
    for (i, output) in outputs.iter().enumerate() {
        assert_close(output, &wanted[&format!("output_{i}")], &format!("{what} output {i}"));
        loss = (loss + (output * &wanted[&format!("factor_{i}")]).unwrap().sum_all().unwrap()).unwrap();
    }
    assert_eq!(inputs.len(), wanted.keys().filter(|name| name.starts_with("d_")).count());
    let store = loss.backward().unwrap();
    for (name, var) in inputs {
        let found = store.get(var.as_tensor()).unwrap();
        assert_close(found, &wanted[&format!("d_{name}")], &format!("{what} gradient of {name}"));
    }
}

/// The fixture's x and states as variables.
fn given(wanted: &HashMap<String, Tensor>) -> (Var, Vec<Var>) {
    let var = |tensor: &Tensor| Var::from_tensor(tensor).unwrap();
    (var(&wanted["x"]), (0..3).filter_map(|i| wanted.get(&format!("state_{i}"))).map(var).collect())
}

fn named(x: Var, states: Vec<Var>, parameters: &Parameters) -> Vec<(String, Var)> {
    let states = states.into_iter().enumerate().map(|(i, state)| (format!("state_{i}"), state));
    std::iter::once(("x".to_owned(), x)).chain(states).chain(parameters.trainable()).collect()
}

fn tensors(vars: &[Var]) -> Vec<Tensor> {
    vars.iter().map(|var| var.as_tensor().clone()).collect()
}

/// A cell over a sequence has the values and gradients of the formula in float64.
fn check_cell<C: Cell>(file: &str, name: &str, config: &CellConfig) {
    let wanted = case(&fixture(file), name);
    let parameters = Parameters::new(1);
    let config = CellConfig { bias: wanted.keys().any(|name| name.starts_with("bias")), ..config.clone() };
    let d = wanted["x"].dim(2).unwrap();
    let cell = C::new(d, H, &config, parameters.builder(&Device::Cpu)).unwrap();
    assign(&parameters, &wanted);
    let (x, states) = given(&wanted);
    let state = C::State::from_tensors(&tensors(&states)).unwrap();
    let (out, last) = cell.sequence(&x, &state, None, false).unwrap();
    let outputs: Vec<Tensor> = std::iter::once(out).chain(last.tensors()).collect();
    check(&outputs, &named(x, states, &parameters), &wanted, name);
}

fn variant(variant: LstmVariant) -> CellConfig {
    CellConfig { variant, ..CellConfig::default() }
}

fn mutant(mutant: Mutant) -> CellConfig {
    CellConfig { mutant, ..CellConfig::default() }
}

/// All variants of the LSTM and the words of the fixture for them.
const VARIANTS: [(&str, LstmVariant); 8] = [
    ("vanilla", LstmVariant::Vanilla),
    ("nig", LstmVariant::NoInputGate),
    ("nfg", LstmVariant::NoForgetGate),
    ("nog", LstmVariant::NoOutputGate),
    ("niaf", LstmVariant::NoInputActivation),
    ("noaf", LstmVariant::NoOutputActivation),
    ("cifg", LstmVariant::CoupledGates),
    ("fgr", LstmVariant::FullGateRecurrence),
];

const MUTANTS: [Mutant; 3] = [Mutant::Mut1, Mutant::Mut2, Mutant::Mut3];

#[test]
fn the_variants_of_the_lstm_have_the_papers_values_and_gradients() {
    for (index, (name, which)) in VARIANTS.into_iter().enumerate() {
        let file = if index < 5 { "lstm_variants" } else { "lstm_variants_more" };
        check_cell::<LstmVariantCell>(file, name, &variant(which));
    }
    for name in ["np", "bare"] {
        let config = CellConfig { peepholes: false, ..variant(LstmVariant::Vanilla) };
        check_cell::<LstmVariantCell>("lstm_variants_more", name, &config);
    }
}

#[test]
fn without_peepholes_the_vanilla_variant_is_the_lstm() {
    let parameters = Parameters::new(1);
    let config = CellConfig { peepholes: false, forget_bias: Some(1.0), ..CellConfig::default() };
    let plain = LstmCell::new(D, H, &config, parameters.builder(&Device::Cpu)).unwrap();
    let variant = LstmVariantCell::new(D, H, &config, parameters.builder(&Device::Cpu)).unwrap();
    assert_eq!(parameters.names(), ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]);
    let x = normal("x", &[2, 5, D]);
    let run = plain.sequence(&x, &plain.zero_state(2, DType::F32, &Device::Cpu).unwrap(), None, false).unwrap();
    let other = variant.sequence(&x, &variant.zero_state(2, DType::F32, &Device::Cpu).unwrap(), None, false).unwrap();
    assert_close(&other.0, &run.0, "outputs");
    assert_close(&other.1.c, &run.1.c, "memory");
}

#[test]
fn the_mutants_have_the_papers_values_and_gradients() {
    for (which, name) in MUTANTS.into_iter().zip(["mut1", "mut2", "mut3"]) {
        check_cell::<MutantCell>("mutants", name, &mutant(which));
        check_cell::<MutantCell>("mutants", &format!("{name}_square"), &mutant(which));
    }
}

#[test]
fn nas_and_layer_norm_have_their_papers_values_and_gradients() {
    let config = CellConfig::default();
    for name in ["nas", "nas_bare"] {
        check_cell::<NasCell>("nas_and_layer_norm", name, &config);
    }
    for name in ["layer_norm", "layer_norm_bare"] {
        check_cell::<LayerNormLstmCell>("nas_and_layer_norm", name, &config);
    }
}

#[test]
fn a_projected_stack_is_pytorchs() {
    let all = fixture("projected");
    let whole = case(&all, "whole");
    for (name, lengths) in [("whole", None), ("lengths", Some(&[1, 3][..]))] {
        let mut wanted = whole.clone();
        wanted.extend(case(&all, name));
        let parameters = Parameters::new(1);
        let config = StackConfig { num_layers: 2, bidirectional: true, proj_size: Some(2), ..StackConfig::default() };
        let stack = Lstm::new(D, H, &config, parameters.builder(&Device::Cpu)).unwrap();
        assert_eq!(stack.output_size(), 4);
        assign(&parameters, &wanted);
        let (x, states) = given(&wanted);
        let state: Vec<_> = (0..4)
            .map(|k| CellState::from_tensors(&states.iter().map(|s| s.get(k).unwrap()).collect::<Vec<_>>()).unwrap())
            .collect();
        let (out, last) = stack.forward(&x, Some(&state), lengths, &mut Mode::Eval).unwrap();
        let stacked = |k: usize| {
            Tensor::stack(&last.iter().map(|state| state.tensors()[k].clone()).collect::<Vec<_>>(), 0).unwrap()
        };
        check(&[out, stacked(0), stacked(1)], &named(x, states, &parameters), &wanted, name);
    }
}

/// The sequence of a cell, with lengths and in both directions, against candle's own graph of its steps, row by row.
fn check_steps<C: Cell>(config: &CellConfig) {
    const LENGTHS: [usize; 3] = [2, 4, 3];
    let parameters = Parameters::new(3);
    let cell = C::new(D, H, config, parameters.builder(&Device::Cpu)).unwrap();
    let x = Var::from_tensor(&normal("x", &[3, 4, D])).unwrap();
    let zero = cell.zero_state(3, DType::F32, &Device::Cpu).unwrap().tensors();
    let first: Vec<Var> = (zero.iter().enumerate())
        .map(|(k, zero)| Var::from_tensor(&normal(&format!("state {k}"), zero.dims())).unwrap())
        .collect();
    let mut inputs = named(x.clone(), first.clone(), &parameters);
    for reverse in [false, true] {
        let state = C::State::from_tensors(&tensors(&first)).unwrap();
        let (out, last) = cell.sequence(&x, &state, Some(&LENGTHS), reverse).unwrap();
        let mut loss = out.sqr().unwrap().sum_all().unwrap();
        let mut by_hand = Tensor::zeros((), DType::F32, &Device::Cpu).unwrap();
        for last in last.tensors() {
            loss = (loss + last.sqr().unwrap().sum_all().unwrap()).unwrap();
        }
        for (row, &length) in LENGTHS.iter().enumerate() {
            let at = |tensor: &Tensor| tensor.narrow(0, row, 1).unwrap();
            let mut state = C::State::from_tensors(&first.iter().map(|s| at(s)).collect::<Vec<_>>()).unwrap();
            let order: Vec<usize> = if reverse { (0..length).rev().collect() } else { (0..length).collect() };
            for t in order {
                state = cell.step(&at(&x).narrow(1, t, 1).unwrap().squeeze(1).unwrap(), &state).unwrap();
                let output = &state.tensors()[0];
                assert_close(&at(&out).narrow(1, t, 1).unwrap().squeeze(1).unwrap(), output, "output");
                by_hand = (by_hand + output.sqr().unwrap().sum_all().unwrap()).unwrap();
            }
            let beyond = at(&out).narrow(1, length, 4 - length).unwrap();
            assert!(flat(&beyond).iter().all(|&value| value == 0.0));
            for (stepped, last) in state.tensors().iter().zip(last.tensors()) {
                assert_close(&at(&last), stepped, "last state");
                by_hand = (by_hand + stepped.sqr().unwrap().sum_all().unwrap()).unwrap();
            }
        }
        let (found, wanted) = (loss.backward().unwrap(), by_hand.backward().unwrap());
        for (name, var) in &mut inputs {
            assert_close(found.get(var.as_tensor()).unwrap(), wanted.get(var.as_tensor()).unwrap(), name);
        }
    }
}

/// A change of each kind of input moves the loss as its gradient says.
fn check_differences<C: Cell>(config: &CellConfig) {
    let parameters = Parameters::new(3);
    let cell = C::new(D, H, config, parameters.builder(&Device::Cpu)).unwrap();
    let x = Var::from_tensor(&normal("x", &[2, 4, D])).unwrap();
    let zero = cell.zero_state(2, DType::F32, &Device::Cpu).unwrap();
    let factors = normal("factors", &[2, 4, H]);
    let loss = || (cell.sequence(&x, &zero, None, false).unwrap().0 * &factors).unwrap().sum_all().unwrap();
    let store = loss().backward().unwrap();
    for (name, var) in named(x.clone(), vec![], &parameters) {
        let (values, direction) = (var.as_detached_tensor().copy().unwrap(), normal(&name, var.dims()));
        let moved = |step: f64| {
            var.set(&(&values + (&direction * step).unwrap()).unwrap()).unwrap();
            f64::from(loss().to_scalar::<f32>().unwrap())
        };
        let difference = (moved(1e-3) - moved(-1e-3)) / 2e-3;
        var.set(&values).unwrap();
        let slope = (store.get(var.as_tensor()).unwrap() * direction).unwrap().sum_all().unwrap();
        let slope = f64::from(slope.to_scalar::<f32>().unwrap());
        assert!((difference - slope).abs() < 1e-2 * slope.abs().max(0.3), "{name}: {difference} instead of {slope}");
    }
}

#[test]
fn sequences_are_their_steps_with_lengths_in_both_directions() {
    for (_, which) in VARIANTS {
        check_steps::<LstmVariantCell>(&variant(which));
    }
    for which in MUTANTS {
        check_steps::<MutantCell>(&mutant(which));
    }
    check_steps::<NasCell>(&CellConfig::default());
    check_steps::<LayerNormLstmCell>(&CellConfig::default());
    check_steps::<LstmCell>(&CellConfig { proj_size: Some(2), ..CellConfig::default() });
}

#[test]
fn gradients_are_those_of_finite_differences() {
    check_differences::<LstmVariantCell>(&variant(LstmVariant::FullGateRecurrence));
    check_differences::<MutantCell>(&mutant(Mutant::Mut2));
    check_differences::<LayerNormLstmCell>(&CellConfig::default());
}

#[test]
fn every_cell_stacks_and_is_saved_and_loaded_under_its_names() {
    fn check<C: Cell>(config: &CellConfig, names: &[&str]) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("model.safetensors");
        let CellConfig { variant, mutant, .. } = *config;
        let config = StackConfig { num_layers: 2, bidirectional: true, variant, mutant, ..StackConfig::default() };
        let x = normal("x", &[2, 4, D]);
        let run = |parameters: &Parameters| {
            let stack = Stack::<C>::new(D, H, &config, parameters.builder(&Device::Cpu)).unwrap();
            flat(&stack.forward(&x, None, Some(&[4, 2]), &mut Mode::Eval).unwrap().0)
        };
        let fresh = Parameters::new(2);
        let before = run(&fresh);
        let suffixes = ["_l0", "_l0_reverse", "_l1", "_l1_reverse"];
        let wanted: Vec<String> = suffixes.iter().flat_map(|s| names.iter().map(move |n| format!("{n}{s}"))).collect();
        assert_eq!(fresh.names(), wanted);
        fresh.save(&file).unwrap();
        let loaded = Parameters::from_safetensors(&file).unwrap();
        assert_eq!(before, run(&loaded));
        loaded.verify().unwrap();
    }
    let torch = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"];
    for (_, which) in VARIANTS {
        let extra =
            if which == LstmVariant::FullGateRecurrence { &["weight_ch", "weight_gh"][..] } else { &["weight_ch"] };
        check::<LstmVariantCell>(&variant(which), &[&torch, extra].concat());
    }
    check::<MutantCell>(&mutant(Mutant::Mut1), &["weight_ih", "weight_hh", "bias", "weight_x"]);
    check::<MutantCell>(&mutant(Mutant::Mut3), &["weight_ih", "weight_hh", "bias"]);
    check::<NasCell>(&CellConfig::default(), &["weight_ih", "weight_hh", "bias_hh"]);
    let norms = ["weight_ln_ih", "bias_ln_ih", "weight_ln_hh", "bias_ln_hh", "weight_ln_c", "bias_ln_c"];
    check::<LayerNormLstmCell>(&CellConfig::default(), &[&["weight_ih", "weight_hh"][..], &norms].concat());
}

#[test]
fn the_forget_gate_starts_as_told_wherever_it_lies() {
    let forget = |config: CellConfig| {
        let parameters = Parameters::new(1);
        let config = CellConfig { forget_bias: Some(2.0), ..config };
        LstmVariantCell::new(D, H, &config, parameters.builder(&Device::Cpu)).unwrap();
        let values: HashMap<String, Var> = parameters.trainable().into_iter().collect();
        flat(&(values["bias_ih"].as_tensor() + values["bias_hh"].as_tensor()).unwrap())
    };
    let twos = |values: &[f32]| values.iter().filter(|&&value| value == 2.0).count();
    let bias = forget(variant(LstmVariant::NoInputGate));
    assert_eq!((twos(&bias[..H]), twos(&bias)), (H, H));
    let bias = forget(variant(LstmVariant::NoOutputGate));
    assert_eq!((twos(&bias[H..2 * H]), twos(&bias)), (H, H));
    assert_eq!(twos(&forget(variant(LstmVariant::CoupledGates))), 0);
}
