//! The units of the stored small model of War and Peace: one knows of quotes, one of the place in the line.
#![allow(clippy::unwrap_used)]

use candle_core::Device;
use candlewick_generation::GenerationConfig;
use candlewick_tasks::language_model::LanguageModel;
use candlewick_tasks::language_model::units::{properties, score_units};
use std::path::Path;

/// The score of a property's best unit over a text, and what chance gives.
fn told(model: &LanguageModel, text: &str, property: &str) -> [f64; 2] {
    let scores = score_units(&model.activations(text).unwrap(), &properties(text)).unwrap();
    let telling = scores.telling.iter().find(|telling| telling.property == property).unwrap();
    [telling.score, telling.chance]
}

#[test]
fn a_unit_knows_of_quotes_and_one_of_the_place_in_the_line() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/war_and_peace");
    let model = LanguageModel::from_pretrained(&folder, &Device::Cpu).unwrap();
    // A text as it writes itself needs no data; the real one is the dev part, which it was not trained on.
    let settings = GenerationConfig { max_new_tokens: 12_000, seed: 1, ..model.generation().clone() };
    let written: String = model.sample("\n\n\"", &settings).unwrap().map(Result::unwrap).collect();
    let mut texts = vec![("its own", written)];
    match std::env::var_os("CANDLEWICK_DATA") {
        Some(data) => {
            let dev = std::fs::read_to_string(Path::new(&data).join("war_and_peace/dev.txt")).unwrap();
            texts.push(("real", dev.chars().take(30_000).collect()));
        }
        None => eprintln!("skipped: CANDLEWICK_DATA is not set"),
    }
    for (name, text) in texts {
        for property in ["quotes", "position"] {
            let [score, chance] = told(&model, &text, property);
            assert!(score >= 0.6 && chance.abs() <= 0.2, "{property} in the {name} text: {score}, by chance {chance}");
        }
    }
}
