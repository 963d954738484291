//! COCO's files: reading captions and results, writing scores, and the errors on the way.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use candlewick_metrics::caption::cider::DocumentFrequency;
use candlewick_metrics::caption::coco::{
    Caption, Error, ImageId, Overall, References, Scorer, distinct, evaluate, load_references, load_results,
};
use candlewick_metrics::caption::meteor::{Matchers, Meteor};
use serde_json::{Value, json};
use std::path::PathBuf;

fn file(folder: &tempfile::TempDir, name: &str, text: &str) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn result(id: impl Into<ImageId>, caption: &str) -> Caption {
    Caption { image_id: id.into(), caption: caption.to_owned() }
}

fn references() -> References {
    let mut references = References::new();
    references.insert(42.into(), vec!["A dog runs on the beach.".into(), "The dog's running.".into()]);
    references.insert("cat.jpg".into(), vec!["A cat sleeps on a chair.".into()]);
    references.insert(7.into(), vec!["Nobody asked for this one.".into()]);
    references
}

#[test]
fn files_in_and_scores_out() {
    let folder = tempfile::tempdir().unwrap();
    let captions = json!({
        "info": {"year": 2014}, "images": [{"id": 42}, {"id": "cat.jpg"}],
        "annotations": [
            {"id": 1, "image_id": 42, "caption": "A dog runs on the beach."},
            {"id": 2, "image_id": "cat.jpg", "caption": "A cat sleeps on a chair."},
            {"id": 3, "image_id": 42, "caption": "The dog's running."},
        ],
    });
    let references = load_references(file(&folder, "captions.json", &captions.to_string())).unwrap();
    assert_eq!(references[&42.into()], ["A dog runs on the beach.", "The dog's running."]);
    let results =
        r#"[{"image_id": 42, "caption": "a dog runs on the beach"}, {"image_id": "cat.jpg", "caption": "A dog."}]"#;
    let results = load_results(file(&folder, "results.json", results)).unwrap();
    let scores = evaluate(&references, &results).unwrap();
    let path = folder.path().join("scores.json");
    scores.save(&path).unwrap();
    let written: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let overall = written["overall"].as_object().unwrap();
    for key in ["Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "METEOR_exact_stem", "ROUGE_L", "CIDEr"] {
        assert!(overall[key].is_f64(), "{key}");
    }
    assert!(!overall.contains_key("METEOR"), "the name says which METEOR it is");
    let dog = &written["imgToEval"]["42"];
    assert_eq!(dog["image_id"], 42);
    assert!((dog["METEOR_exact_stem"].as_f64().unwrap() - 1.0).abs() < 1e-12);
    assert!((dog["ROUGE_L"].as_f64().unwrap() - 1.0).abs() < 1e-12);
    // Unigrams: 6 + 1 of 8 match; lengths 6 + 2 against 6 + 6.
    let expected = 7.0 / 8.0 * (1.0_f64 - 12.0 / 8.0).exp();
    assert!((overall["Bleu_1"].as_f64().unwrap() - expected).abs() < 1e-8);
    assert_eq!(written["imgToEval"]["cat.jpg"]["image_id"], "cat.jpg");
}

#[test]
fn a_byte_order_mark_is_no_part_of_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let results = file(&folder, "results.json", "\u{FEFF}[{\"image_id\": 1, \"caption\": \"a dog\"}]");
    assert_eq!(load_results(results).unwrap(), [result(1, "a dog")]);
}

#[test]
fn only_images_with_results_are_scored() {
    let scores = evaluate(&references(), &[result(42, "a dog"), result("cat.jpg", "a cat")]).unwrap();
    assert_eq!(scores.per_image.keys().collect::<Vec<_>>(), [&ImageId::from(42), &ImageId::from("cat.jpg")]);
}

