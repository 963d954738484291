//! Layers by name, text in chunks, and what recurrent layers are compared with; the flow of gradients, pooling and texts are beside.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod flow;
mod pooling;
mod text_encoder;

use candle_core::{DType, Device, Tensor, Var};
use candlewick_generation::SelectRows;
use candlewick_parameters::{Mode, Parameters, Rng};
use candlewick_recurrent::{
    CarriedState, Chunks, JozefowiczConfig, Lstm, LstmConfig, LstmVariantConfig, Rnn, RnnConfig, SelfAttention,
    SelfAttentionConfig, SequenceLayer, Settings, StackConfig, TemporalConvolution, TemporalConvolutionConfig,
    Truncated, has_setting, lstm, recurrent_cell, sequence_layer, sequence_layers, sinusoidal_positions,
};
use candlewick_testing::flat;
use std::collections::HashMap;

const D: usize = 3;
const H: usize = 4;

fn assert_close(found: &Tensor, wanted: &Tensor, what: &str) {
    assert_eq!(found.dims(), wanted.dims(), "{what}");
    for (i, (found, wanted)) in flat(found).iter().zip(flat(wanted)).enumerate() {
        assert!((found - wanted).abs() <= 2e-5 * wanted.abs().max(1.0), "{what} at {i}: {found} instead of {wanted}");
    }
}

fn normal(name: &str, shape: &[usize]) -> Tensor {
    Rng::derive(7, name, 0).normal_tensor(0.0, 1.0, shape, &Device::Cpu).unwrap()
}

/// The tensors of the first case, overlaid by those of another.
fn fixture(name: &str, cases: &[&str]) -> HashMap<String, Tensor> {
    let all = candlewick_testing::tensors(name);
    let of = |case: &&str| {
        let prefix = format!("{case}.");
        all.iter().filter_map(|(name, t)| Some((name.strip_prefix(&prefix)?.to_owned(), t.clone()))).collect::<Vec<_>>()
    };
    cases.iter().flat_map(of).collect()
}

/// A layer has the fixture's parameters, and with their values its outputs and gradients.
fn check(
    layer: &dyn SequenceLayer,
    parameters: &Parameters,
    wanted: &HashMap<String, Tensor>,
    lengths: Option<&[usize]>,
) {
    let mut names: Vec<String> = parameters.names().into_iter().map(|name| format!("d_{name}")).collect();
    names.push("d_x".to_owned());
    names.sort();
    let mut given: Vec<String> = wanted.keys().filter(|name| name.starts_with("d_")).cloned().collect();
    given.sort();
    assert_eq!(names, given);
    for (name, var) in parameters.trainable() {
        var.set(&wanted[&name]).unwrap();
    }
    let x = Var::from_tensor(&wanted["x"]).unwrap();
    let (out, state) = layer.forward(&x, None, lengths, &mut Mode::Eval).unwrap();
    assert_eq!((layer.output_size(), state.len()), (H, 0));
    assert_close(&out, &wanted["output_0"], "outputs");
    let store = (out * &wanted["factor_0"]).unwrap().sum_all().unwrap().backward().unwrap();
    for (name, var) in parameters.trainable().into_iter().chain([("x".to_owned(), x)]) {
        assert_close(store.get(var.as_tensor()).unwrap(), &wanted[&format!("d_{name}")], &name);
    }
}

#[test]
fn self_attention_is_pytorchs_transformer_encoder() {
    for (case, bidirectional, lengths) in
        [("whole", true, None), ("lengths", true, Some(&[1, 3][..])), ("causal", false, None)]
    {
        let parameters = Parameters::new(1);
        let config =
            SelfAttentionConfig { num_layers: 2, num_heads: 2, bidirectional, ..SelfAttentionConfig::default() };
        let layer = SelfAttention::new(D, H, &config, parameters.builder(&Device::Cpu)).unwrap();
        check(&layer, &parameters, &fixture("self_attention", &["whole", case]), lengths);
    }
    let odd = SelfAttentionConfig { num_heads: 3, ..SelfAttentionConfig::default() };
    let message = SelfAttention::new(D, H, &odd, Parameters::new(1).builder(&Device::Cpu)).unwrap_err().to_string();
    assert!(message.contains("num_heads is 3"), "{message}");
    // An odd size ends with a sine.
    let positions = sinusoidal_positions(2, 3, DType::F32, &Device::Cpu).unwrap();
    let wave = 10_000f32.powf(-2.0 / 3.0).sin();
    assert_close(
        &positions,
        &Tensor::new(&[[0f32, 1.0, 0.0], [1f32.sin(), 1f32.cos(), wave]], &Device::Cpu).unwrap(),
        "",
    );
}

