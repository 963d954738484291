//! Stacks, cells and attention against PyTorch: checkpoints, values and gradients.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use candle_core::{DType, Device, Module, Result, Tensor, Var};
use candle_nn::ops::sigmoid;
use candlewick_kernels::recurrence::Nonlinearity;
use candlewick_parameters::{Initial, Mode, ParameterBuilder, Parameters, Rng};
use candlewick_recurrent::{
    AdditiveAttention, AttentionMemory, BuildCell, Cell, Embedding, Gru, GruCell, GruConfig, Linear, Lstm, LstmCell,
    LstmConfig, RnnCell, RnnConfig, SequenceLayer, Stack, StackConfig, SuffixedBuilder,
};
use candlewick_testing::{fixture, flat, tensors};
use std::collections::HashMap;

const D: usize = 3;
const H: usize = 4;
const LENGTHS: [usize; 3] = [2, 4, 3];

fn assert_close(found: &Tensor, wanted: &Tensor, what: &str) {
    assert_eq!(found.dims(), wanted.dims(), "{what}");
    for (i, (found, wanted)) in flat(found).iter().zip(flat(wanted)).enumerate() {
        assert!((found - wanted).abs() <= 1e-5 * wanted.abs().max(1.0), "{what} at {i}: {found} instead of {wanted}");
    }
}

fn var(tensor: &Tensor) -> Var {
    Var::from_tensor(tensor).unwrap()
}

/// Tensors of all states, kind by kind: every h (L · directions, N, H), then every c.
fn stacked(states: &[Vec<Tensor>]) -> Vec<Tensor> {
    (0..states[0].len())
        .map(|i| Tensor::stack(&states.iter().map(|state| &state[i]).collect::<Vec<_>>(), 0).unwrap())
        .collect()
}

/// A checkpoint saved by PyTorch, two layers both ways, gives PyTorch's outputs and gradients.
fn check_stack<C: BuildCell>(name: &str, config: &StackConfig<C::Config>, case: &str) {
    let parameters = Parameters::from_safetensors(fixture(&format!("{name}.safetensors"))).unwrap();
    let stack = Stack::<C>::new(D, H, config, parameters.builder(&Device::Cpu)).unwrap();
    parameters.verify().unwrap();
    let expected = tensors(&format!("{name}_expected"));
    let x = var(&expected["x"]);
    let given: Vec<Var> = (0..2).filter_map(|i| expected.get(&format!("state_{i}"))).map(var).collect();
    let states: Vec<Vec<Tensor>> =
        (0..4).map(|at| given.iter().map(|state| state.get(at).unwrap()).collect()).collect();
    let lengths = (case == "lengths").then_some(&LENGTHS[..]);
    let (out, last) = stack.forward(&x, Some(&states), lengths, &mut Mode::Eval).unwrap();
    let outputs: Vec<Tensor> = std::iter::once(out).chain(stacked(&last)).collect();
    let mut loss = Tensor::zeros((), DType::F32, &Device::Cpu).unwrap();
    for (i, output) in outputs.iter().enumerate() {
        assert_close(output, &expected[&format!("{case}.output_{i}")], &format!("{name} {case} output {i}"));
        loss = (loss + (output * &expected[&format!("weight_{i}")]).unwrap().sum_all().unwrap()).unwrap();
    }
    let store = loss.backward().unwrap();
    let mut inputs = vec![("x".to_owned(), x)];
    inputs.extend(given.into_iter().enumerate().map(|(i, state)| (format!("state_{i}"), state)));
    inputs.extend(parameters.trainable());
    assert_eq!(inputs.iter().filter(|(name, _)| name.contains("_l")).count(), 16);
    for (input, var) in inputs {
        let wanted = &expected[&format!("{case}.d_{input}")];
        assert_close(store.get(var.as_tensor()).unwrap(), wanted, &format!("{name} {case} gradient of {input}"));
    }
}

fn two_layers_both_ways<C: Default>() -> StackConfig<C> {
    StackConfig { num_layers: 2, bidirectional: true, ..StackConfig::default() }
}

