//! Wu–Palmer similarity and WUPS on a small WordNet, and against reference figures where WordNet's files are there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

use candlewick_metrics::wups::{WordNet, Wups};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Deserialize;
use std::io::Write as _;
use std::path::PathBuf;
use tempfile::TempDir;

/// entity ← animal ← dog, cat, goose; entity ← thing ← tool ← hammer; hammer also an animal's part; hound is an instance of dog.
const DATA: &str = "  1 This is the licence.  
00000010 03 n 01 entity 0 000 | that which is
00000020 03 n 02 animal 0 beast 0 002 @ 00000010 n 0000 ~ 00000030 n 0000
00000030 05 n 01 dog 0 001 @ 00000020 n 0000
00000040 05 n 01 cat 0 001 @ 00000020 n 0000
00000050 05 n 01 hound 0 001 @i 00000030 n 0000
00000060 06 n 01 thing 0 001 @ 00000010 n 0000
00000070 06 n 01 tool 0 001 @ 00000060 n 0000
00000080 06 n 01 hammer 0 002 @ 00000070 n 0000 @ 00000020 n 0000
00000090 05 n 01 goose 0 001 @ 00000020 n 0000
00000100 05 n 01 night_stand 0 001 @ 00000070 n 0000
";
const INDEX: &str = "  1 This is the licence.  
entity n 1 1 ~ 1 0 00000010  
animal n 1 2 @ ~ 1 0 00000020
beast n 1 2 @ ~ 1 0 00000020
dog n 1 1 @ 1 1 00000030
cat n 2 1 @ 2 1 00000040 00000080
hound n 1 1 @ 1 0 00000050
thing n 1 1 @ 1 0 00000060
tool n 1 1 @ 1 0 00000070
hammer n 1 1 @ 1 0 00000080
goose n 1 1 @ 1 0 00000090
night_stand n 1 1 @ 1 0 00000100
";

fn folder(data: &str, index: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("data.noun"), data).unwrap();
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(index.as_bytes()).unwrap();
    std::fs::write(folder.path().join("index.noun.gz"), packed.finish().unwrap()).unwrap();
    std::fs::write(folder.path().join("noun.exc"), "geese goose\n").unwrap();
    folder
}

#[test]
fn words_are_as_alike_as_their_places_say() {
    let folder = folder(DATA, INDEX);
    let wordnet = WordNet::open(folder.path()).unwrap();
    let cases = [
        // Two steps from an animal, which is the second from the root.
        ("dog", "goose", 4.0 / 6.0),
        ("dog", "animal", 4.0 / 5.0),
        ("beast", "animal", 1.0),
        ("hound", "dogs", 6.0 / 7.0),
        ("Geese", "hound", 4.0 / 7.0),
        ("dog", "tool", 2.0 / 6.0),
        // As a hammer a cat is a tool and an animal: the tool lies lower, and its longest way counts.
        ("cat", "night stand", 6.0 / 8.0),
        ("cat", "dog", 4.0 / 6.0),
        ("unheard", "dog", 0.0),
        ("unheard", "Unheard", 1.0),
    ];
    for (a, b, wanted) in cases {
        let found = (wordnet.similarity(a, b), wordnet.similarity(b, a));
        assert_eq!(found, (wanted, wanted), "{a} {b}");
    }
    assert!(wordnet.knows("Night stands") && !wordnet.knows("unheard"));
}

