use super::support::tone;
use super::{fail, succeed};
use std::fs;
use std::path::Path;

#[test]
fn a_classifier_of_sounds_is_trained_evaluated_and_used() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    for number in 0..40 {
        for (class, hertz) in [("low", 300.0), ("high", 1200.0)] {
            let name = format!("data/{class}_ann_{number}.wav");
            tone(&here.join(name), 8000, hertz + 5.0 * f64::from(number), 900 + 10 * number as usize);
        }
    }
    let settings = ["model.hidden_size=8", "data.dev_share=0.2", "batches.size=8", "training.epochs=4"];
    let words = [
        "train",
        "spoken_digits",
        "--data",
        "data",
        "--out",
        "run",
        "--quiet",
        "--set",
        "training.optimizer.learning_rate=0.02",
    ];
    let sets = settings.iter().flat_map(|setting| ["--set", setting]);
    let told = succeed(here, &words.into_iter().chain(sets).collect::<Vec<_>>());
    assert!(told.contains("on 10 sequences of the test split:") && told.contains("accuracy          1.0000"), "{told}");
    // Shorter than a frame, which is filled up.
    tone(&here.join("short.wav"), 8000, 1300.0, 150);
    tone(&here.join("other.wav"), 16_000, 300.0, 900);
    let said = succeed(here, &["classify", "short.wav", "data/low_ann_3.wav", "--model", "run", "--top", "1"]);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!((lines[0], lines[2]), ("short.wav", "data/low_ann_3.wav"), "{said}");
    assert!(lines[1].ends_with("%  high") && lines[3].ends_with("%  low"), "{said}");
    let object = succeed(here, &["classify", "short.wav", "--model", "run", "--json"]);
    let object: serde_json::Value = serde_json::from_str(&object).unwrap();
    assert_eq!((&object["file"], &object["classes"][0]["label"]), (&"short.wav".into(), &"high".into()), "{object}");
    fail(
        here,
        &["classify", "other.wav", "--model", "run"],
        1,
        &["other.wav: has 16000 samples a second; wanted 8000"],
    );
    fs::write(here.join("cut.wav"), &fs::read(here.join("short.wav")).unwrap()[..100]).unwrap();
    fail(here, &["classify", "cut.wav", "--model", "run"], 1, &["cut.wav: is cut short"]);
    fail(here, &["classify", "--text", "low", "--model", "run"], 2, &["--text", "run classifies no texts"]);
    let scores = succeed(here, &["evaluate", "--model", "run", "--data", "data", "--split", "test", "--json"]);
    let scores: serde_json::Value = serde_json::from_str(&scores).unwrap();
    assert_eq!((scores["accuracy"].as_f64(), scores["sequences"].as_u64()), (Some(1.0), Some(10)), "{scores}");
}

/// A clip of a spot that goes to the right or down, as PNG.
fn clip(folder: &Path, right: bool, start: u32) {
    fs::create_dir_all(folder).unwrap();
    for frame in 0..6u32 {
        let at = if right { (2 + 3 * frame, start) } else { (start, 2 + 3 * frame) };
        let spot = |x: u32, y: u32| (at.0..at.0 + 4).contains(&x) && (at.1..at.1 + 4).contains(&y);
        let picture = image::RgbImage::from_fn(24, 24, |x, y| image::Rgb([if spot(x, y) { 255 } else { 0 }; 3]));
        picture.save(folder.join(format!("{frame}.png"))).unwrap();
    }
}

#[test]
fn a_classifier_of_clips_is_trained_evaluated_and_used() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    for start in 0..10 {
        for (class, right) in [("right", true), ("down", false)] {
            let split = if [3, 6].contains(&start) { "dev" } else { "train" };
            clip(&here.join(format!("data/{split}/{class}/ann_{start}")), right, 2 * start);
        }
    }
    let settings = [
        "data.frames={kind='clips',height=24,width=24}",
        "encoder.config.blocks=[{channels=8,kernel_size=4,stride=4}]",
        "encoder.vector=mean",
        "model.hidden_size=16",
        "model.dropout=0",
        "model.stack.input_dropout=0",
        "batches.window=5",
        "batches.mirror=false",
        "batches.size=4",
        "training.average=0.5",
        "training.epochs=30",
        "training.optimizer.learning_rate=0.01",
    ];
    let words = ["train", "weizmann", "--data", "data", "--out", "run", "--quiet"];
    let sets = settings.iter().flat_map(|setting| ["--set", setting]);
    let told = succeed(here, &words.into_iter().chain(sets).collect::<Vec<_>>());
    assert!(told.contains("on 4 sequences of the dev split:") && told.contains("accuracy          1.0000"), "{told}");
    let said = succeed(here, &["classify", "data/dev/down/ann_6", "--model", "run", "--plot", "strips", "--top", "1"]);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], Path::new("strips").join("ann_6.svg").display().to_string(), "{said}");
    assert!(lines[1] == "data/dev/down/ann_6" && lines[2].ends_with("%  down"), "{said}");
    let strip = fs::read_to_string(here.join("strips/ann_6.svg")).unwrap();
    assert_eq!(strip.matches("<image").count(), 6);
    assert!(strip.contains(">down</text>"));
    let two = ["data/dev/down/ann_6", "data/dev/right/ann_6"];
    succeed(here, &["classify", two[0], two[1], "--model", "run", "--plot", "two", "--json"]);
    assert!(here.join("two/ann_6.svg").is_file() && here.join("two/ann_6-2.svg").is_file());
    let scores = succeed(here, &["evaluate", "--model", "run", "--data", "data", "--json"]);
    let scores: serde_json::Value = serde_json::from_str(&scores).unwrap();
    assert_eq!((scores["accuracy"].as_f64(), scores["sequences"].as_u64()), (Some(1.0), Some(4)), "{scores}");
    fail(here, &["classify", "data/dev/down/ann_6/1.png", "--model", "run"], 1, &["1.png: is no clip"]);
    fail(here, &["classify", "none.gif", "--model", "run"], 1, &["none.gif"]);
    fs::create_dir(here.join("one")).unwrap();
    fs::copy(here.join("data/dev/down/ann_6/1.png"), here.join("one/1.png")).unwrap();
    fail(here, &["classify", "one", "--model", "run"], 1, &["one: has one frame; a clip has two or more"]);
}