#[test]
fn convolution_is_pytorchs() {
    for (case, kernel_size, bidirectional) in [("around", 3, true), ("behind", 2, false), ("wide", 4, true)] {
        let parameters = Parameters::new(1);
        let usual = TemporalConvolutionConfig::default();
        let config = TemporalConvolutionConfig { num_layers: 2, kernel_size, bidirectional, ..usual };
        let layer = TemporalConvolution::new(D, H, &config, parameters.builder(&Device::Cpu)).unwrap();
        check(&layer, &parameters, &fixture("convolution", &[case]), None);
    }
}

fn build(name: &str, settings: &Settings, parameters: &Parameters) -> Box<dyn SequenceLayer> {
    sequence_layer(name, D, H, settings, parameters.builder(&Device::Cpu)).unwrap()
}

#[test]
fn every_layer_by_name_reads_each_row_as_if_it_were_alone_and_learns() {
    assert_eq!(sequence_layers().len(), 20);
    let x = normal("x", &[3, 5, D]);
    let lengths = [2, 5, 0];
    for name in sequence_layers() {
        for bidirectional in [false, true] {
            let parameters = Parameters::new(1);
            let num_heads = if has_setting(name, "num_heads") { 2 } else { 1 };
            let settings = Settings::default().with("num_layers", 2).with("bidirectional", bidirectional);
            let layer = build(name, &settings.with("num_heads", num_heads), &parameters);
            let (out, _) = layer.forward(&x, None, Some(&lengths), &mut Mode::Eval).unwrap();
            assert_eq!(out.dims(), [3, 5, layer.output_size()], "{name}");
            for (row, &length) in lengths.iter().enumerate() {
                let found = out.narrow(0, row, 1).unwrap();
                let beyond = found.narrow(1, length, 5 - length).unwrap();
                assert!(flat(&beyond).iter().all(|&value| value == 0.0), "{name}");
                if length > 0 {
                    let alone = x.narrow(0, row, 1).unwrap().narrow(1, 0, length).unwrap();
                    let (alone, _) = layer.forward(&alone, None, None, &mut Mode::Eval).unwrap();
                    assert_close(&found.narrow(1, 0, length).unwrap(), &alone, name);
                }
            }
            let store = out.sqr().unwrap().sum_all().unwrap().backward().unwrap();
            for (parameter, var) in parameters.trainable() {
                assert!(flat(store.get(&var).unwrap()).iter().any(|&slope| slope != 0.0), "{name}: {parameter}");
            }
            let message = layer.forward(&x, None, Some(&[1, 6, 1]), &mut Mode::Eval).unwrap_err().to_string();
            assert!(message.contains("length 6"), "{message}");
        }
    }
}

#[test]
fn a_layer_that_only_looks_back_does_not_see_what_comes() {
    let (x, other) = (normal("x", &[2, 5, D]), normal("y", &[2, 5, D]));
    let changed = Tensor::cat(&[x.narrow(1, 0, 3).unwrap(), other.narrow(1, 3, 2).unwrap()], 1).unwrap();
    for name in sequence_layers() {
        for bidirectional in [false, true] {
            let settings = Settings::default().with("num_layers", 2).with("bidirectional", bidirectional);
            let layer = build(name, &settings, &Parameters::new(1));
            let read = |x: &Tensor| layer.forward(x, None, None, &mut Mode::Eval).unwrap().0.narrow(1, 0, 3).unwrap();
            let same = flat(&read(&x)).iter().zip(flat(&read(&changed))).all(|(a, b)| (a - b).abs() < 1e-6);
            assert_eq!(same, !bidirectional, "{name}");
        }
    }
}

