use super::{fail, run, succeed, text};
use std::fs;

/// Sentences that praise or blame, laid out as SST-2's.
fn sentences(rows: usize) -> String {
    let about = ["the film", "a story", "the cast", "the music", "an end"];
    let told = [("is fine", 1), ("is a joy", 1), ("is dull", 0), ("is a mess", 0)];
    let row = |row: usize| {
        let (what, label) = told[row % told.len()];
        format!("{} {what}\t{label}\n", about[row % about.len()])
    };
    "sentence\tlabel\n".to_owned() + &(0..rows).map(row).collect::<String>()
}

#[test]
fn a_classifier_of_texts_is_trained_evaluated_and_used() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    fs::create_dir(here.join("data")).unwrap();
    fs::write(here.join("data/train.tsv"), sentences(120)).unwrap();
    fs::write(here.join("data/dev.tsv"), sentences(20)).unwrap();
    let settings = [
        "model.embedding_size=8",
        "model.hidden_size=8",
        "model.pooling=['attention']",
        "model.stack.input_dropout=0",
        "model.dropout=0",
        "model.word_dropout=0",
        "batches.size=8",
        "training.epochs=6",
        "training.average=0.5",
        "training.optimizer.learning_rate=0.02",
    ];
    let words = ["train", "sst2", "--data", "data", "--out", "run", "--quiet"];
    let sets = settings.iter().flat_map(|setting| ["--set", setting]);
    let told = succeed(here, &words.into_iter().chain(sets).collect::<Vec<_>>());
    assert!(told.contains("on 20 sequences of the dev split:") && told.contains("accuracy          1.0000"), "{told}");
    let said =
        succeed(here, &["classify", "--model", "run", "--text", "The film is a joy.", "--text", "an end is dull"]);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!((lines[0], lines[3]), ("The film is a joy.", "an end is dull"), "{said}");
    assert!(lines[1].ends_with("%  positive") && lines[4].ends_with("%  negative") && !said.contains('\x1b'), "{said}");
    let object = succeed(here, &["classify", "--model", "run", "--text", "the cast is a mess", "--json", "--top", "1"]);
    let object: serde_json::Value = serde_json::from_str(&object).unwrap();
    assert_eq!(object["classes"].as_array().map(Vec::len), Some(1), "{object}");
    assert_eq!(object["classes"][0]["label"], "negative");
    let words = object["words"].as_array().unwrap();
    assert_eq!(
        words.iter().map(|word| word["word"].as_str().unwrap()).collect::<Vec<_>>().join(" "),
        "the cast is a mess"
    );
    let whole: f64 = words.iter().map(|word| word["alpha"].as_f64().unwrap()).sum();
    assert!((whole - 1.0).abs() < 1e-5, "{object}");
    let scores = succeed(here, &["evaluate", "--model", "run", "--data", "data", "--json"]);
    let scores: serde_json::Value = serde_json::from_str(&scores).unwrap();
    assert_eq!((scores["accuracy"].as_f64(), scores["sequences"].as_u64()), (Some(1.0), Some(20)), "{scores}");
    succeed(here, &["export", "run", "out"]);
    assert!(fs::read_to_string(here.join("out/README.md")).unwrap().contains("candlewick classify --model"));
    refused(here);
}

#[test]
fn a_classifier_of_texts_begins_with_a_language_model() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    fs::create_dir(here.join("data")).unwrap();
    fs::write(here.join("data/train.tsv"), sentences(60)).unwrap();
    fs::write(here.join("data/dev.tsv"), sentences(20)).unwrap();
    let plain: String = sentences(200)
        .lines()
        .skip(1)
        .filter_map(|row| row.split('\t').next())
        .map(|text| format!("{text}\n"))
        .collect();
    fs::write(here.join("text.txt"), plain).unwrap();
    let sizes =
        ["--set", "model.embedding_size=8", "--set", "model.hidden_size=8", "--set", "training.epochs=1", "--quiet"];
    let train = |words: &[&'static str]| words.iter().copied().chain(sizes).collect::<Vec<_>>();
    succeed(
        here,
        &train(&[
            "train",
            "ptb",
            "--data",
            "text.txt",
            "--out",
            "lm",
            "--set",
            "data.units=words",
            "--set",
            "batches.size=2",
            "--set",
            "batches.steps=8",
            "--set",
            "model.tied=false",
            "--set",
            "model.stack.num_layers=1",
        ]),
    );
    let begun = ["train", "sst2", "--data", "data", "--start", "lm", "--out", "run", "--set", "data.least_count=1"];
    let told = succeed(here, &train(&begun));
    assert!(told.contains("on 20 sequences of the dev split:"), "{told}");
    succeed(here, &["classify", "--model", "run", "--text", "the film is fine"]);
    let again = ["train", "sst2", "--data", "data", "--start", "run", "--out", "other", "--set", "data.least_count=1"];
    fail(here, &train(&again), 1, &["run", "classifier of sequences"]);
}

fn refused(here: &std::path::Path) {
    fail(here, &["classify", "--model", "run", "a.png"], 2, &["run", "--text"]);
    fail(here, &["classify", "--model", "run"], 2, &["FILE"]);
    fail(here, &["classify", "--model", "run", "--text", " "], 1, &["has no words"]);
    fail(here, &["classify", "--model", "resnet18", "--text", "a"], 2, &["--text", "resnet18 classifies pictures"]);
    fail(here, &["sample", "--model", "run"], 1, &["classifier of sequences", "candlewick classify"]);
    fail(here, &["evaluate", "--model", "run", "--data", "data", "--split", "test"], 1, &["data", "test split"]);
    fail(here, &["evaluate", "--model", "run", "--data", "data", "--beam", "3"], 2, &["--beam"]);
    fail(here, &["train", "sst2", "--data", "data", "--regions", "r"], 2, &["--regions"]);
    fs::write(here.join("data/dev.tsv"), "sentence\tlabel\na film\t2\n").unwrap();
    fail(
        here,
        &["evaluate", "--model", "run", "--data", "data"],
        1,
        &["dev.tsv", "\"2\"", "none of the training part"],
    );
    fs::write(here.join("data/dev.tsv"), b"sentence\tlabel\ncaf\xe9\t1\n").unwrap();
    let output = run(here, &["evaluate", "--model", "run", "--data", "data"]);
    assert!(text(&output.stderr).contains("dev.tsv"), "{}", text(&output.stderr));
    succeed(here, &["evaluate", "--model", "run", "--data", "data", "--encoding", "latin1"]);
}
