//! Units of the stored small models: one of War and Peace knows of quotes, one of Shakespeare the place in the line.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use candle_core::Device;
use candlewick_data::text::Text;
use candlewick_generation::GenerationConfig;
use candlewick_tasks::language_model::LanguageModel;
use candlewick_tasks::language_model::units::{properties, score_units};
use std::path::Path;

/// Finds the unit for a property over a text that the model writes, and over a real one where there is one.
fn check(name: &str, property: &str, prime: &str, real: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models").join(name);
    let model = LanguageModel::from_pretrained(&folder, &Device::Cpu).unwrap();
    let settings = GenerationConfig { max_new_tokens: 12_000, seed: 1, ..model.generation().clone() };
    let mut texts: Vec<String> = vec![model.sample(prime, &settings).unwrap().map(Result::unwrap).collect()];
    match std::env::var_os("CANDLEWICK_DATA") {
        Some(data) => {
            let text = Text::open(&Path::new(&data).join(real), "utf-8").unwrap();
            // A part that it was not trained on.
            let [_, dev] = text.split(0.1);
            texts.push(dev.whole().unwrap().chars().take(20_000).collect());
        }
        None => eprintln!("skipped: CANDLEWICK_DATA is not set"),
    }
    for text in texts {
        let scores = score_units(&model.activations(&text).unwrap(), &properties(&text)).unwrap();
        let telling = scores.telling.iter().find(|telling| telling.property == property).unwrap();
        let (score, chance) = (telling.score, telling.chance);
        assert!(score >= 0.6 && chance.abs() <= 0.2, "{name}: {property} {score}, by chance {chance}");
    }
}

#[test]
fn a_unit_knows_of_quotes() {
    check("war_and_peace", "quotes", "\n\n\"", "war_and_peace/dev.txt");
}

#[test]
fn a_unit_knows_the_place_in_the_line() {
    check("shakespeare", "position", "\n\n", "text/tinyshakespeare.txt");
}