#[test]
fn a_layer_by_name_is_the_stack_and_wrong_words_are_named() {
    let x = normal("x", &[2, 4, D]);
    let config = StackConfig { num_layers: 2, ..StackConfig::default() };
    let settings = Settings::default().with("num_layers", 2);
    let layer = build("lstm", &settings, &Parameters::new(1));
    let stack = Lstm::new(D, H, &config, Parameters::new(1).builder(&Device::Cpu)).unwrap();
    let (out, state) = layer.forward(&x, None, None, &mut Mode::Eval).unwrap();
    let (wanted, last) = stack.forward(&x, None, None, &mut Mode::Eval).unwrap();
    assert_eq!(flat(&out), flat(&wanted));
    assert_eq!(flat(&state[1][lstm::C]), flat(&last[1][lstm::C]));
    assert_eq!(layer.state_sizes(), [[H, H], [H, H]]);
    // The state goes on, and gives its rows to a search.
    let rows = Tensor::new(&[1u32], &Device::Cpu).unwrap();
    let second = x.narrow(0, 1, 1).unwrap();
    let (chosen, _) = layer.forward(&second, Some(&state.select(&rows).unwrap()), None, &mut Mode::Eval).unwrap();
    let (both, _) = stack.forward(&x, Some(&last), None, &mut Mode::Eval).unwrap();
    assert_close(&chosen, &both.narrow(0, 1, 1).unwrap(), "second row");

    let builder = || Parameters::new(1).builder(&Device::Cpu);
    let message = |name: &str, settings: &Settings| {
        sequence_layer(name, D, H, settings, builder()).err().expect("an error").to_string()
    };
    let found = message("transformer", &settings);
    assert!(
        found.starts_with("no sequence layer is called transformer; there are rnn, lstm, gru,")
            && found.contains("self_attention")
    );
    for name in ["gru", "convolution", "self_attention"] {
        let wrong = build(name, &settings, &Parameters::new(1)).forward(&x, Some(&state), None, &mut Mode::Eval);
        assert!(wrong.is_err(), "{name} took the state of an lstm");
    }
    let text = "{\"variant\": \"coupled_gates\", \"mutant\": \"mut2\", \"proj_size\": 3, \"zoneout_cell\": 0.5}";
    let read: Settings = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::from_str::<Settings>(&serde_json::to_string(&read).unwrap()).unwrap(), read);
    for (wrong, named) in [("{\"num_layer\": 2}", "num_layer"), ("{\"zoneout_cell\": \"much\"}", "zoneout_cell")] {
        let fault = serde_json::from_str::<Settings>(wrong).unwrap_err().to_string();
        assert!(fault.starts_with(&format!("{named}: ")), "{fault}");
    }
}

/// Each setting with a value that is not the default, and the layers that it concerns, or that it does not after a `!`.
const SETTINGS: [(&str, &str, &str); 19] = [
    ("num_layers", "3", "!"),
    ("bidirectional", "true", "!"),
    ("bias", "false", "!convolution self_attention"),
    ("nonlinearity", "\"relu\"", "rnn"),
    ("forget_bias", "4.0", "lstm lstm_v lstm_nig lstm_nog lstm_niaf lstm_noaf lstm_fgr lstm_layer_norm min_lstm"),
    ("orthogonal", "true", "!min_gru min_lstm convolution self_attention"),
    ("proj_size", "2", "lstm"),
    ("variant", "\"coupled_gates\"", "lstm_cifg"),
    ("peepholes", "false", "lstm_v lstm_nig lstm_nfg lstm_nog lstm_niaf lstm_noaf lstm_cifg lstm_fgr"),
    ("mutant", "\"mut2\"", "mut2"),
    ("kernel_size", "2", "convolution"),
    ("num_heads", "2", "self_attention"),
    ("dropout", "0.5", "!"),
    ("input_dropout", "0.5", "!"),
    ("variational", "true", "!"),
    ("weight_dropout", "0.5", "!min_gru min_lstm convolution self_attention"),
    ("recurrent_dropout", "0.5", "!min_gru min_lstm convolution self_attention"),
    ("zoneout_hidden", "0.5", "!convolution self_attention"),
    ("zoneout_cell", "0.5", "!rnn gru mut1 mut2 mut3 min_gru min_lstm convolution self_attention"),
];

