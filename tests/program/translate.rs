use super::{fail, run, succeed, text};
use std::fs;
use std::path::Path;

/// Sentences of numbers in two languages, one word for one.
fn write_pairs(folder: &Path) {
    let german = ["eins", "zwei", "drei", "vier"];
    let english = ["one", "two", "three", "four"];
    for (part, first, count) in [("train", 0, 200), ("dev", 1000, 20)] {
        let line = |words: [&str; 4], row: usize| -> String {
            let number = |place: u32| words[(row / 4usize.pow(place) + row) % 4];
            (0..4).map(number).collect::<Vec<_>>().join(" ") + "\n"
        };
        let file = |words: [&str; 4]| (first..first + count).map(|row| line(words, row)).collect::<String>();
        fs::write(folder.join(format!("{part}.de")), file(german)).unwrap();
        fs::write(folder.join(format!("{part}.en")), file(english)).unwrap();
    }
}

#[test]
fn a_translator_is_trained_evaluated_and_used() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    fs::create_dir(here.join("data")).unwrap();
    write_pairs(&here.join("data"));
    let settings = [
        "data.units=spaces",
        "model.encoder.embedding_size=8",
        "model.encoder.hidden_size=8",
        "model.decoder.embedding_size=8",
        "model.decoder.hidden_size=8",
        "model.decoder.attention_size=8",
        "batches.size=8",
        "generation.max_new_tokens=12",
        "training.epochs=2",
        "training.warmup_steps=0",
    ];
    let words = ["train", "multi30k", "--data", "data", "--out", "run", "--quiet"];
    let sets = settings.iter().flat_map(|setting| ["--set", setting]);
    let told = succeed(here, &words.into_iter().chain(sets).collect::<Vec<_>>());
    assert!(told.contains("on 20 pairs of the dev split, nrefs:1|case:mixed") && told.contains("BLEU"), "{told}");

    fs::write(here.join("texts.txt"), "eins zwei drei vier\n\nvier vier\n").unwrap();
    let said = succeed(here, &["translate", "texts.txt", "eins", "--model", "run", "--alignment", "looked"]);
    assert_eq!(said.lines().count(), 4, "{said}");
    assert_eq!(said.lines().nth(1), Some(""));
    let drawn = fs::read_to_string(here.join("looked/1.svg")).unwrap();
    assert!(drawn.contains("zwei") && !here.join("looked/2.svg").exists() && here.join("looked/4.svg").exists());
    let object =
        succeed(here, &["translate", "eins zwei", "--model", "run", "--model", "run", "--n-best", "2", "--json"]);
    let object: serde_json::Value = serde_json::from_str(&object).unwrap();
    let best = object["translations"].as_array().unwrap();
    assert!(best.len() == 2 && best[0]["score"].as_f64() >= best[1]["score"].as_f64(), "{object}");
    assert_eq!(best[0]["source"].as_array().map(Vec::len), Some(3), "{object}");
    let scores =
        succeed(here, &["evaluate", "--model", "run", "--data", "data", "--beam", "2", "--out", "told", "--json"]);
    let scores: serde_json::Value = serde_json::from_str(&scores).unwrap();
    assert!(scores["BLEU"].is_number() && scores["chrF"].is_number() && scores["pairs"] == 20, "{scores}");
    assert_eq!(fs::read_to_string(here.join("told/translations.txt")).unwrap().lines().count(), 20);
    succeed(here, &["export", "run", "out"]);
    assert!(fs::read_to_string(here.join("out/README.md")).unwrap().contains("candlewick translate"));
    refused(here);
}

fn refused(here: &Path) {
    fail(here, &["translate", "eins"], 2, &["--model"]);
    fail(here, &["translate", " ", "--model", "run"], 2, &["empty text"]);
    fail(here, &["translate", "eins", "--model", "nowhere"], 1, &["nowhere"]);
    fail(here, &["sample", "--model", "run"], 1, &["a translator", "candlewick translate"]);
    fail(here, &["evaluate", "--model", "run", "--data", "data", "--split", "test"], 1, &["data", "test split"]);
    fail(here, &["evaluate", "--model", "run", "--data", "data", "--sample"], 2, &["--sample"]);
    fail(here, &["train", "multi30k", "--data", "data", "--regions", "r"], 2, &["--regions"]);
    fail(here, &["train", "multi30k", "--data", "data", "--set", "data.target=fr"], 1, &["data", ".fr"]);
    fs::write(here.join("latin1.txt"), b"eins\ncaf\xe9\n").unwrap();
    let output = run(here, &["translate", "latin1.txt", "--model", "run"]);
    let said = text(&output.stderr);
    assert!(said.contains("latin1.txt") && said.contains("line 2 is no UTF-8"), "{said}");
    fs::write(here.join("data/dev.de"), "eins\n").unwrap();
    fail(here, &["evaluate", "--model", "run", "--data", "data"], 1, &["dev.de", "1 lines", "dev.en", "20"]);
}
