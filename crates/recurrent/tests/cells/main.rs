//! The cells that torch.nn does not have, and what regularises any cell: values, gradients, names, lengths.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod min_rnns;
mod regularisation;

use candle_core::{DType, Device, Tensor, Var};
use candlewick_parameters::{Mode, Parameters, Rng};
use candlewick_recurrent::lstm::C;
use candlewick_recurrent::{
    BuildCell, Cell, JozefowiczCell, JozefowiczConfig, LayerNormLstmCell, LayerNormLstmConfig, Lstm, LstmCell,
    LstmConfig, LstmVariant, LstmVariantCell, LstmVariantConfig, MinGruCell, MinLstmCell, Mutant, NasCell, NasConfig,
    SequenceLayer, Settings, Stack, StackConfig, recurrent_cell, sequence_layers,
};
use candlewick_testing::{flat, tensors as fixture};
use std::collections::HashMap;

const D: usize = 3;
const H: usize = 4;

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

/// A cell over a sequence has the values and gradients of the formula in float64; `config` is given whether there is a bias.
fn check_cell<C: BuildCell>(file: &str, name: &str, config: impl Fn(bool) -> C::Config) {
    let wanted = case(&fixture(file), name);
    let parameters = Parameters::new(1);
    let config = config(wanted.keys().any(|name| name.starts_with("bias")));
    let d = wanted["x"].dim(2).unwrap();
    let cell = C::new(d, H, &config, parameters.builder(&Device::Cpu)).unwrap();
    assign(&parameters, &wanted);
    let (x, states) = given(&wanted);
    let (out, last) = cell.sequence(&x, &tensors(&states), None, false).unwrap();
    let outputs: Vec<Tensor> = std::iter::once(out).chain(last).collect();
    check(&outputs, &named(x, states, &parameters), &wanted, name);
}

fn variant(variant: LstmVariant) -> LstmVariantConfig {
    LstmVariantConfig { variant, ..LstmVariantConfig::default() }
}

fn mutant(mutant: Mutant) -> JozefowiczConfig {
    JozefowiczConfig { mutant, ..JozefowiczConfig::default() }
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
        check_cell::<LstmVariantCell>(file, name, |bias| LstmVariantConfig { bias, ..variant(which) });
    }
    for name in ["np", "bare"] {
        let config = |bias| LstmVariantConfig { peepholes: false, bias, ..LstmVariantConfig::default() };
        check_cell::<LstmVariantCell>("lstm_variants_more", name, config);
    }
}

#[test]
fn a_name_says_which_variant_or_mutant_it_is() {
    fn check<C: BuildCell>(name: &str, config: &C::Config) {
        let x = normal("x", &[2, 5, D]);
        let read = |cell: &dyn Cell| {
            let state = cell.zero_state(2, DType::F32, &Device::Cpu).unwrap();
            flat(&cell.sequence(&x, &state, None, false).unwrap().0)
        };
        let (vb, same) = (Parameters::new(1).builder(&Device::Cpu), Parameters::new(1).builder(&Device::Cpu));
        let by_name = recurrent_cell(name, D, H, &Settings::default(), vb).unwrap();
        assert_eq!(read(by_name.as_ref()), read(&C::new(D, H, config, same).unwrap()), "{name}");
    }
    for (name, which) in VARIANTS {
        let name = if which == LstmVariant::Vanilla { "v" } else { name };
        check::<LstmVariantCell>(&format!("lstm_{name}"), &variant(which));
    }
    for (which, name) in MUTANTS.into_iter().zip(["mut1", "mut2", "mut3"]) {
        check::<JozefowiczCell>(name, &mutant(which));
    }
}

#[test]
fn without_peepholes_the_vanilla_variant_is_the_lstm() {
    let parameters = Parameters::new(1);
    let forget_bias = Some(1.0);
    let config = LstmConfig { forget_bias, ..LstmConfig::default() };
    let plain = LstmCell::new(D, H, &config, parameters.builder(&Device::Cpu)).unwrap();
    let config = LstmVariantConfig { peepholes: false, forget_bias, ..LstmVariantConfig::default() };
    let variant = LstmVariantCell::new(D, H, &config, parameters.builder(&Device::Cpu)).unwrap();
    assert_eq!(parameters.names(), ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]);
    let x = normal("x", &[2, 5, D]);
    let run = plain.sequence(&x, &plain.zero_state(2, DType::F32, &Device::Cpu).unwrap(), None, false).unwrap();
    let other = variant.sequence(&x, &variant.zero_state(2, DType::F32, &Device::Cpu).unwrap(), None, false).unwrap();
    assert_close(&other.0, &run.0, "outputs");
    assert_close(&other.1[C], &run.1[C], "memory");
}

