//! What transformers finds on the same decoder, from scripts/fixtures/decoding.py.

use super::small::{EOS, Small};
use candle_core::{Device, Tensor};
use candlewick_generation::{GenerationConfig, LogitsProcessor as _, generate, processors};
use serde_json::Value;

fn fixture() -> Value {
    serde_json::from_str(include_str!("../fixtures/decoding.json")).unwrap()
}

fn matrix(value: &Value) -> Tensor {
    let rows: Vec<Vec<f32>> = serde_json::from_value(value.clone()).unwrap();
    Tensor::new(rows, &Device::Cpu).unwrap()
}

#[test]
fn searches_find_what_transformers_finds() {
    let fixture = fixture();
    let decoder = Small::new(matrix(&fixture["table"]), matrix(&fixture["before"]), matrix(&fixture["time"]));
    let sources = matrix(&fixture["source"]);
    for case in fixture["searches"].as_array().unwrap() {
        let settings = &case["settings"];
        let config = GenerationConfig::from_json(&settings.to_string()).unwrap();
        let found = generate(&decoder, &sources, 3, &config).unwrap();
        for (ours, theirs) in found.iter().zip(case["found"].as_array().unwrap()) {
            let theirs = theirs.as_array().unwrap();
            assert_eq!(ours.len(), theirs.len(), "{settings}");
            for (ours, theirs) in ours.iter().zip(theirs) {
                assert_eq!(serde_json::json!(ours.words), theirs["words"], "{settings}");
                assert_eq!(serde_json::json!(ours.finished), theirs["finished"], "{settings}");
                if let Some(score) = theirs["score"].as_f64() {
                    let error = (f64::from(ours.score) - score).abs();
                    assert!(error < 1e-5 * score.abs().max(1.0), "{settings}: {} and {score}", ours.score);
                }
            }
        }
    }
}

#[test]
fn scores_are_processed_as_by_transformers() {
    let fixture = fixture();
    let case = &fixture["logits"];
    let scores: Vec<f32> = serde_json::from_value(case["scores"].clone()).unwrap();
    let history: Vec<u32> = serde_json::from_value(case["history"].clone()).unwrap();
    let bad: Vec<Vec<u32>> = serde_json::from_value(case["bad_words_ids"].clone()).unwrap();
    for (name, wanted) in case["processed"].as_object().unwrap() {
        let mut found = scores.clone();
        let (kind, number) = name.split_once(' ').unwrap_or((name, "0"));
        let number: f64 = number.parse().unwrap();
        match kind {
            "top_k" => processors::TopK(number as usize).process(&mut found, &history).unwrap(),
            "top_p" => processors::TopP(number).process(&mut found, &history).unwrap(),
            "repetition_penalty" => processors::RepetitionPenalty(number).process(&mut found, &history).unwrap(),
            "no_repeat_ngram_size" => processors::NoRepeatNgram(number as usize).process(&mut found, &history).unwrap(),
            "bad_words_ids" => processors::BadWords { sequences: bad.clone(), eos_token_id: Some(EOS) }
                .process(&mut found, &history)
                .unwrap(),
            other => panic!("{other}"),
        }
        let wanted: Vec<Option<f32>> = serde_json::from_value(wanted.clone()).unwrap();
        for (found, wanted) in found.iter().zip(wanted) {
            let wanted = wanted.unwrap_or(f32::NEG_INFINITY);
            assert!(*found == wanted || (found - wanted).abs() < 1e-6, "{name}: {found} and {wanted}");
        }
    }
}