#[test]
fn a_setting_changes_the_layer_or_is_refused_by_name() {
    let x = normal("x", &[2, 4, D]);
    let base: Settings = serde_json::from_str("{\"num_layers\": 2, \"input_dropout\": 0.25}").unwrap();
    let known: Vec<&str> = SETTINGS.iter().map(|row| row.0).collect();
    for setting in usual_settings().keys() {
        assert!(known.contains(&setting.as_str()), "{setting} is new: which layers does it concern?");
    }
    let read = |name: &str, settings: &Settings| {
        let parameters = Parameters::new(1);
        let layer = sequence_layer(name, D, H, settings, parameters.builder(&Device::Cpu))?;
        let mut rng = Rng::derive(1, "train", 0);
        let out = layer.forward(&x, None, None, &mut Mode::Train(&mut rng))?.0;
        candle_core::Result::Ok(flat(&out))
    };
    for (setting, value, layers) in SETTINGS {
        let given = base.clone().with(setting, serde_json::from_str::<serde_json::Value>(value).unwrap());
        let listed = |name: &str| layers.trim_start_matches('!').split_whitespace().any(|layer| layer == name);
        for name in sequence_layers() {
            let found = read(name, &given);
            if listed(name) != layers.starts_with('!') {
                let found = found.unwrap_or_else(|error| panic!("{name}: {error}"));
                // A name that is said twice changes nothing.
                let changes = !["variant", "mutant"].contains(&setting);
                assert_eq!(found != read(name, &base).unwrap(), changes, "{name}: {setting}");
                assert_eq!(has_setting(name, setting), changes, "{name}: {setting}");
            } else {
                let message = found.expect_err(&format!("{name}: {setting}")).to_string();
                // A backtrace may follow.
                let message = message.lines().next().unwrap();
                let start = format!("{name}: {setting} is {value}, but it is for ");
                assert!(message.starts_with(&start) && message.ends_with("; leave it out"), "{message}");
                assert!(!has_setting(name, setting), "{name}: {setting}");
            }
        }
    }
    let settings = Settings::default().with("forget_bias", 4.0);
    let cell = |name, settings: &Settings| {
        recurrent_cell(name, D, H, settings, Parameters::new(1).builder(&Device::Cpu))
            .map_err(|fault| fault.to_string())
    };
    assert!(cell("lstm", &settings).is_ok());
    assert!(cell("gru", &settings).unwrap_err().starts_with("gru: forget_bias is 4.0, but"));
    let fault = cell("lstm", &settings.with("bias", false)).unwrap_err();
    assert!(fault.starts_with("lstm: forget_bias is 4.0, but with bias = false no gate has one"), "{fault}");
    let fault = cell("gru", &Settings::default().with("num_layers", 2)).unwrap_err();
    assert!(fault.contains("num_layers"), "{fault}");
    assert!(!has_setting("lstn", "dropout") && !has_setting("lstm", "drop"));
}

/// All settings of all layers at their usual values.
fn usual_settings() -> serde_json::Map<String, serde_json::Value> {
    let all = [
        serde_json::to_value(StackConfig::<RnnConfig>::default()),
        serde_json::to_value(StackConfig::<LstmConfig>::default()),
        serde_json::to_value(StackConfig::<LstmVariantConfig>::default()),
        serde_json::to_value(StackConfig::<JozefowiczConfig>::default()),
        serde_json::to_value(TemporalConvolutionConfig::default()),
        serde_json::to_value(SelfAttentionConfig::default()),
    ];
    all.into_iter().flat_map(|config| config.unwrap().as_object().unwrap().clone()).collect()
}

#[test]
fn settings_at_their_usual_values_change_no_layer() {
    let usual: Settings = serde_json::from_value(usual_settings().into()).unwrap();
    // A whole number is the same as one with a point.
    let usual = usual.with("weight_dropout", 0);
    let x = normal("x", &[2, 4, D]);
    for name in sequence_layers() {
        let read = |settings: &Settings| {
            flat(&build(name, settings, &Parameters::new(1)).forward(&x, None, None, &mut Mode::Eval).unwrap().0)
        };
        assert_eq!(read(&usual), read(&Settings::default()), "{name}");
    }
}

#[test]
fn chunks_cover_the_text_and_outputs_are_those_of_the_whole() {
    let x = normal("x", &[2, 11, D]);
    let chunks = Chunks::new(&x, 4).unwrap();
    assert_eq!(chunks.len(), 3);
    let parts: Vec<Tensor> = chunks.clone().map(Result::unwrap).collect();
    assert_eq!(flat(&Tensor::cat(&parts, 1).unwrap()), flat(&x));
    assert!(Chunks::new(&x, 0).is_err());
    for name in ["lstm", "mut1", "lstm_fgr", "nas"] {
        let layer = build(name, &Settings::default().with("num_layers", 2), &Parameters::new(1));
        let mut read = Truncated::new(&*layer, chunks.clone(), Mode::Eval);
        let outputs: Vec<Tensor> = read.by_ref().map(Result::unwrap).collect();
        let (whole, last) = layer.forward(&x, None, None, &mut Mode::Eval).unwrap();
        assert_close(&Tensor::cat(&outputs, 1).unwrap(), &whole, name);
        let carried = read.state().unwrap();
        assert_close(&carried[1][0], &last[1][0], name);
        assert!(carried.iter().flatten().all(|tensor| !tensor.track_op()));
    }
}

