//! Two files line by line alike: how they are found, what is skipped, what is wrong, and Multi30k itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

use candlewick_data::Split;
use candlewick_data::parallel::{LoadOptions, Pair, load, read};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write as _;
use std::path::PathBuf;
use tempfile::TempDir;

/// A folder with these files; those that end in .gz are packed.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(text.as_bytes()).unwrap();
        let bytes = if name.ends_with(".gz") { packed.finish().unwrap() } else { text.as_bytes().to_vec() };
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

fn told(pairs: &[Pair]) -> String {
    pairs.iter().map(|pair| format!("{}={}", pair.source, pair.target)).collect::<Vec<_>>().join("|")
}

const TRAIN: [(&str, &str); 2] =
    [("train.de.gz", "eins \r\n\r\nzwei drei\nvier\n"), ("train.en", "one\ntwo\n two three\nfour")];

#[test]
fn parts_are_found_by_their_names_and_broken_pairs_are_counted() {
    let mut files = TRAIN.to_vec();
    files.extend([
        ("val.de", "so lang wie nie\n"),
        ("val.en", "as long as ever\n"),
        ("test_2016.de", "x"),
        ("test_2016.en", "y"),
    ]);
    files.extend([("train.fr", "un\n"), ("read.me", "")]);
    let folder = folder(&files);
    let options = LoadOptions { max_words: 1, max_share: 0.5, ..LoadOptions::default() };
    let set = load(folder.path(), "de", "en", &options).unwrap();
    assert_eq!(told(set.split(Split::Train).unwrap()), "eins=one|vier=four");
    // Only what is trained on is shortened.
    assert_eq!(told(set.split(Split::Dev).unwrap()), "so lang wie nie=as long as ever");
    assert_eq!(
        (told(set.split(Split::Test).unwrap()), told(set.part("test_2016").unwrap())),
        ("x=y".into(), "x=y".into())
    );
    let report = "skipped 2 of 6 pairs: train:2: the source is empty; train:3: the source has 2 words, more than 1";
    assert_eq!(set.skipped.report().unwrap(), report);
    let fault = load(folder.path(), "de", "en", &LoadOptions::default()).unwrap_err().to_string();
    assert!(fault.starts_with("1 of 6 pairs are broken"), "{fault}");
    let two = read("train", &folder.path().join("train.en"), &folder.path().join("train.de.gz"), &options).unwrap();
    assert_eq!(told(two.split(Split::Train).unwrap()), "one=eins|four=vier");
}

#[test]
fn faults_name_the_files() {
    let fault = |files: &[(&str, &str)]| {
        let folder = folder(files);
        let message = load(folder.path(), "de", "en", &LoadOptions::default()).unwrap_err().to_string();
        assert!(!message.contains('\n'), "{message}");
        message.replace(folder.path().to_str().unwrap(), "SET")
    };
    let none = "SET: has no file that ends in .en or .en.gz; name its languages";
    assert_eq!(fault(&[("train.de", "a"), ("train.fr", "b")]), none);
    let lines = "SET/train.de: has 2 lines where SET/train.en has 3; each is the other's translation";
    assert_eq!(fault(&[("train.de", "a\nb"), ("train.en", "a\nb\nc")]), lines);
    let alone = fault(&[("train.de", "a"), ("train.en", "b"), ("dev.en", "c")]);
    assert_eq!(alone, "SET/dev.en: has no file of the same name in de beside it");
    let twice = fault(&[("train.de", "a"), ("train.de.gz", "a"), ("train.en", "b")]);
    assert!(twice.contains("is there twice, as SET/train.de"), "{twice}");
    let set =
        load(folder(&TRAIN).path(), "de", "en", &LoadOptions { max_share: 1.0, ..LoadOptions::default() }).unwrap();
    assert_eq!(set.split(Split::Dev).unwrap_err().to_string(), "no part for the dev split; there are train");
    assert_eq!(set.part("dev").unwrap_err().to_string(), "no part is called dev; there are train");
}

#[test]
fn multi30k_and_english_korean_themselves() {
    let Some(data) = std::env::var_os("CANDLEWICK_DATA").map(PathBuf::from) else {
        return eprintln!("skipped: CANDLEWICK_DATA is not set");
    };
    let set = load(&data.join("multi30k"), "de", "en", &LoadOptions::default()).unwrap();
    let sizes = [Split::Train, Split::Dev, Split::Test].map(|split| set.split(split).unwrap().len());
    assert_eq!((sizes, set.skipped.report()), ([29_000, 1_014, 1_000], None));
    let first = &set.split(Split::Train).unwrap()[0];
    assert_eq!(first.target, "Two young, White males are outside near many bushes.");
    let set = load(&data.join("english_korean"), "en", "ko", &LoadOptions::default()).unwrap();
    let sizes = ["train", "dev", "jhe_dev"].map(|name| set.part(name).unwrap().len());
    assert_eq!((sizes, set.split(Split::Dev).unwrap().len()), ([4_801, 400, 720], 400));
}
