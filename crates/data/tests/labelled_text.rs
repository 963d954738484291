//! Sentences with a class each: the formats, what may be wrong in them, and SST-2 and the polarity set themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

use candlewick_data::Split;
use candlewick_data::labelled_text::{LabelledText, LoadOptions, load};
use std::collections::HashSet;
use std::path::PathBuf;
use tempfile::TempDir;

fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    files.iter().for_each(|(name, bytes)| std::fs::write(folder.path().join(name), bytes).unwrap());
    folder
}

/// The whole training part, nothing held out.
fn options() -> LoadOptions {
    LoadOptions { dev_share: 0.0, max_share: 0.5, ..LoadOptions::default() }
}

fn told(set: &LabelledText, split: Split) -> String {
    let one = set.parts.of(split).iter().map(|one| format!("{}:{}", set.classes[one.label as usize], one.text));
    one.collect::<Vec<_>>().join("|")
}

fn fault(files: &[(&str, &[u8])]) -> String {
    let folder = folder(files);
    let message = load(folder.path(), &LoadOptions { max_share: 0.0, ..options() }).unwrap_err().to_string();
    assert!(!message.contains('\n'), "{message}");
    message.replace(folder.path().to_str().unwrap(), "SET")
}

#[test]
fn tables_are_read_with_their_splits() {
    let train = b"sentence\tlabel\nit 's \"good \t1\n\nbad , bad\t0\n \t0\n";
    let dev = b"idx,text,label\n1,\"good, good\",1\n";
    let folder = folder(&[("train.tsv", train), ("val.csv", dev), ("test.tsv", b"index\tsentence\n0\tgood\n")]);
    let set = load(folder.path(), &options()).unwrap();
    assert_eq!(told(&set, Split::Train), "1:it 's \"good|0:bad , bad");
    assert_eq!((told(&set, Split::Dev), told(&set, Split::Test)), ("1:good, good".to_owned(), String::new()));
    assert_eq!(set.notes, ["left out test.tsv: it has no labels"]);
    assert_eq!(set.skipped.report().unwrap(), "skipped 1 of 4 sentences: train.tsv:5: the sentence is empty");
    let alone = load(&folder.path().join("train.tsv"), &LoadOptions { dev_share: 0.9, ..options() }).unwrap();
    assert_eq!((alone.classes.join(" "), alone.parts.count()), ("0 1".to_owned(), 2));
}

#[test]
fn two_files_are_two_classes_in_their_encoding() {
    let folder = folder(&[("rt.neg", b"d\xe9j\xe0 vu \r\nbad\n"), ("rt.pos", b"good\n")]);
    let fault = load(folder.path(), &options()).unwrap_err().to_string();
    assert!(fault.contains("rt.neg: byte 1 is not UTF-8"), "{fault}");
    let set = load(folder.path(), &LoadOptions { encoding: "latin1".into(), ..options() }).unwrap();
    assert_eq!(told(&set, Split::Train), "neg:déjà vu|neg:bad|pos:good");
}

#[test]
fn folds_share_out_the_sentences() {
    let rows: String = (0..100).map(|row| format!("sentence {}\t{}\n", row % 50, row % 2)).collect();
    let folder = folder(&[("train.tsv", format!("sentence\tlabel\n{rows}").as_bytes())]);
    let set = load(folder.path(), &options()).unwrap();
    let folds: Vec<LabelledText> = (0..5).map(|number| set.fold(number, 5).unwrap()).collect();
    assert_eq!(folds.iter().map(|fold| fold.parts.test.len()).sum::<usize>(), 100);
    for fold in &folds {
        let test: HashSet<&str> = fold.parts.test.iter().map(|one| one.text.as_str()).collect();
        assert!(!test.is_empty() && fold.parts.train.iter().all(|one| !test.contains(one.text.as_str())));
    }
    assert_eq!(set.fold(5, 5).unwrap_err().to_string(), "fold 5 of 5 is none; give one from 0 to 4");
}

#[test]
fn faults_name_file_and_line() {
    let good: (&str, &[u8]) = ("train.tsv", b"sentence\tlabel\na\t0\nb\t1\n");
    let cases: [(&[(&str, &[u8])], &str); 9] = [
        (&[], "SET: has neither train.tsv or train.csv nor files that end in .neg and .pos; give"),
        (
            &[("train.tsv", b"sentence\tscore\na\t0\n")],
            "SET/train.tsv, line 1: has no column label or class; it has sentence, score",
        ),
        (&[("train.tsv", b"sentence\tlabel\na\t0\nb\n")], "SET/train.tsv, line 3: has 1 cells where the header has 2"),
        (&[("train.tsv", b"sentence\tlabel\na\t0\nb\t\n")], "SET/train.tsv, line 3: has no label"),
        (&[("train.tsv", b"sentence\tlabel\na\t0\n")], "SET: has one class, 0; a classifier wants two"),
        (&[("train.tsv", b"sentence\tlabel\na\t0\n\t1\n")], "1 of 2 sentences are broken"),
        (
            &[good, ("test.tsv", b"sentence\tlabel\na\t2\n")],
            "SET/test.tsv, line 2: the label \"2\" is none of the training part (0, 1)",
        ),
        (
            &[good, ("dev.tsv", b"sentence\tlabel\n"), ("val.tsv", b"")],
            "SET/val.tsv: is the dev split, as SET/dev.tsv is; keep one",
        ),
        (&[("a.neg", b"x\n")], "SET: has 0 files that end in .pos; wanted one"),
    ];
    for (files, wanted) in cases {
        assert!(fault(files).starts_with(wanted), "{}", fault(files));
    }
}

#[test]
fn sst2_and_the_polarity_set_themselves() {
    let Some(data) = std::env::var_os("CANDLEWICK_DATA").map(PathBuf::from) else {
        return eprintln!("skipped: CANDLEWICK_DATA is not set");
    };
    let sst2 = load(&data.join("sst2"), &LoadOptions::default()).unwrap();
    assert_eq!((sst2.classes.join(" "), sst2.parts.count(), sst2.skipped.count()), ("0 1".to_owned(), 67_349, 0));
    assert!((6_000..7_500).contains(&sst2.parts.dev.len()), "{}", sst2.parts.dev.len());
    let polarity = LoadOptions { encoding: "latin1".into(), dev_share: 0.0, ..LoadOptions::default() };
    let polarity = load(&data.join("rt_polarity"), &polarity).unwrap();
    let counts = [0, 1].map(|label| polarity.parts.train.iter().filter(|one| one.label == label).count());
    assert_eq!((polarity.classes.join(" "), counts), ("neg pos".to_owned(), [5331, 5331]));
    assert!(polarity.parts.train.iter().any(|one| one.text.contains('é')));
    let sizes: Vec<usize> = (0..10).map(|fold| polarity.fold(fold, 10).unwrap().parts.test.len()).collect();
    assert_eq!(sizes.iter().sum::<usize>(), 10_662);
    assert!(sizes.iter().all(|size| (950..1190).contains(size)), "{sizes:?}");
}