#[test]
fn the_mutants_have_the_papers_values_and_gradients() {
    for (which, name) in MUTANTS.into_iter().zip(["mut1", "mut2", "mut3"]) {
        let config = |bias| JozefowiczConfig { bias, ..mutant(which) };
        check_cell::<JozefowiczCell>("mutants", name, config);
        check_cell::<JozefowiczCell>("mutants", &format!("{name}_square"), config);
    }
}

#[test]
fn nas_and_layer_norm_have_their_papers_values_and_gradients() {
    for name in ["nas", "nas_bare"] {
        check_cell::<NasCell>("nas_and_layer_norm", name, |bias| NasConfig { bias, ..NasConfig::default() });
    }
    for name in ["layer_norm", "layer_norm_bare"] {
        let config = |bias| LayerNormLstmConfig { bias, ..LayerNormLstmConfig::default() };
        check_cell::<LayerNormLstmCell>("nas_and_layer_norm", name, config);
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
        let cell = LstmConfig { proj_size: Some(2), ..LstmConfig::default() };
        let config = StackConfig { cell, num_layers: 2, bidirectional: true, ..StackConfig::default() };
        let stack = Lstm::new(D, H, &config, parameters.builder(&Device::Cpu)).unwrap();
        assert_eq!(stack.output_size(), 4);
        assign(&parameters, &wanted);
        let (x, states) = given(&wanted);
        let state: Vec<_> = (0..4).map(|k| states.iter().map(|s| s.get(k).unwrap()).collect::<Vec<_>>()).collect();
        let (out, last) = stack.forward(&x, Some(&state), lengths, &mut Mode::Eval).unwrap();
        let stacked =
            |k: usize| Tensor::stack(&last.iter().map(|state| state[k].clone()).collect::<Vec<_>>(), 0).unwrap();
        check(&[out, stacked(0), stacked(1)], &named(x, states, &parameters), &wanted, name);
    }
}

/// The sequence of a cell, with lengths and in both directions, against candle's own graph of its steps, row by row; and its fused step.
fn check_steps(what: &str, cell: &dyn Cell, parameters: &Parameters, dtype: DType) {
    const LENGTHS: [usize; 3] = [2, 4, 3];
    let var = |name: &str, shape: &[usize]| Var::from_tensor(&normal(name, shape).to_dtype(dtype).unwrap()).unwrap();
    let x = var("x", &[3, 4, D]);
    let first: Vec<Var> =
        (cell.state_sizes().into_iter().enumerate()).map(|(k, size)| var(&format!("state {k}"), &[3, size])).collect();
    let inputs = named(x.clone(), first.clone(), parameters);
    for reverse in [false, true] {
        let (out, last) = cell.sequence(&x, &tensors(&first), Some(&LENGTHS), reverse).unwrap();
        let mut loss = out.sqr().unwrap().sum_all().unwrap();
        let mut by_hand = Tensor::zeros((), dtype, &Device::Cpu).unwrap();
        for last in &last {
            loss = (loss + last.sqr().unwrap().sum_all().unwrap()).unwrap();
        }
        for (row, &length) in LENGTHS.iter().enumerate() {
            let at = |tensor: &Tensor| tensor.narrow(0, row, 1).unwrap();
            let mut state: Vec<Tensor> = first.iter().map(|state| at(state)).collect();
            let order: Vec<usize> = if reverse { (0..length).rev().collect() } else { (0..length).collect() };
            for t in order {
                let x = at(&x).narrow(1, t, 1).unwrap().squeeze(1).unwrap();
                let fused = cell.fused_step(&x, &state).unwrap();
                state = cell.step(&x, &state).unwrap();
                for (fused, stepped) in fused.iter().zip(&state) {
                    assert_close(fused, stepped, &format!("{what}: fused step"));
                }
                let found = at(&out).narrow(1, t, 1).unwrap().squeeze(1).unwrap();
                assert_close(&found, &state[0], &format!("{what}: output"));
                by_hand = (by_hand + state[0].sqr().unwrap().sum_all().unwrap()).unwrap();
            }
            let beyond = at(&out).narrow(1, length, 4 - length).unwrap();
            assert!(flat(&beyond).iter().all(|&value| value == 0.0), "{what}");
            for (stepped, last) in state.iter().zip(&last) {
                assert_close(&at(last), stepped, &format!("{what}: last state"));
                by_hand = (by_hand + stepped.sqr().unwrap().sum_all().unwrap()).unwrap();
            }
        }
        let (found, wanted) = (loss.backward().unwrap(), by_hand.backward().unwrap());
        for (name, var) in &inputs {
            let (found, wanted) = (found.get(var.as_tensor()).unwrap(), wanted.get(var.as_tensor()).unwrap());
            assert_close(found, wanted, &format!("{what}: {name}"));
        }
    }
}