#[test]
fn the_gradient_of_a_chunk_stops_at_its_beginning() {
    let parameters = Parameters::new(1);
    let layer = build("lstm", &Settings::default(), &parameters);
    let x = Var::from_tensor(&normal("x", &[2, 8, D])).unwrap();
    let mut outputs = Truncated::new(&*layer, Chunks::new(&x, 4).unwrap(), Mode::Eval);
    let (first, second) = (outputs.next().unwrap().unwrap(), outputs.next().unwrap().unwrap());
    let state = {
        let (_, last) = layer.forward(&x.narrow(1, 0, 4).unwrap(), None, None, &mut Mode::Eval).unwrap();
        last.iter().map(|s| s.iter().map(|t| t.detach()).collect()).collect::<Vec<Vec<Tensor>>>()
    };
    let store = second.sqr().unwrap().sum_all().unwrap().backward().unwrap();
    let gradient = store.get(x.as_tensor()).unwrap();
    assert!(flat(&gradient.narrow(1, 0, 4).unwrap()).iter().all(|&slope| slope == 0.0), "across the cut");
    assert!(flat(&gradient.narrow(1, 4, 4).unwrap()).iter().all(|&slope| slope != 0.0));
    // It is the gradient of the second half alone, from the state that the first one left.
    let (alone, _) = layer.forward(&x.narrow(1, 4, 4).unwrap(), Some(&state), None, &mut Mode::Eval).unwrap();
    let wanted = alone.sqr().unwrap().sum_all().unwrap().backward().unwrap();
    for (name, var) in parameters.trainable() {
        assert_close(store.get(&var).unwrap(), wanted.get(&var).unwrap(), &name);
    }
    assert!(first.track_op());
}

#[test]
fn ten_thousand_chunks_train_with_the_graph_of_one() {
    let parameters = Parameters::new(1);
    let layer = sequence_layer("gru", 1, 2, &Settings::default(), parameters.builder(&Device::Cpu)).unwrap();
    let text = normal("text", &[1, 2 * 10_001, 1]);
    let (mut count, mut nodes) = (0, None);
    for out in Truncated::new(&*layer, Chunks::new(&text, 2).unwrap(), Mode::Eval) {
        let loss = out.unwrap().sqr().unwrap().sum_all().unwrap();
        count += 1;
        // The first chunk begins with zeros, which are in no graph, like any state that was cut from one.
        let found = loss.sorted_nodes().len();
        assert_eq!(*nodes.get_or_insert(found), found, "chunk {count}");
        let store = loss.backward().unwrap();
        for (_, var) in parameters.trainable() {
            let gradient = store.get(&var).unwrap();
            var.set(&(var.as_tensor() - (gradient * 1e-3).unwrap()).unwrap().detach()).unwrap();
        }
    }
    assert_eq!(count, 10_001);
    let cut = nodes.unwrap();
    // Without the cut it would grow with every chunk.
    let (mut state, mut grown) = (None, vec![]);
    for chunk in Chunks::new(&text, 2).unwrap().take(3) {
        let (out, last) = layer.forward(&chunk.unwrap(), state.as_deref(), None, &mut Mode::Eval).unwrap();
        grown.push(out.sum_all().unwrap().sorted_nodes().len());
        state = Some(last);
    }
    assert!(grown[2] > grown[1] && grown[1] > grown[0] && grown[1] > cut - 1, "{grown:?}");
}

#[test]
fn a_carried_state_is_cut_and_can_begin_anew() {
    let stack = Rnn::new(D, H, &StackConfig::default(), Parameters::new(1).builder(&Device::Cpu)).unwrap();
    let (_, last) = stack.forward(&normal("x", &[2, 3, D]), None, None, &mut Mode::Eval).unwrap();
    let mut carried = CarriedState::default();
    assert!(carried.get().is_none() && last[0][0].track_op());
    carried.keep(&last);
    assert!(!carried.get().unwrap()[0][0].track_op());
    assert_eq!(flat(&carried.get().unwrap()[0][0]), flat(&last[0][0]));
    carried.reset();
    assert!(carried.get().is_none());
}

#[test]
fn a_sequence_without_steps_gives_none() {
    let x = normal("x", &[2, 4, D]).narrow(1, 0, 0).unwrap();
    for name in sequence_layers() {
        let p = |setting| if has_setting(name, setting) { 0.1 } else { 0.0 };
        let settings = ["zoneout_hidden", "recurrent_dropout"].into_iter();
        let settings = settings.fold(Settings::default(), |settings, setting| settings.with(setting, p(setting)));
        let layer = build(name, &settings.with("num_layers", 2), &Parameters::new(1));
        let mut rng = Rng::derive(1, "empty", 0);
        for mut mode in [Mode::Eval, Mode::Train(&mut rng)] {
            let (out, state) =
                layer.forward(&x, None, None, &mut mode).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(out.dims(), [2, 0, H], "{name}");
            assert!(state.iter().flatten().all(|tensor| flat(tensor).iter().all(|&value| value == 0.0)));
        }
    }
}