#[test]
fn settings_change_what_they_name() {
    let results = [result(42, "dogs run"), result("cat.jpg", "A cat.")];
    let default = Scorer::default().evaluate(&references(), &results).unwrap().overall;
    let exact = Scorer { meteor: Meteor { matchers: Matchers::Exact }, ..Scorer::default() };
    let exact = exact.evaluate(&references(), &results).unwrap().overall;
    assert!(exact.meteor.value() < default.meteor.value());
    assert_eq!((exact.meteor.name(), exact.bleu_1, exact.cider), ("METEOR_exact", default.bleu_1, default.cider));
    let text = serde_json::to_string(&exact).unwrap();
    assert!(text.contains("\"METEOR_exact\":") && !text.contains("stem"), "{text}");
    assert_eq!(serde_json::from_str::<Overall>(&text).unwrap(), exact);
    // As it is, "cat." is in no reference.
    let cat =
        |tokenize| Scorer { tokenize, ..Scorer::default() }.evaluate(&references(), &results[1..]).unwrap().overall;
    assert!(cat(false).rouge_l < cat(true).rouge_l);
    // Of a corpus with one image only, CIDEr is 0 unless the frequencies come from elsewhere.
    let one = |document_frequency| {
        let scorer = Scorer { document_frequency, ..Scorer::default() };
        scorer.evaluate(&references(), &[result(42, "a dog runs on the beach")]).unwrap().overall.cider
    };
    let elsewhere = vec![vec!["a".to_owned(), "cat".to_owned()]];
    assert_eq!(one(None), 0.0);
    assert!(one(Some(DocumentFrequency::from_references([elsewhere.as_slice(), &[]]))) > 1.0);
}

