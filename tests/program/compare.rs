use crate::support::{RECIPE, flickr, weights};
use crate::{fail, succeed};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// Photos, an encoder and two recipes, the second of which starts from the run of the first.
fn ready(here: &Path) {
    flickr(here);
    weights(here, "convnet", "encoder.safetensors");
    fs::write(here.join("first.toml"), RECIPE.replace("\"photos\"\n", "\"first\"\n")).unwrap();
    fs::write(here.join("second.toml"), "base = 'first.toml'\nname = 'second'\nstart = 'runs/first'").unwrap();
}

fn compare<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let given = ["--data", "data", "--encoder-weights", "encoder.safetensors", "--quiet"];
    [&["compare"], more, &given].concat()
}

#[test]
fn recipes_are_trained_in_the_order_given_and_told_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    ready(here);
    let said = succeed(here, &compare(&["first.toml", "second.toml", "--json", "--out", "both"]));
    let said: Value = serde_json::from_str(&said).unwrap();
    for (one, name) in said["captioners"].as_array().unwrap().iter().zip(["first", "second"]) {
        assert_eq!((&one["name"], &one["model"]), (&name.into(), &format!("runs/{name}").into()));
        for key in ["Bleu_4", "CIDEr", "distinct", "training_seconds", "seconds"] {
            assert!(one[key].is_f64(), "{key} is not in {one}");
        }
        assert_eq!(one["pictures"], 4);
        assert!(here.join(one["results"].as_str().unwrap()).starts_with(here.join("both").join(name)));
    }
    let page = fs::read_to_string(here.join(said["page"].as_str().unwrap())).unwrap();
    assert!(page.contains("<b>first</b>") && page.contains("<b>second</b>"));
    let mut left: Vec<_> = fs::read_dir(here.join("runs")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["features", "first", "second"]);

    // Runs are taken as they are; the encoder lies where training had it.
    let again = ["compare", "runs/second", "runs/first", "--data", "data", "--split", "test", "--shown", "2"];
    let table = succeed(here, &again);
    let rows: Vec<&str> = table.lines().collect();
    assert!(rows[0].contains("| CIDEr |") && rows[2].starts_with("| second |") && rows[3].starts_with("| first |"));
    assert_eq!(rows[4], "runs/comparison/comparison.html");
    assert_eq!(fs::read_to_string(here.join(rows[4])).unwrap().matches("<figure>").count(), 2);
}

#[test]
fn what_is_wrong_is_told_before_anything_is_trained() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    ready(here);
    let recipe = |name: &str, text: &str| fs::write(here.join(format!("{name}.toml")), text).unwrap();
    recipe("same", "base = 'first.toml'");
    recipe("critical", "base = 'first.toml'\nname = 'critical'\n[self_critical]");
    recipe("other", "base = 'second.toml'");
    recipe("bars", "task = 'classification'\nname = 'bars'\n[network]\nname = 'convnet'\n[training]\nepochs = 1");
    recipe("wide", "base = 'first.toml'\nname = 'wide'\n[decoder]\nhidden_size = 0");
    let refused = |words: &[&str], code: i32, parts: &[&str]| {
        fail(here, &compare(&[&["first.toml"], words].concat()), code, parts);
        assert!(!here.join("runs/first").exists(), "{words:?}: a run was begun");
        assert!(!here.join("runs/comparison").exists(), "{words:?}: something was written");
    };
    refused(&["same.toml"], 2, &["first.toml and same.toml", "both be called first"]);
    refused(&["runs/first"], 2, &["first.toml and runs/first", "both be called first"]);
    refused(&["bars.toml"], 1, &["bars.toml: not a captioning recipe"]);
    refused(&["other.toml"], 1, &["second.toml: has a base itself"]);
    refused(&["critical.toml"], 1, &["critical.toml: self_critical wants", "start = \"runs/flickr8k\""]);
    refused(&["critical.toml", "--set", "start=runs/none"], 1, &["start is runs/none: no such run", "train it first"]);
    refused(&["wide.toml", "--set", "training.clip_norm=-1"], 1, &["clip_norm must be above 0"]);
    refused(&["wide.toml", "--set", "batches.size=0"], 1, &["first.toml: ", "batches.size is 0"]);
    refused(&["wide.toml", "--set", "training.metric=Blue"], 1, &["first.toml: metric: the task gives no score Blue"]);
    refused(&["nowhere"], 1, &["nowhere: holds no config.json"]);
    refused(&["second.toml", "--split", "tset"], 2, &["tset"]);
    refused(&["second.toml", "--include", "zebra"], 2, &["first.toml: ", "does not know the word \"zebra\""]);
    refused(&["second.toml", "--mirrored", "--set", "encoder.coordinates=true"], 1, &["first.toml: mirrored"]);
    recipe("taken", "base = 'first.toml'\nname = 'taken'");
    let given = ["--data", "data", "--encoder-weights", "encoder.safetensors", "--quiet"];
    succeed(here, &[&["train", "taken.toml", "--out", "runs/taken"][..], &given].concat());
    let other = ["taken.toml", "--set", "training.clip_norm=0.5"];
    refused(&other, 1, &["taken.toml: ", "runs/taken", "clip_norm"]);
    let backwards = ["compare", "second.toml", "first.toml", "--data", "data", "--quiet"];
    fail(here, &backwards, 1, &["second.toml: start is runs/first: first.toml, which makes it, comes later"]);
    fail(here, &["compare", "first.toml", "--data", "none", "--quiet"], 1, &["none"]);
    let weights = ["--data", "data", "--encoder-weights", "none.safetensors", "--quiet"];
    fail(
        here,
        &[&["compare", "first.toml"][..], &weights].concat(),
        1,
        &["first.toml: ", "none.safetensors: cannot be read"],
    );
    fail(here, &["compare", "models/scenes", "--set", "name=x", "--data", "data"], 2, &["--set", "none of these"]);
    assert!(!here.join("runs/first").exists() && !here.join("runs/second").exists());
}