#[test]
fn pytorchs_checkpoints_give_pytorchs_values_and_gradients() {
    for case in ["whole", "lengths"] {
        check_stack::<LstmCell>("lstm", &two_layers_both_ways(), case);
        check_stack::<GruCell>("gru", &two_layers_both_ways(), case);
        let cell = RnnConfig { nonlinearity: Nonlinearity::Relu, ..RnnConfig::default() };
        check_stack::<RnnCell>("rnn", &StackConfig { cell, ..two_layers_both_ways() }, case);
    }
}

#[test]
fn a_stack_is_saved_and_loaded_under_pytorchs_names() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.safetensors");
    let x = Rng::derive(1, "x", 0).normal_tensor(0.0, 1.0, (2, 5, D), &Device::Cpu).unwrap();
    let run = |parameters: &Parameters| {
        let stack = Lstm::new(D, H, &two_layers_both_ways(), parameters.builder(&Device::Cpu)).unwrap();
        stack.forward(&x, None, None, &mut Mode::Eval).unwrap().0
    };
    let fresh = Parameters::new(3);
    let before = run(&fresh);
    fresh.save(&file).unwrap();
    let loaded = Parameters::from_safetensors(&file).unwrap();
    assert_eq!(flat(&before), flat(&run(&loaded)));
    loaded.verify().unwrap();
    let mut names = fresh.names();
    names.sort();
    let mut torch: Vec<String> = tensors("lstm").into_keys().collect();
    torch.sort();
    assert_eq!(names, torch);
    // Uniform in ±1/√H.
    let bias = flat(&loaded.builder(&Device::Cpu).parameter(16, "bias_hh_l1", Initial::Constant(0.0)).unwrap());
    assert!(bias.iter().all(|value| value.abs() <= 0.5) && bias.iter().any(|value| value.abs() > 0.25));
}

#[test]
fn a_cell_alone_takes_the_steps_of_the_sequence() {
    fn check<C: BuildCell>() {
        let parameters = Parameters::new(1);
        let cell = C::new(D, H, &C::Config::default(), parameters.builder(&Device::Cpu)).unwrap();
        assert_eq!(parameters.names(), ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]);
        assert_eq!(cell.state_sizes()[0], H);
        let x = Rng::derive(1, "x", 0).normal_tensor(0.0, 1.0, (2, 3, D), &Device::Cpu).unwrap();
        let mut state = cell.zero_state(2, DType::F32, &Device::Cpu).unwrap();
        let (out, last) = cell.sequence(&x, &state, None, false).unwrap();
        for t in 0..3 {
            state = cell.step(&x.narrow(1, t, 1).unwrap().squeeze(1).unwrap(), &state).unwrap();
            assert_close(&state[0], &out.narrow(1, t, 1).unwrap().squeeze(1).unwrap(), "output");
        }
        for (stepped, last) in state.iter().zip(&last) {
            assert_close(stepped, last, "last state");
        }
    }
    check::<LstmCell>();
    check::<GruCell>();
    check::<RnnCell>();
}

#[test]
fn options_set_the_initial_values() {
    let parameters = Parameters::new(1);
    let config = LstmConfig { forget_bias: Some(1.0), orthogonal: true, ..LstmConfig::default() };
    LstmCell::new(D, H, &config, parameters.builder(&Device::Cpu)).unwrap();
    let values: HashMap<String, Var> = parameters.trainable().into_iter().collect();
    let sum = flat(&(values["bias_ih"].as_tensor() + values["bias_hh"].as_tensor()).unwrap());
    assert!(sum[H..2 * H].iter().all(|&value| value == 1.0));
    assert!(sum[..H].iter().all(|&value| value != 1.0 && value.abs() <= 1.0));
    for gate in 0..4 {
        let w = values["weight_hh"].narrow(0, gate * H, H).unwrap();
        let product = w.matmul(&w.t().unwrap()).unwrap();
        assert_close(&product, &Tensor::eye(H, DType::F32, &Device::Cpu).unwrap(), "orthogonal");
    }
    let bare = Parameters::new(1);
    GruCell::new(D, H, &GruConfig { bias: false, orthogonal: true }, bare.builder(&Device::Cpu)).unwrap();
    assert_eq!(bare.names(), ["weight_ih", "weight_hh"]);
}

