use super::{fail, run, succeed, text};
use std::fs;

#[test]
fn a_language_model_is_trained_sampled_and_evaluated() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let line: String = (0..10).map(|number| format!("{number} ")).collect();
    fs::write(here.join("text.txt"), format!("{line}\n").repeat(80)).unwrap();
    let settings = [
        "model.hidden_size=16",
        "model.embedding_size=8",
        "model.stack.num_layers=1",
        "model.stack.weight_dropout=0",
        "batches.size=4",
        "batches.steps=16",
        "training.epochs=2",
    ];
    let words = ["train", "shakespeare", "--data", "text.txt", "--out", "run", "--quiet"];
    let sets = settings.iter().flat_map(|setting| ["--set", setting]);
    let told = succeed(here, &words.into_iter().chain(sets).collect::<Vec<_>>());
    assert!(told.contains("nats_per_character") && told.contains("samples.md"), "{told}");
    let drawn = succeed(here, &["sample", "--model", "run", "--prime", "3 4", "--length", "20"]);
    assert!(drawn.starts_with("3 4"), "{drawn}");
    assert_eq!(drawn, succeed(here, &["sample", "--model", "run", "--prime", "3 4", "--length", "20"]));
    let object = succeed(here, &["sample", "--model", "run", "--length", "20", "--count", "2", "--json"]);
    assert_eq!(object.lines().count(), 2);
    for more in [["--temperature", "0"], ["--feed", "softmax"]] {
        succeed(here, &[&["sample", "--model", "run", "--length", "20"], &more[..]].concat());
    }
    let scores = succeed(here, &["evaluate", "--model", "run", "--data", "text.txt", "--json"]);
    let scores: serde_json::Value = serde_json::from_str(&scores).unwrap();
    assert!(scores["nats_per_character"].as_f64().is_some_and(|nats| nats > 0.0), "{scores}");
    let output = run(here, &["sample", "--model", "run", "--prime", "x"]);
    assert!(output.stdout.is_empty() && text(&output.stderr).contains("does not know \"x\""));
    fail(here, &["caption", "a.png", "--model", "run"], 1, &["language model", "candlewick sample"]);
    fail(here, &["sample", "--model", "run", "--temperature", "nan"], 2, &["--temperature"]);
    fail(here, &["train", "shakespeare", "--data", "nowhere.txt"], 1, &["nowhere.txt"]);
    fs::write(here.join("latin.txt"), b"caf\xe9").unwrap();
    fail(here, &["train", "shakespeare", "--data", "latin.txt"], 1, &["latin.txt", "byte 3", "data.encoding"]);
}