#[test]
fn tables_and_notes_are_told_of_in_files() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    fs::create_dir(here.join("data")).unwrap();
    let row = |row: usize| {
        let (class, value) = if (row / 4).is_multiple_of(2) { ("low", 0.1) } else { ("high", 0.9) };
        format!("s{},{class},{value}\n", row / 4)
    };
    let table = |rows: usize| "sequence,label,x\n".to_owned() + &(0..rows).map(row).collect::<String>();
    fs::write(here.join("data/train.csv"), table(160)).unwrap();
    fs::write(here.join("data/dev.csv"), table(32)).unwrap();
    let small = ["model.hidden_size=8", "training.epochs=6", "training.optimizer.learning_rate=0.02", "batches.size=4"];
    let train = |words: &[&str], more: &[&str]| {
        let sets = small.iter().chain(more).flat_map(|setting| ["--set", setting]);
        succeed(here, &words.iter().copied().chain(sets).chain(["--quiet"]).collect::<Vec<_>>())
    };
    train(
        &["train", "vowels", "--data", "data", "--out", "each"],
        &["data.output=each", "model.stack.bidirectional=false"],
    );
    fs::write(here.join("new.csv"), "x\n0.1\n0.1\n0.9\n0.9\n").unwrap();
    let said = succeed(here, &["classify", "new.csv", "--model", "each"]);
    assert!(said.starts_with("new.csv\n  1-"), "{said}");
    let object: serde_json::Value =
        serde_json::from_str(&succeed(here, &["classify", "new.csv", "--model", "each", "--json"])).unwrap();
    assert_eq!(object["steps"].as_array().map(Vec::len), Some(4), "{object}");
    fail(here, &["classify", "new.csv", "--model", "each", "--plot", "drawn"], 2, &["--plot"]);
    fs::write(here.join("wide.csv"), "x,y\n1,2\n").unwrap();
    fail(here, &["classify", "wide.csv", "--model", "each"], 1, &["wide.csv: has 2 columns"]);
    let piece = "[[60],[64],[60],[64],[60]]";
    fs::write(here.join("notes.json"), format!("{{\"train\":[{0}],\"valid\":[{piece}]}}", [piece; 12].join(",")))
        .unwrap();
    train(&["train", "chorales", "--data", "notes.json", "--out", "notes"], &["training.average=0.5"]);
    fs::write(here.join("new.json"), piece).unwrap();
    let said = succeed(here, &["classify", "new.json", "--model", "notes", "--plot", "rolls", "--top", "2"]);
    assert_eq!(said.lines().count(), 4, "{said}");
    assert!(fs::read_to_string(here.join("rolls/new.svg")).unwrap().matches("class=\"note\"").count() == 5);
    let drawn = succeed(
        here,
        &[
            "train",
            "adding",
            "--out",
            "sum",
            "--quiet",
            "--set",
            "data.values.train=64",
            "--set",
            "data.values.steps=6",
            "--set",
            "data.values.dev=8",
            "--set",
            "data.values.test=8",
            "--set",
            "training.epochs=1",
        ],
    );
    assert!(drawn.contains("on 8 sequences of the test split:"), "{drawn}");
    let scores = succeed(here, &["evaluate", "--model", "sum", "--data", "adding", "--split", "test", "--json"]);
    let scores: serde_json::Value = serde_json::from_str(&scores).unwrap();
    assert_eq!(scores["sequences"].as_u64(), Some(8), "{scores}");
    fail(here, &["evaluate", "--model", "sum", "--data", "moving"], 1, &["moving"]);
    succeed(here, &["export", "notes", "out"]);
    assert!(fs::read_to_string(here.join("out/README.md")).unwrap().contains("candlewick classify piece.json --model"));
    fail(here, &["train", "adding", "--data", "data"], 2, &["--data", "are drawn"]);
}