#[test]
fn a_stack_without_bias_equals_one_with_zero_biases() {
    fn check<C: BuildCell>(cell: impl Fn(bool) -> C::Config) {
        let x = Rng::derive(1, "x", 0).normal_tensor(0.0, 1.0, (2, 3, D), &Device::Cpu).unwrap();
        let [bare, full] = [false, true].map(|bias| {
            let parameters = Parameters::new(1);
            let config = StackConfig { cell: cell(bias), ..StackConfig::default() };
            let stack = Stack::<C>::new(D, H, &config, parameters.builder(&Device::Cpu)).unwrap();
            for (name, var) in parameters.trainable() {
                if name.starts_with("bias") {
                    var.set(&var.zeros_like().unwrap()).unwrap();
                }
            }
            stack.forward(&x, None, None, &mut Mode::Eval).unwrap().0
        });
        assert_close(&bare, &full, "without bias");
    }
    check::<LstmCell>(|bias| LstmConfig { bias, ..LstmConfig::default() });
    check::<GruCell>(|bias| GruConfig { bias, ..GruConfig::default() });
    check::<RnnCell>(|bias| RnnConfig { bias, ..RnnConfig::default() });
}

#[test]
fn dropout_lies_between_layers_only_and_follows_its_generator() {
    let x = Rng::derive(1, "x", 0).normal_tensor(0.0, 1.0, (2, 3, D), &Device::Cpu).unwrap();
    let run = |num_layers, mode: &mut Mode| {
        let parameters = Parameters::new(1);
        let config = StackConfig { num_layers, dropout: 0.5, ..StackConfig::default() };
        let stack = Lstm::new(D, H, &config, parameters.builder(&Device::Cpu)).unwrap();
        flat(&stack.forward(&x, None, None, mode).unwrap().0)
    };
    let train = |layers, seed| run(layers, &mut Mode::Train(&mut Rng::derive(seed, "dropout", 0)));
    assert_eq!(train(1, 1), run(1, &mut Mode::Eval));
    assert_ne!(train(2, 1), run(2, &mut Mode::Eval));
    assert_eq!(train(2, 1), train(2, 1));
    assert_ne!(train(2, 1), train(2, 2));
    // With everything dropped the second layer reads zeros, but its outputs are not dropped.
    let parameters = Parameters::new(1);
    let config = StackConfig { num_layers: 2, dropout: 1.0, ..StackConfig::default() };
    let stack = Lstm::new(D, H, &config, parameters.builder(&Device::Cpu)).unwrap();
    let mut rng = Rng::derive(1, "dropout", 0);
    let out = flat(&stack.forward(&x, None, None, &mut Mode::Train(&mut rng)).unwrap().0);
    assert!(out.iter().all(|&value| value != 0.0));
    assert_eq!(out[..3 * H], out[3 * H..]);
}

