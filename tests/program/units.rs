use super::{fail, succeed};
use std::fs;
use std::path::Path;

/// Lines of words and numbers of any length, some between quotation marks.
fn prose(lines: usize) -> String {
    let mut state = 12345u32;
    let mut below = |n: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) % n
    };
    let mut text = String::new();
    for _ in 0..lines {
        for _ in 0..4 + below(5) {
            let quoted = below(4) == 0;
            let first = if below(2) == 0 { 'a' } else { '0' };
            let word: String =
                (0..1 + below(6)).map(|_| char::from_u32(first as u32 + below(10)).unwrap_or('a')).collect();
            text += &if quoted { format!("\"{word}\" ") } else { format!("{word} ") };
        }
        text += "\n";
    }
    text
}

/// A language model that hardly learned anything.
fn trained(here: &Path) {
    fs::write(here.join("text.txt"), prose(300)).unwrap();
    let settings = [
        "model.hidden_size=16",
        "model.embedding_size=8",
        "model.stack.num_layers=2",
        "model.stack.weight_dropout=0",
        "batches.size=4",
        "batches.steps=16",
        "training.epochs=1",
    ];
    let words = ["train", "shakespeare", "--data", "text.txt", "--out", "run", "--quiet"];
    let sets = settings.iter().flat_map(|setting| ["--set", setting]);
    succeed(here, &words.into_iter().chain(sets).collect::<Vec<_>>());
}

#[test]
fn units_that_tell_properties_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    trained(here);
    let words = ["units", "run", "text.txt", "--property", "digit=[0-9]", "--property", "at the end= $"];
    let table = succeed(here, &words);
    for part in ["property", "digit", "at the end", "position", "layer ", "64 units", "half of the text: comment, if, "]
    {
        assert!(table.contains(part), "{part:?} is not in {table}");
    }
    let object = succeed(here, &[&words[..], &["--length", "4000", "--json", "--out", "units.html"]].concat());
    let page = fs::read_to_string(here.join("units.html")).unwrap();
    assert!(page.contains("layer 2 c 15") && page.contains("at the end") && page.contains("Units over text.txt"));
    let object: serde_json::Value = serde_json::from_str(&object).unwrap();
    assert_eq!((object["characters"].as_u64(), object["units"].as_u64()), (Some(4000), Some(64)));
    assert_eq!((object["page"].as_str(), object["characters_shown"].as_u64()), (Some("units.html"), Some(4000)));
    let rows = object["properties"].as_array().unwrap();
    let names: Vec<&str> = rows.iter().filter_map(|row| row["property"].as_str()).collect();
    assert_eq!(names, ["quotes", "string", "position", "line end", "word", "digit", "at the end"]);
    // Whatever reads digits and letters by vectors of their own has units that tell them apart.
    let digit = &rows[5];
    assert!(digit["score"].as_f64().unwrap() > 0.5 && digit["chance"].as_f64().unwrap().abs() < 0.2, "{digit}");
    assert!(digit["unit"].as_str().unwrap().starts_with("layer "), "{digit}");
    assert!(object["constant"].as_array().unwrap().iter().any(|name| name == "math"), "{object}");

    for (words, code, parts) in [
        (&["units", "run", "text.txt", "--property", "a=("][..], 2, &["unclosed group", "--property a=("][..]),
        (&["units", "run", "text.txt", "--property", "a"], 2, &["NAME=REGEX"]),
        (&["units", "run", "text.txt", "--property", "quotes=a"], 2, &["quotes", "another name"]),
        (&["units", "run", "text.txt", "--property", "a=b", "--property", "a=c"], 2, &["a", "another name"]),
        (&["units", "run", "text.txt", "--length", "99"], 2, &["--length is 99"]),
        (&["units", "run", "none.txt"], 1, &["none.txt"]),
        (&["units", "none", "text.txt"], 1, &["none"]),
        (&["units", "run", "empty.txt"], 1, &["empty.txt", "is empty"]),
        (&["units", "run", "short.txt"], 1, &["short.txt", "has 5 characters", "100"]),
        (&["units", "run", "latin.txt"], 1, &["latin.txt", "byte 3", "--encoding"]),
        (&["units", "run", "latin.txt", "--encoding", "klingon"], 1, &["klingon"]),
        (
            &["units", "run", "text.txt", "--length", "200", "--out", "none/a.html"],
            1,
            &["none/a.html", "no folder none"],
        ),
        (&["units", "other", "text.txt"], 1, &["a classifier's folder", "candlewick classify"]),
    ] {
        fs::write(here.join("empty.txt"), "").unwrap();
        fs::write(here.join("short.txt"), "short").unwrap();
        fs::write(here.join("latin.txt"), b"caf\xe9").unwrap();
        fs::create_dir_all(here.join("other")).unwrap();
        fs::write(here.join("other/config.json"), r#"{"model_type": "image-classifier"}"#).unwrap();
        fail(here, words, code, parts);
    }
}
