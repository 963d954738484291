use crate::support::{RECIPE, flickr, weights};
use crate::{candlewick, text};
use std::fs;
use std::path::Path;
use std::process::Output;

/// Runs the program with a cache of its own and a hub that does not answer.
fn offline(here: &Path, words: &[&str]) -> Output {
    let mut command = candlewick(here);
    command.env("HF_HOME", here.join("cache")).env("HF_ENDPOINT", "http://127.0.0.1:9");
    command.args(words).output().unwrap()
}

#[test]
fn encoders_weights_come_from_the_cache_of_the_hub() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    flickr(here);
    fs::write(here.join("train.toml"), RECIPE).unwrap();
    let given = ["--encoder-weights", "hub:some/one", "--data", "data"];
    let train = [&["train", "train.toml"][..], &given].concat();
    let commands: [Vec<&str>; 4] = [
        train.clone(),
        [&["evaluate", "--model", "runs/photos"][..], &given].concat(),
        [&["compare", "train.toml"][..], &given].concat(),
        ["caption", "data/images/test0.png", "--model", "runs/photos", given[0], given[1]].to_vec(),
    ];
    for words in &commands {
        let output = offline(here, words);
        let said = text(&output.stderr);
        let line = said.lines().last().unwrap_or_default();
        assert_eq!(output.status.code(), Some(1), "{words:?}: {said}");
        assert!(line.starts_with("candlewick: hub:some/one: not in the cache"), "{words:?}: {said}");
        assert!(line.ends_with("name a file with --encoder-weights FILE"), "{words:?}: {said}");
        assert!(!here.join("runs/photos").exists());
    }

    let cached = here.join("cache/hub/models--some--one");
    fs::create_dir_all(cached.join("snapshots/first")).unwrap();
    fs::create_dir_all(cached.join("refs")).unwrap();
    fs::write(cached.join("refs/main"), "first").unwrap();
    weights(&cached, "convnet", "snapshots/first/model.safetensors");
    for words in &commands {
        let output = offline(here, words);
        assert!(output.status.success(), "{words:?}: {}", text(&output.stderr));
    }
    // Where it was then is written down.
    assert!(offline(here, &["caption", "data/images/test0.png", "--model", "runs/photos"]).status.success());
    // A recipe may name it too.
    let recipe = RECIPE.replace("network = \"convnet\"", "network = \"convnet\", pretrained = \"hub:some/one\"");
    fs::write(here.join("named.toml"), recipe).unwrap();
    let output = offline(here, &["train", "named.toml", "--data", "data"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
}