#[test]
fn wrong_arguments_are_named_and_configs_are_strict() {
    let parameters = Parameters::new(1);
    let build = |config: &StackConfig<LstmConfig>| Lstm::new(D, H, config, parameters.builder(&Device::Cpu));
    let none = StackConfig { num_layers: 0, ..StackConfig::default() };
    assert!(build(&none).unwrap_err().to_string().contains("num_layers"));
    let wild = StackConfig { dropout: 1.5, ..StackConfig::default() };
    assert!(build(&wild).unwrap_err().to_string().contains("dropout is 1.5"));
    let memory = StackConfig { zoneout_cell: 0.5, ..StackConfig::default() };
    assert!(build(&StackConfig { zoneout_cell: 0.5, ..StackConfig::default() }).is_ok());
    let fault = Gru::new(D, H, &memory, Parameters::new(1).builder(&Device::Cpu)).unwrap_err().to_string();
    assert!(fault.contains("zoneout_cell is 0.5, but the cell has no memory"), "{fault}");
    let stack = build(&StackConfig::default()).unwrap();
    let x = Tensor::zeros((2, 3, D), DType::F32, &Device::Cpu).unwrap();
    let message = stack.forward(&x, Some(&[]), None, &mut Mode::Eval).unwrap_err().to_string();
    assert!(message.contains("wants 1 states"), "{message}");
    let narrow = Tensor::zeros((2, 3, D + 1), DType::F32, &Device::Cpu).unwrap();
    let message = stack.forward(&narrow, None, None, &mut Mode::Eval).unwrap_err().to_string();
    assert!(message.contains("(.., 3)") && message.contains("[2, 3, 4]"), "{message}");
    let cell = RnnConfig { nonlinearity: Nonlinearity::Relu, ..RnnConfig::default() };
    let config = StackConfig { cell, dropout: 0.25, ..two_layers_both_ways() };
    let text = serde_json::to_string(&config).unwrap();
    assert!(text.contains("\"relu\""), "{text}");
    assert_eq!(serde_json::from_str::<StackConfig<RnnConfig>>(&text).unwrap(), config);
    for (wrong, rnn) in [("{\"num_layer\": 2}", false), ("{\"nonlinearity\": \"relu\"}", true)] {
        assert!(serde_json::from_str::<StackConfig<LstmConfig>>(wrong).is_err(), "{wrong}");
        assert_eq!(serde_json::from_str::<StackConfig<RnnConfig>>(wrong).is_ok(), rnn, "{wrong}");
    }
}

/// The minimal gated unit of Zhou et al. 2016, as a new cell is written: one formula.
///
/// f = σ(W_f [h, x] + b_f), h' = (1 − f) ⊙ h + f ⊙ tanh(W_h [f ⊙ h, x] + b_h).
#[derive(Clone, Debug)]
struct MinimalGatedUnit {
    gate: Linear,
    candidate: Linear,
}

impl BuildCell for MinimalGatedUnit {
    type Config = ();

    fn named(d: usize, h: usize, _: &(), vb: &SuffixedBuilder) -> Result<Self> {
        Ok(Self { gate: Linear::new(d + h, h, vb.pp("gate"))?, candidate: Linear::new(d + h, h, vb.pp("candidate"))? })
    }
}

impl Cell for MinimalGatedUnit {
    fn state_sizes(&self) -> Vec<usize> {
        vec![self.gate.weight().dims()[0]]
    }

    fn step(&self, x: &Tensor, state: &[Tensor]) -> Result<Vec<Tensor>> {
        let h = &state[0];
        let f = sigmoid(&self.gate.forward(&Tensor::cat(&[h, x], 1)?)?)?;
        let new = self.candidate.forward(&Tensor::cat(&[&(&f * h)?, x], 1)?)?.tanh()?;
        Ok(vec![(h + (f * (new - h)?)?)?])
    }

    fn parameters_mut(&mut self) -> Vec<&mut Tensor> {
        [&mut self.gate, &mut self.candidate].into_iter().flat_map(Linear::parameters_mut).collect()
    }
}

