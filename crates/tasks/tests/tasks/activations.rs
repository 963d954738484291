//! Units of language models: their values are those of the network's state, character by character.
#![allow(clippy::unwrap_used)]

use candle_core::{Device, Tensor};
use candlewick_data::text::Text;
use candlewick_data::tokens::{TextTokenizer, Units};
use candlewick_generation::GenerationConfig;
use candlewick_parameters::Mode;
use candlewick_recurrent::Settings;
use candlewick_tasks::language_model::{Activations, LanguageModel, LanguageModelInit, NetworkConfig, UnitKind};

const TEXT: &str = "\"Ah, naïve!\"\nhe said \u{1f642}.\n";

fn model(cell: &str, units: Units) -> LanguageModel {
    let stack = Settings::default().with("num_layers", 2);
    let network = NetworkConfig { embedding_size: 6, hidden_size: 9, cell: cell.into(), stack, ..Default::default() };
    let tokenizer = TextTokenizer::train(units, &Text::of(TEXT)).unwrap();
    let generation = GenerationConfig::default();
    LanguageModel::init(LanguageModelInit { network, tokenizer, generation, seed: 4 }, &Device::Cpu).unwrap()
}

/// h and tanh c of both layers, in their order, after the tokens up to the one that ends with or holds this byte.
fn by_state(model: &LanguageModel, end: usize) -> Vec<f32> {
    let tokens = model.tokenizer().tokens(TEXT).unwrap();
    let ids: Vec<u32> = tokens.iter().filter(|token| token.bytes.start < end).map(|token| token.id).collect();
    let ids = Tensor::new(ids, &Device::Cpu).unwrap().unsqueeze(0).unwrap();
    let (_, state) = model.logits(&ids, None, &mut Mode::Eval).unwrap();
    let mut values: Vec<f32> = Vec::new();
    for cell in state {
        values.extend(cell[0].squeeze(0).unwrap().to_vec1::<f32>().unwrap());
        if let Some(c) = cell.get(1) {
            values.extend(c.squeeze(0).unwrap().to_vec1::<f32>().unwrap().into_iter().map(f32::tanh));
        }
    }
    values
}

fn near(found: &[f32], wanted: &[f32], what: &str) {
    assert_eq!(found.len(), wanted.len(), "{what}");
    for (found, wanted) in found.iter().zip(wanted) {
        assert!((found - wanted).abs() < 1e-5, "{what}: {found} and {wanted}");
    }
}

fn check(model: &LanguageModel, what: &str) -> Activations {
    let found = model.activations(TEXT).unwrap();
    assert_eq!(found.characters(), TEXT.chars().count());
    for (at, (start, letter)) in TEXT.char_indices().enumerate() {
        near(found.after(at), &by_state(model, start + letter.len_utf8()), &format!("{what}, {letter:?}"));
    }
    found
}

#[test]
fn values_are_those_of_the_state_of_any_cell() {
    for cell in ["rnn", "lstm", "gru", "lstm_fgr", "lstm_layer_norm", "mut1", "nas", "min_gru", "min_lstm"] {
        let model = model(cell, Units::Characters);
        let found = check(&model, cell);
        let has_memory = !["rnn", "gru", "mut1", "min_gru", "min_lstm"].contains(&cell);
        assert_eq!((found.units().len(), model.unit_count()), if has_memory { (36, 36) } else { (18, 18) }, "{cell}");
        let names: Vec<String> = [8, 9, 17].iter().map(|&at| found.units()[at].to_string()).collect();
        let wanted = if has_memory { "layer 1 c" } else { "layer 2 h" };
        assert_eq!(names, ["layer 1 h 8".into(), format!("{wanted} 0"), format!("{wanted} 8")], "{cell}");
        assert!(found.units().iter().all(|unit| unit.number < 9 && (unit.kind == UnitKind::Output || has_memory)));
    }
}

#[test]
fn a_character_has_the_value_after_its_last_token() {
    for units in [Units::Bytes, Units::Bpe { vocab_size: 262 }] {
        check(&model("lstm", units), &format!("{units:?}"));
    }
    let words = check(&model("gru", Units::Words), "words");
    // Before the first word nothing was read; all of a word has the value after it, and so have the spaces behind it.
    assert!(words.after(0).iter().all(|&value| value == 0.0) && words.after(1).iter().any(|&value| value != 0.0));
    assert!(words.after(1) == words.after(2) && words.after(2) == words.after(4) && words.after(4) != words.after(5));
    assert_eq!(words.of(3), (0..words.characters()).map(|at| words.after(at)[3]).collect::<Vec<_>>());
}

#[test]
fn an_empty_text_has_no_values() {
    let error = model("rnn", Units::Characters).activations("").unwrap_err().to_string();
    assert!(error.contains("the text is empty"), "{error}");
}
