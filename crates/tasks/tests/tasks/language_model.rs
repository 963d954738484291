//! Language models: what they learn, what they write, and that reading in parts is reading at once.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::resumed::same_in_parts;
use candle_core::{Device, Tensor};
use candlewick_data::text::Text;
use candlewick_data::tokens::{TextTokenizer, Units};
use candlewick_generation::GenerationConfig;
use candlewick_parameters::Mode;
use candlewick_recurrent::Settings;
use candlewick_tasks::language_model::{
    InputKind, LanguageModel, LanguageModelInit, LanguageModelRecipe, NetworkConfig,
};
use candlewick_training::{ModelFolder as _, Recipe as _, Silent, Task as _, fit};
use std::path::Path;

fn recipe(text: &str, data: &Path) -> LanguageModelRecipe {
    let mut recipe: LanguageModelRecipe =
        toml::from_str(&format!("task = 'language_model'\nname = 'test'\n{text}")).unwrap();
    recipe.data.path = Some(data.to_owned());
    recipe
}

/// A text whose every next letter is known from those before: 0 1 2 … 9 10 11 … 19 0 1 …
fn counting(lines: usize) -> String {
    (0..lines)
        .map(|line| (0..20).map(|number| format!("{} ", (number + line) % 20)).collect::<String>() + "\n")
        .collect()
}

const COUNTING: &str = "[model]\nembedding_size = 12\nhidden_size = 48\n[batches]\nsize = 8\nsteps = 24\n\
    [training]\nepochs = 12\nclip_norm = 1.0\noptimizer = { name = 'adam', learning_rate = 0.01 }";

#[test]
fn it_learns_to_count_and_writes_numbers_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("text.txt");
    std::fs::write(&data, counting(120)).unwrap();
    let recipe = recipe(COUNTING, &data);
    let mut task = recipe.prepare(&folder.path().join("run"), &Device::Cpu, &mut |_| {}).unwrap();
    let report = fit(&mut task, recipe.training(), &folder.path().join("run"), &mut Silent).unwrap();
    let outcome = recipe.outcome(task, &report, &folder.path().join("run"), &Device::Cpu, &mut |_| ()).unwrap();
    let nats = outcome.scores.get("nats_per_character").unwrap();
    // Of a line's first number alone nothing can be known: ln 20 nats a line of 51 letters.
    assert!(nats < 0.15, "{nats}");
    let model = LanguageModel::from_pretrained(&folder.path().join("run"), &Device::Cpu).unwrap();
    let greedy = GenerationConfig { do_sample: false, max_new_tokens: 9, ..model.generation().clone() };
    let written: String = model.sample("3 4 5 6 ", &greedy).unwrap().map(Result::unwrap).collect();
    assert_eq!(written, "7 8 9 10 ");
    let samples = std::fs::read_to_string(folder.path().join("run/samples.md")).unwrap();
    assert_eq!(samples.matches("## After epoch").count(), 12);
    // What it never saw costs much and ends nothing; it is not gone on from.
    let (known, unknown) = (model.score("1 2 3").unwrap(), model.score("1 2 x").unwrap());
    assert!(unknown.nats.is_finite() && unknown.nats > known.nats, "{unknown:?} {known:?}");
    let Err(refused) = model.sample("1 2 x", &greedy) else { panic!("x was taken") };
    assert!(refused.to_string().contains("\"x\""), "{refused}");
}

#[test]
fn it_learns_hello_and_shows_every_number() {
    let text = include_str!("../../../../models/hello/train.toml");
    let mut recipe: LanguageModelRecipe = toml::from_str(text).unwrap();
    let out = tempfile::tempdir().unwrap();
    let mut task = recipe.prepare(out.path(), &Device::Cpu, &mut |_| {}).unwrap();
    let report = fit(&mut task, recipe.training(), out.path(), &mut Silent).unwrap();
    let outcome = recipe.outcome(task, &report, out.path(), &Device::Cpu, &mut |_| ()).unwrap();
    let lines = outcome.lines.join("\n");
    let (before, after) = lines.split_once("after training").unwrap();
    assert!(before.starts_with("before training") && !before.contains("writes: hello"), "{lines}");
    assert!(after.contains("4 of 4 right") && after.trim_end().ends_with("by itself it writes: hello"), "{lines}");
    assert!(after.contains("1  h  1 0 0 0") && after.contains("4  l  0 0 1 0"), "{lines}");
    let svg = std::fs::read_to_string(out.path().join("hello.svg")).unwrap();
    assert!(svg.contains("after training: 4 of 4 right"));
    // The slide's sums: each step's loss is that of its own scores, and they make the whole.
    let unrolled = LanguageModel::from_pretrained(out.path(), &Device::Cpu).unwrap().unroll("hello").unwrap();
    for step in &unrolled.steps {
        let sum: f64 = step.scores.iter().map(|&score| f64::from(score).exp()).sum();
        assert!((sum.ln() - f64::from(step.scores[step.target]) - step.loss).abs() < 1e-5, "{step:?}");
        assert_eq!((step.hidden.len(), step.scores.len()), (3, 4));
    }
    // A file beside the recipe's own text is refused.
    let data = Some(out.path().to_owned());
    let refused = recipe.apply_inputs(&candlewick_training::Inputs { data, ..Default::default() }).unwrap_err();
    assert!(refused.to_string().contains("--data") && refused.to_string().contains("data.text"), "{refused}");
}