#[test]
fn errors_say_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let unknown = evaluate(&references(), &[result(43, "a dog")]).unwrap_err();
    assert!(matches!(&unknown, Error::NoReferences(ImageId::Number(43))));
    assert!(unknown.to_string().starts_with("image 43 has a result but no reference captions"));
    let twice = evaluate(&references(), &[result(42, "a dog"), result(42, "a cat")]).unwrap_err();
    assert!(twice.to_string().contains("image 42 has more than one result"));
    assert!(matches!(evaluate(&references(), &[]), Err(Error::NoResults)));
    let missing = load_results(folder.path().join("none.json")).unwrap_err();
    assert!(missing.to_string().contains("none.json"));
    let wrong = load_results(file(&folder, "wrong.json", r#"{"image_id": 1}"#)).unwrap_err();
    assert!(wrong.to_string().contains("wrong.json: not COCO results, [{"), "{wrong}");
    let wrong = load_references(file(&folder, "half.json", r#"{"annotations": [{"image_id": 1}]}"#)).unwrap_err();
    assert!(
        wrong.to_string().contains("half.json: not COCO captions") && wrong.to_string().contains("caption"),
        "{wrong}"
    );
    for error in [unknown, twice, missing, wrong] {
        assert!(!error.to_string().contains('\n'));
    }
}

#[test]
fn distinct_is_a_share() {
    assert_eq!(distinct(&["a dog", "a cat", "a dog", "a dog"]), 0.5);
    assert_eq!(distinct(&["a dog"]), 1.0);
    assert_eq!(distinct::<&str>(&[]), 0.0);
}

#[test]
fn a_thousand_images_are_scored_in_a_moment() {
    let mut references = References::new();
    let mut results = Vec::new();
    let words =
        ["a", "dog", "runs", "with", "the", "red", "ball", "on", "beach", "and", "two", "people", "watch", "it's"];
    let caption = |seed: usize| {
        (0..12).map(|k| words[(seed * 31 + k * k * 7 + seed / 14) % words.len()]).collect::<Vec<_>>().join(" ")
    };
    for image in 0..1000 {
        references.insert(ImageId::Number(image as i64), (0..5).map(|k| caption(image * 5 + k)).collect());
        results.push(result(image as i64, &caption(image * 3 + 1)));
    }
    let start = std::time::Instant::now();
    assert_eq!(evaluate(&references, &results).unwrap().per_image.len(), 1000);
    let seconds = start.elapsed().as_secs_f64();
    println!("1,000 images with 5 references each: {seconds:.2} s");
    assert!(seconds < 20.0);
}

/// Captions in Hindi, Tamil and Thai, of a number and of nothing; the scores are pycocoevalcap's, PTBTokenizer included.
#[test]
fn captions_of_other_scripts_score_as_in_pycocoevalcap() {
    let captions = [
        ("एक कुत्ता घास पर बैठा है।", ["एक कुत्ता घास पर दौड़ रहा है।", "घास पर एक भूरा कुत्ता"]),
        ("ஒரு நாய் ஓடுகிறது.", ["ஒரு நாய் புல்வெளியில் ஓடுகிறது.", "நாய் வேகமாக ஓடுகிறது"]),
        ("สุนัข อยู่บน สนามหญ้า", ["สุนัข วิ่งเล่น อยู่บน สนามหญ้า", "สุนัข สีน้ำตาล"]),
        ("A sign: 5 1/2 cups", ["Call 555 1234 567 for 5 1/2 cups.", "..."]),
        ("!", ["...", "A cat."]),
    ];
    let mut references = References::new();
    let mut results = Vec::new();
    for (id, (caption, human)) in (1_i64..).zip(captions) {
        references.insert(id.into(), human.map(str::to_owned).to_vec());
        results.push(result(id, caption));
    }
    let scores = evaluate(&references, &results).unwrap();
    let overall = &scores.overall;
    let ours = [overall.bleu_1, overall.bleu_2, overall.bleu_3, overall.bleu_4, overall.rouge_l, overall.cider];
    let theirs = [
        0.7054014373304673,
        0.5841278848901835,
        0.44250505841655285,
        0.3325104232053748,
        0.7794887845371588,
        1.8388954353654356,
    ];
    for (our, their) in ours.into_iter().zip(theirs) {
        assert!((our - their).abs() < 1e-12, "{ours:?} is not {theirs:?}");
    }
    let rouge: Vec<f64> = scores.per_image.values().map(|image| image.scores.rouge_l).collect();
    let theirs = [0.7904967602591793, 0.8356164383561644, 0.8356164383561644, 0.43571428571428567, 1.0];
    assert!(rouge.iter().zip(theirs).all(|(our, their)| (our - their).abs() < 1e-12), "{rouge:?}");
}

/// The tokenizer of the scorer reads a file of captions: the period of a letter at a line's end goes with what the next line begins with.
#[test]
fn the_next_caption_decides_about_a_last_letter() {
    let bleu = |next: &str| {
        let mut references = References::new();
        references.insert(1.into(), vec!["it is -10 °C.".to_owned(), next.to_owned()]);
        evaluate(&references, &[result(1, "it is -10 ° C")]).unwrap().overall.bleu_1
    };
    assert!((bleu("A dog") - 1.0).abs() < 1e-8);
    assert!((bleu("Dogs") - 0.8).abs() < 1e-8);
}

/// The most memory this process has held, in MiB, where the system tells.
fn peak_memory() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok().map(|kib| kib / 1024)
}

#[test]
fn long_and_repetitive_captions_are_scored_in_little_time_and_memory() {
    let before = peak_memory();
    let start = std::time::Instant::now();
    let hyphens = |letters: usize| "a-".repeat(letters / 2) + "a";
    let mut references = References::new();
    let mut results = Vec::new();
    for image in 0..5_i64 {
        references.insert(image.into(), vec![hyphens(20_001), "a dog".to_owned()]);
        results.push(result(image, &hyphens(20_001 - 200 * image as usize)));
    }
    for (image, (caption, human)) in (5_i64..).zip([
        ("a ".repeat(4_000), "a ".repeat(3_990)),
        ("a b ".repeat(2_000), "b a ".repeat(2_000)),
        ("run runs ".repeat(2_000), "runs a running ".repeat(1_300)),
        ("a dog ".repeat(10_000), "a cat ".repeat(10_000)),
        (String::new(), String::new()),
        ("\0".to_owned(), "a".repeat(1_000_000)),
    ]) {
        references.insert(image.into(), vec![human]);
        results.push(result(image, &caption));
    }
    let scores = evaluate(&references, &results).unwrap();
    assert!((scores.per_image[&0.into()].scores.meteor.value() - 1.0).abs() < 1e-12);
    assert!((scores.per_image[&5.into()].scores.rouge_l - 0.998).abs() < 1e-3);
    assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
    if let (Some(before), Some(after)) = (before, peak_memory()) {
        assert!(after - before < 256, "{} MiB", after - before);
    }
}