#[test]
fn a_new_cell_is_one_formula_and_stacks_like_the_others() {
    let parameters = Parameters::new(1);
    let builder = || parameters.builder(&Device::Cpu);
    let stack = Stack::<MinimalGatedUnit>::new(D, H, &two_layers_both_ways(), builder()).unwrap();
    assert_eq!(parameters.names()[4], "gate_l0_reverse.weight");
    let x = var(&Rng::derive(1, "x", 0).normal_tensor(0.0, 1.0, (3, 4, D), &Device::Cpu).unwrap());
    let (out, _) = stack.forward(&x, None, Some(&LENGTHS), &mut Mode::Eval).unwrap();
    let store = out.sqr().unwrap().sum_all().unwrap().backward().unwrap();

    // By hand, row by row and step by step through candle's own graph.
    let cell = |layer: usize, suffix: &str| {
        let width = if layer == 0 { D } else { 2 * H };
        let vb = SuffixedBuilder::new(builder(), format!("_l{layer}{suffix}"));
        MinimalGatedUnit::named(width, H, &(), &vb).unwrap()
    };
    let mut rows = Vec::new();
    for (row, &length) in LENGTHS.iter().enumerate() {
        let mut ys: Vec<Tensor> = (0..length).map(|t| x.get(row).unwrap().narrow(0, t, 1).unwrap()).collect();
        for layer in 0..2 {
            let read = |suffix: &str, order: Vec<usize>| {
                let cell = cell(layer, suffix);
                let mut h = cell.zero_state(1, DType::F32, &Device::Cpu).unwrap();
                let mut outputs = vec![h[0].clone(); length];
                for t in order {
                    h = cell.step(&ys[t], &h).unwrap();
                    outputs[t] = h[0].clone();
                }
                outputs
            };
            let (forth, back) = (read("", (0..length).collect()), read("_reverse", (0..length).rev().collect()));
            ys = forth.iter().zip(&back).map(|(a, b)| Tensor::cat(&[a, b], 1).unwrap()).collect();
        }
        let ys = Tensor::cat(&ys, 0).unwrap();
        assert_close(&out.get(row).unwrap().narrow(0, 0, length).unwrap(), &ys, "outputs");
        assert!(flat(&out.get(row).unwrap().narrow(0, length, 4 - length).unwrap()).iter().all(|&y| y == 0.0));
        rows.push(ys.sqr().unwrap().sum_all().unwrap());
    }
    let wanted = rows.into_iter().reduce(|a, b| (a + b).unwrap()).unwrap().backward().unwrap();
    assert_close(store.get(&x).unwrap(), wanted.get(&x).unwrap(), "gradient of x");
    for (name, var) in parameters.trainable() {
        assert_close(store.get(&var).unwrap(), wanted.get(&var).unwrap(), &name);
    }
}

#[test]
fn a_cell_that_does_not_say_where_it_reads_its_state_has_no_recurrent_dropout() {
    let parameters = Parameters::new(1);
    let cell = MinimalGatedUnit::new(D, H, &(), parameters.builder(&Device::Cpu)).unwrap();
    let h = cell.zero_state(2, DType::F32, &Device::Cpu).unwrap();
    let x = Tensor::zeros((2, D), DType::F32, &Device::Cpu).unwrap();
    // Its gate carries h past the matrices, so that masking all that it reads would be another network.
    let fault = cell.step_projected(&x, &h, Some(&h[0].ones_like().unwrap())).unwrap_err().to_string();
    assert!(fault.contains("Cell::step_projected"), "{fault}");
}

#[test]
fn attention_equals_pytorchs_and_its_idle_bias_is_not_trained() {
    let parameters = Parameters::from_safetensors(fixture("attention.safetensors")).unwrap();
    let attention = AdditiveAttention::new(5, 4, 6, parameters.builder(&Device::Cpu)).unwrap();
    parameters.verify().unwrap();
    let expected = tensors("attention_expected");
    let (annotations, hidden) = (var(&expected["annotations"]), var(&expected["hidden"]));
    let attended = attention.attend(&attention.memory(&annotations).unwrap(), &hidden).unwrap();
    assert_close(&attended.context, &expected["context"], "context");
    assert_close(&attended.alpha, &expected["alpha"], "alpha");
    let parts =
        [(&attended.context * &expected["weight_0"]).unwrap(), (&attended.alpha * &expected["weight_1"]).unwrap()];
    let store = (parts[0].sum_all().unwrap() + parts[1].sum_all().unwrap()).unwrap().backward().unwrap();
    let mut inputs = vec![("annotations".to_owned(), annotations), ("hidden".to_owned(), hidden)];
    inputs.extend(parameters.trainable());
    assert_eq!(inputs.len(), 7);
    for (name, var) in inputs {
        assert_close(store.get(var.as_tensor()).unwrap(), &expected[&format!("d_{name}")], &name);
    }
    // PyTorch's gradient of the bias that we do not train is rounding alone.
    assert!(flat(&expected["d_full_att.bias"])[0].abs() < 1e-5);
}