fn model(network: NetworkConfig, text: &str) -> LanguageModel {
    let tokenizer = TextTokenizer::train(Units::Characters, &Text::of(text)).unwrap();
    let generation =
        GenerationConfig { bos_token_id: None, eos_token_id: None, ..GenerationConfig::sample(1.0, 0, 1.0) };
    LanguageModel::init(LanguageModelInit { network, tokenizer, generation, seed: 4 }, &Device::Cpu).unwrap()
}

fn small() -> NetworkConfig {
    NetworkConfig { embedding_size: 6, hidden_size: 9, ..NetworkConfig::default() }
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn chunks_give_what_the_whole_text_gives() {
    for cell in ["rnn", "lstm", "gru", "mut1", "nas", "lstm_cifg", "lstm_layer_norm", "min_gru"] {
        let network = NetworkConfig { cell: cell.into(), stack: Settings::default().with("num_layers", 2), ..small() };
        let model = model(network, "abcdefgh");
        let ids = Tensor::new(&[[1u32, 3, 2, 5, 4, 7, 8, 1], [2, 2, 6, 1, 1, 3, 5, 8]], &Device::Cpu).unwrap();
        let mode = &mut Mode::Eval;
        let (whole, _) = model.logits(&ids, None, mode).unwrap();
        let (first, state) = model.logits(&ids.narrow(1, 0, 3).unwrap(), None, mode).unwrap();
        let (second, _) = model.logits(&ids.narrow(1, 3, 5).unwrap(), Some(&state), mode).unwrap();
        let parts = values(&Tensor::cat(&[first, second], 1).unwrap());
        for (a, b) in parts.iter().zip(values(&whole)) {
            assert!((a - b).abs() < 1e-5, "{cell}: {a} and {b}");
        }
    }
}

#[test]
fn one_hot_picks_a_column_of_the_matrix_as_an_embedding_does() {
    let text = "abcde";
    let one_hot = model(NetworkConfig { input: InputKind::OneHot, cell: "rnn".into(), ..small() }, text);
    let v = one_hot.config().vocab_size;
    let embedded = model(NetworkConfig { embedding_size: v, cell: "rnn".into(), ..small() }, text);
    // With the unit matrix as the table the embedding is the one-hot vector; with W_ihᵀ as the table and the unit matrix for W_ih it picks
    // the column itself.
    let folder = tempfile::tempdir().unwrap();
    one_hot.save(folder.path()).unwrap();
    let weights = candle_core::safetensors::load(folder.path().join("model.safetensors"), &Device::Cpu).unwrap();
    let mut tensors: Vec<(String, Tensor)> = weights.into_iter().collect();
    tensors.push(("embedding.weight".into(), Tensor::eye(v, candle_core::DType::F32, &Device::Cpu).unwrap()));
    let other = tempfile::tempdir().unwrap();
    embedded.save(other.path()).unwrap();
    candlewick_training::write_weights(other.path(), tensors, candle_core::DType::F32).unwrap();
    let embedded = LanguageModel::open_folder(other.path(), &Device::Cpu).unwrap();
    let ids = Tensor::new(&[[1u32, 3, 2, 5, 4]], &Device::Cpu).unwrap();
    let logits = |model: &LanguageModel| values(&model.logits(&ids, None, &mut Mode::Eval).unwrap().0);
    for (a, b) in logits(&one_hot).iter().zip(logits(&embedded)) {
        assert!((a - b).abs() < 1e-6, "{a} and {b}");
    }
}

#[test]
fn a_word_stands_apart_from_the_one_before_it() {
    for units in [Units::Words, Units::Spaces] {
        let text = "one two three";
        let tokenizer = TextTokenizer::train(units, &Text::of(text)).unwrap();
        let generation = GenerationConfig { max_new_tokens: 2, eos_token_id: None, ..GenerationConfig::default() };
        let init = LanguageModelInit { network: small(), tokenizer, generation, seed: 4 };
        let model = LanguageModel::init(init, &Device::Cpu).unwrap();
        let written = |prime: &str| {
            let drawn: String = model.sample(prime, model.generation()).unwrap().map(Result::unwrap).collect();
            [drawn, model.sample_feeding_softmax(prime, 2).unwrap()]
        };
        assert!(written("one two").iter().all(|text| text.starts_with(' ')), "{units:?}");
        let apart = ["one two ", ""].iter().flat_map(|prime| written(prime)).all(|text| !text.starts_with(' '));
        assert!(apart, "{units:?}");
    }
}

#[test]
fn letters_are_drawn_as_often_as_softmax_says() {
    let model = model(small(), "abc");
    let first = |seed| {
        let config = GenerationConfig { max_new_tokens: 1, seed, ..model.generation().clone() };
        model.sample("ab", &config).unwrap().map(Result::unwrap).collect::<String>()
    };
    let ids = model.tokenizer().encode("ab").unwrap();
    let ids = Tensor::new(ids.as_slice(), &Device::Cpu).unwrap().unsqueeze(0).unwrap();
    let logits = values(&model.logits(&ids, None, &mut Mode::Eval).unwrap().0.narrow(1, 1, 1).unwrap());
    let known: Vec<f64> = logits.iter().skip(1).map(|&x| f64::from(x).exp()).collect();
    let total: f64 = known.iter().sum();
    const DRAWS: u64 = 3000;
    let drawn: Vec<String> = (0..DRAWS).map(first).collect();
    for (letter, p) in ["a", "b", "c"].iter().zip(&known) {
        let (share, p) = (drawn.iter().filter(|found| found == letter).count() as f64 / DRAWS as f64, p / total);
        let deviation = (p * (1.0 - p) / DRAWS as f64).sqrt();
        assert!((share - p).abs() < 4.5 * deviation, "{letter}: {share} and {p}");
    }
}

#[test]
fn a_resumed_run_goes_on_with_its_state_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("text.txt");
    std::fs::write(&data, counting(60)).unwrap();
    let mut recipe = recipe(COUNTING, &data);
    (recipe.training.epochs, recipe.training.checkpoint_every) = (2, 3);
    same_in_parts(&recipe, folder.path(), &[4, 7]);
}

