//! Tests of the whole program: each runs the real binary in a folder of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

/// A backbone of the caller's own as the encoder of a captioner.
mod backbone;
/// Wrong files, wrong arguments: one line that says what to do, and nothing lost.
mod bad_input;
/// The commands as a user calls them.
mod command_line;
/// Captioners side by side: trained in order, and refused before training.
mod compare;
/// A crate outside the workspace that uses the public API only.
mod downstream;
/// Weights from the Hugging Face hub.
mod hub;
/// Classifiers, checkpoints, and what the lecture compares.
mod lecture;
/// Photos: the caption formats, pretrained weights, evaluation.
mod photos;
/// Killed and resumed runs.
mod resume;
/// How captions are searched for, and by several models as one.
mod search;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The program, about to run in `folder`.
fn candlewick(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_candlewick"));
    command.current_dir(folder).env_remove("RUST_BACKTRACE");
    command
}

/// Runs the program with these words and gives what came out.
fn run(folder: &Path, words: &[&str]) -> Output {
    candlewick(folder).args(words).output().expect("the program starts")
}

/// Runs the program, which must succeed, and gives its standard output.
fn succeed(folder: &Path, words: &[&str]) -> String {
    let output = run(folder, words);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "candlewick {words:?} failed\n{out}\n{err}");
    out
}

/// Runs the program, which must fail with this exit code and one line on standard error that has all `parts` in it.
fn fail(folder: &Path, words: &[&str], code: i32, parts: &[&str]) {
    let output = run(folder, words);
    let err = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "candlewick {words:?}: {err}");
    let said: Vec<&str> = err.lines().filter(|line| line.starts_with("candlewick: ")).collect();
    assert_eq!(said.len(), 1, "candlewick {words:?} must say one line: {err}");
    for part in parts {
        assert!(said[0].contains(part), "{part:?} is not in: {}", said[0]);
    }
    assert!(!err.contains("panicked"), "{err}");
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Arguments of a training on few scenes that ends within seconds.
fn small<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let settings = ["data.train=48", "data.dev=6", "training.epochs=2", "batches.size=8", "decoder.hidden_size=32"];
    let mut words = vec!["train", "--quiet", "--out", out];
    words.extend(settings.iter().chain(more).flat_map(|setting| ["--set", setting]));
    words
}

/// Writes a generated scene as PNG and gives its path and caption.
fn scene(folder: &Path, index: u64) -> (PathBuf, String) {
    let scene = candlewick::data::scenes::Scene::generate(3, index, candlewick::data::captions::Split::Test);
    let path = folder.join(format!("scene-{index}.png"));
    scene.draw().save(&path).unwrap();
    (path, scene.caption)
}