#[test]
fn linear_and_embedding_have_pytorchs_formula_and_initial_values() {
    let parameters = Parameters::new(1);
    let vb = parameters.builder(&Device::Cpu);
    let linear = Linear::new(100, 50, vb.pp("linear")).unwrap();
    let embedding = Embedding::new(200, 20, vb.pp("embedding")).unwrap();
    assert_eq!(parameters.names(), ["linear.weight", "linear.bias", "embedding.weight"]);
    let weights = flat(linear.weight());
    assert!(weights.iter().all(|w| w.abs() <= 0.1) && weights.iter().any(|w| w.abs() > 0.099));
    let table = flat(embedding.weight());
    let variance = table.iter().map(|v| v * v).sum::<f32>() / table.len() as f32;
    assert!((variance - 1.0).abs() < 0.1, "{variance}");

    let ids = Tensor::new(&[[3u32, 7], [3, 199]], &Device::Cpu).unwrap();
    let vectors = embedding.forward(&ids).unwrap();
    assert_eq!(vectors.dims(), [2, 2, 20]);
    assert_eq!(flat(&vectors.get(1).unwrap().get(1).unwrap()), table[199 * 20..]);
    let gradient = vectors.sum_all().unwrap().backward().unwrap();
    let gradient = flat(gradient.get(embedding.weight()).unwrap());
    assert_eq!((gradient[3 * 20], gradient[7 * 20], gradient[8 * 20]), (2.0, 1.0, 0.0));
    assert!(embedding.forward(&Tensor::new(&[200u32], &Device::Cpu).unwrap()).is_err());

    let small = Linear::from_tensors(
        Tensor::new(&[[1f32, 2.0, 3.0], [4.0, 5.0, 6.0]], &Device::Cpu).unwrap(),
        Some(Tensor::new(&[10f32, 20.0], &Device::Cpu).unwrap()),
    );
    let x = Tensor::new(&[[[1f32, 0.0, 0.0], [0.0, 1.0, 1.0]]], &Device::Cpu).unwrap();
    assert_eq!(flat(&small.forward(&x).unwrap()), [11.0, 24.0, 15.0, 31.0]);
    assert!(small.forward(&x.narrow(2, 0, 2).unwrap()).is_err());
}

#[test]
fn rows_of_one_picture_are_attended_to_as_copies_of_it_in_either_type() {
    for dtype in [DType::F32, DType::F64] {
        let parameters = Parameters::new(1);
        let attention = AdditiveAttention::new(5, 4, 6, parameters.builder(&Device::Cpu).to_dtype(dtype)).unwrap();
        let numbers = |seed, shape: &[usize]| {
            let drawn = Rng::derive(seed, "annotations", 0).normal_tensor(0.0, 1.0, shape, &Device::Cpu);
            drawn.unwrap().to_dtype(dtype).unwrap()
        };
        let (values, hidden) = (numbers(1, &[2, 3, 5]), numbers(2, &[3, 4]));
        let rows = |rows: &[u32]| Tensor::new(rows, &Device::Cpu).unwrap();
        // Rows of rows: the pictures 1, 0, 1.
        let shared = attention.memory(&values).unwrap().select(&rows(&[0, 1, 1])).unwrap();
        let shared = shared.select(&rows(&[2, 0, 1])).unwrap();
        let copied = attention.memory(&values.index_select(&rows(&[1, 0, 1]), 0).unwrap()).unwrap();
        let (found, wanted) =
            (attention.attend(&shared, &hidden).unwrap(), attention.attend(&copied, &hidden).unwrap());
        let plain = |tensor: &Tensor| tensor.to_dtype(DType::F32).unwrap();
        assert_close(&plain(&found.context), &plain(&wanted.context), "context");
        assert_close(&plain(&found.alpha), &plain(&wanted.alpha), "alpha");
        let at = |annotations: &AttentionMemory| annotations.gather_position(&rows(&[2, 0, 1])).unwrap();
        assert_close(&plain(&at(&shared)), &plain(&at(&copied)), "annotations at positions");
    }
}