/// A change of each kind of input moves the loss as its gradient says.
fn check_differences<C: BuildCell>(config: &C::Config) {
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
    let mut cells = 0;
    for name in sequence_layers() {
        // The kernels take f32, candle's operations f64.
        for (bias, dtype) in [(true, DType::F32), (false, DType::F32), (true, DType::F64)] {
            let parameters = Parameters::new(3);
            let settings = Settings::default().with("bias", bias);
            let vb = parameters.builder(&Device::Cpu).to_dtype(dtype);
            // Those that are not recurrent have neither cells nor this setting.
            let Ok(cell) = recurrent_cell(name, D, H, &settings, vb) else { continue };
            check_steps(name, cell.as_ref(), &parameters, dtype);
            cells += 1;
        }
    }
    assert_eq!(cells, 3 * (sequence_layers().len() - 2));
    let parameters = Parameters::new(3);
    let config = LstmConfig { proj_size: Some(2), ..LstmConfig::default() };
    let projected = LstmCell::new(D, H, &config, parameters.builder(&Device::Cpu)).unwrap();
    check_steps("projected", &projected, &parameters, DType::F32);
}

#[test]
fn gradients_are_those_of_finite_differences() {
    check_differences::<LstmVariantCell>(&variant(LstmVariant::FullGateRecurrence));
    check_differences::<JozefowiczCell>(&mutant(Mutant::Mut2));
    check_differences::<LayerNormLstmCell>(&LayerNormLstmConfig::default());
    check_differences::<MinGruCell>(&Default::default());
    check_differences::<MinLstmCell>(&Default::default());
}

#[test]
fn every_cell_stacks_and_is_saved_and_loaded_under_its_names() {
    fn check<C: BuildCell>(config: &C::Config, names: &[&str]) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("model.safetensors");
        let config = StackConfig { cell: config.clone(), num_layers: 2, bidirectional: true, ..StackConfig::default() };
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
    check::<JozefowiczCell>(&mutant(Mutant::Mut1), &["weight_ih", "weight_hh", "bias", "weight_x"]);
    check::<JozefowiczCell>(&mutant(Mutant::Mut3), &["weight_ih", "weight_hh", "bias"]);
    check::<NasCell>(&NasConfig::default(), &["weight_ih", "weight_hh", "bias_hh"]);
    let norms = ["weight_ln_ih", "bias_ln_ih", "weight_ln_hh", "bias_ln_hh", "weight_ln_c", "bias_ln_c"];
    check::<LayerNormLstmCell>(&LayerNormLstmConfig::default(), &[&["weight_ih", "weight_hh"][..], &norms].concat());
    check::<MinGruCell>(&Default::default(), &["weight_ih", "bias_ih"]);
    check::<MinLstmCell>(&Default::default(), &["weight_ih", "bias_ih"]);
}

#[test]
fn the_forget_gate_starts_as_told_wherever_it_lies() {
    let build = |which, parameters: &Parameters| {
        let config = LstmVariantConfig { forget_bias: Some(2.0), ..variant(which) };
        LstmVariantCell::new(D, H, &config, parameters.builder(&Device::Cpu))
    };
    let forget = |which| {
        let parameters = Parameters::new(1);
        build(which, &parameters).unwrap();
        let values: HashMap<String, Var> = parameters.trainable().into_iter().collect();
        flat(&(values["bias_ih"].as_tensor() + values["bias_hh"].as_tensor()).unwrap())
    };
    let twos = |values: &[f32]| values.iter().filter(|&&value| value == 2.0).count();
    let bias = forget(LstmVariant::NoInputGate);
    assert_eq!((twos(&bias[..H]), twos(&bias)), (H, H));
    let bias = forget(LstmVariant::NoOutputGate);
    assert_eq!((twos(&bias[H..2 * H]), twos(&bias)), (H, H));
    let fault = build(LstmVariant::CoupledGates, &Parameters::new(1)).unwrap_err().to_string();
    assert!(fault.contains("forget_bias is 2.0"), "{fault}");
}