#[test]
fn a_gradient_stops_at_the_chunk() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("text.txt");
    std::fs::write(&data, counting(60)).unwrap();
    let recipe = recipe(COUNTING, &data);
    let task = recipe.prepare(&folder.path().join("run"), &Device::Cpu, &mut |_| {}).unwrap();
    let batches: Vec<_> =
        task.batches(0, 0, candlewick_training::Shard::WHOLE).unwrap().take(2).map(Result::unwrap).collect();
    task.loss(&batches[0], &mut Mode::Eval).unwrap();
    let carried: Vec<Tensor> = task.tensors().unwrap().into_iter().map(|(_, tensor)| tensor).collect();
    assert!(!carried.is_empty() && carried.iter().all(|tensor| !tensor.track_op()));
    let second = task.loss(&batches[1], &mut Mode::Eval).unwrap();
    assert!(second.value.backward().is_ok());
    assert!(batches[1].start > 0 && batches[0].start == 0);
}

#[test]
fn settings_of_writing_lie_over_those_of_language_models() {
    let text = "[generation]\ntemperature = 0.5\nbos_token_id = 1\n[training]\nepochs = 1";
    let generation = recipe(text, Path::new("a.txt")).generation;
    assert_eq!((generation.temperature, generation.do_sample, generation.max_new_tokens), (0.5, true, 500));
    assert_eq!((generation.bos_token_id, generation.eos_token_id), (None, None));
    let wrong = "task = 'language_model'\nname = 'a'\n[generation]\ntemprature = 1.0\n[training]\nepochs = 1";
    let error = toml::from_str::<LanguageModelRecipe>(wrong).unwrap_err().to_string();
    assert!(error.contains("temprature: no such setting"), "{error}");
}

#[test]
fn what_no_language_model_can_be_is_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("text.txt");
    std::fs::write(&data, counting(30)).unwrap();
    let small = "[batches]\nsize = 4\nsteps = 8\n";
    for (text, wanted) in [
        ("[model]\ncell = 'self_attention'\n", "model.cell"),
        ("[model]\ntied = true\n", "embedding_size is 64, and the outputs have 512"),
        ("[model]\nstack = { bidirectional = true }\n", "bidirectional"),
        ("[model]\ninput = 'one_hot'\ntied = true\n", "one_hot"),
        ("[model]\ndropout = 1.5\n", "model.dropout is 1.5"),
        ("[batches]\nsteps = 0\n", "batches.steps is 0"),
        ("[batches]\nsize = 2\nsteps = 4000\n", "give a longer text"),
    ] {
        let text = if text.starts_with("[batches]") { text.to_owned() } else { format!("{text}{small}") };
        let recipe = recipe(&format!("{text}[training]\nepochs = 1"), &data);
        let Err(error) = recipe.prepare(&folder.path().join("run"), &Device::Cpu, &mut |_| {}) else {
            panic!("{text} was taken")
        };
        let error = error.to_string();
        assert!(error.contains(wanted) && !error.contains('\n'), "{text}: {error}");
    }
}