#[test]
fn sets_of_words_are_compared_both_ways() {
    let folder = folder(DATA, INDEX);
    let wordnet = WordNet::open(folder.path()).unwrap();
    let score = |threshold, truth: &[&str], answer: &[&str]| Wups { wordnet: &wordnet, threshold }.score(truth, answer);
    let near = |found: f64, wanted: f64| assert!((found - wanted).abs() < 1e-12, "{found} is not {wanted}");
    near(score(0.0, &["dog"], &["animal"]), 0.8);
    near(score(0.8, &["dog"], &["animal"]), 0.8);
    near(score(0.9, &["dog"], &["animal"]), 0.08);
    // The answer has one word too many: its best is dog.
    near(score(0.0, &["dog"], &["dog", "goose"]), 4.0 / 6.0);
    near(score(0.9, &["dog", "goose"], &["goose"]), 0.4 / 6.0);
    near(score(0.0, &["dog", "tool"], &["tool", "dog"]), 1.0);
    near(score(0.0, &["dog"], &[]), 0.0);
}

#[test]
fn broken_files_are_told_with_their_lines() {
    let told = |data: &str, index: &str| WordNet::open(folder(data, index).path()).unwrap_err().to_string();
    let circle = DATA.replace("0 000 | that", "0 001 @ 00000020 n 0000 | that");
    assert!(told(&circle, INDEX).contains("data.noun, line 2: leads back to itself"), "{}", told(&circle, INDEX));
    let cut = DATA.replace("0 002 @ 00000010 n 0000 ~ 00000030 n 0000", "0 002 @ 00000010 n 0000 ~");
    assert!(told(&cut, INDEX).contains("data.noun, line 3: is no synset of nouns"), "{}", told(&cut, INDEX));
    let unknown = INDEX.replace("00000070", "00000071");
    assert!(
        told(DATA, &unknown).contains("index.noun.gz, line 9: names the synset 00000071"),
        "{}",
        told(DATA, &unknown)
    );
    let few = INDEX.replace("cat n 2", "cat n 3");
    assert!(told(DATA, &few).contains("line 6: is no noun"), "{}", told(DATA, &few));
    let empty = tempfile::tempdir().unwrap();
    let missing = WordNet::open(empty.path()).unwrap_err().to_string();
    assert!(missing.contains("has neither data.noun nor data.noun.gz; name the folder"), "{missing}");
}

#[derive(Deserialize)]
struct Pair {
    truth: Vec<String>,
    answer: Vec<String>,
    #[serde(rename = "wups_0.9")]
    strict: f64,
    #[serde(rename = "wups_0.0")]
    loose: f64,
}

#[test]
fn figures_of_daquar_answers_are_equal() {
    let Some(data) = std::env::var_os("CANDLEWICK_DATA").map(|data| PathBuf::from(data).join("wordnet")) else {
        return eprintln!("skipped: CANDLEWICK_DATA is not set");
    };
    let wordnet = WordNet::open(&data).unwrap();
    let near = |ours: f64, theirs: f64| (ours - theirs).abs() <= 5.0001e-7;
    let text = std::fs::read_to_string(data.join("wup_reference.tsv")).unwrap();
    let rows: Vec<Vec<&str>> = text.lines().skip(1).map(|line| line.split('\t').collect()).collect();
    assert_eq!(rows.len(), 1961);
    for row in rows {
        let ours = wordnet.similarity(row[0], row[1]);
        assert!(near(ours, row[2].parse().unwrap()), "{row:?}: {ours}");
    }
    // NLTK's documentation and tests.
    for (a, b, theirs) in
        [("ship", "boat", 0.9091), ("ship", "car", 0.6957), ("ship", "cat", 0.32), ("dog", "cat", 0.8571)]
    {
        assert!(wordnet.similarity(a, b) >= theirs - 5e-5, "{a} {b}");
    }
    let pairs: Vec<Pair> =
        serde_json::from_str(&std::fs::read_to_string(data.join("wups_reference.json")).unwrap()).unwrap();
    assert_eq!(pairs.len(), 400);
    for pair in pairs {
        let score = |threshold| Wups { wordnet: &wordnet, threshold }.score(&pair.truth, &pair.answer);
        let ours = (score(0.9), score(0.0));
        assert!(near(ours.0, pair.strict) && near(ours.1, pair.loose), "{:?} {:?}: {ours:?}", pair.truth, pair.answer);
    }
}
