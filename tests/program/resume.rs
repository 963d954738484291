use crate::{candlewick, small, succeed};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

/// The weights of the last checkpoint of a run.
fn weights(run: &Path) -> Vec<u8> {
    let about: serde_json::Value = serde_json::from_slice(&std::fs::read(run.join("run.json")).unwrap()).unwrap();
    std::fs::read(run.join(about["last"].as_str().unwrap()).join("model.safetensors")).unwrap()
}

#[test]
fn a_run_killed_again_and_again_ends_with_the_same_weights_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let settings = ["training.checkpoint_every=2", "decoder.dropout=0.2"];
    succeed(folder.path(), &small("whole", &settings));
    let words = small("killed", &settings);
    let mut killed = 0;
    for round in 0..40 {
        let mut child =
            candlewick(folder.path()).args(&words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(150 + 90 * round));
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success());
            break;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        killed += 1;
    }
    assert!(killed > 0, "the run was never killed");
    succeed(folder.path(), &words);
    assert!(weights(&folder.path().join("whole")) == weights(&folder.path().join("killed")), "the weights differ");
    let steps = std::fs::read_to_string(folder.path().join("killed/log.jsonl")).unwrap();
    let whole = std::fs::read_to_string(folder.path().join("whole/log.jsonl")).unwrap();
    assert_eq!(steps.lines().count(), whole.lines().count(), "no step is logged twice or lost");
}

#[test]
#[cfg(unix)]
fn a_run_that_was_told_to_stop_writes_a_checkpoint_and_goes_on_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let settings = ["decoder.dropout=0.2", "training.epochs=3"];
    succeed(folder.path(), &small("whole", &settings));
    let words = small("stopped", &settings);
    let mut stops = 0;
    for round in 0..10 {
        let mut child =
            candlewick(folder.path()).args(&words).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        // Once it has begun to train it listens.
        let log = folder.path().join("stopped/log.jsonl");
        let length = || std::fs::metadata(&log).map_or(0, |about| about.len());
        let before = length();
        while length() == before && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(7 * round));
        let (signal, code) = if round % 2 == 0 { ("-TERM", 143) } else { ("-INT", 130) };
        std::process::Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        let output = child.wait_with_output().unwrap();
        // After the training, in its last scoring, a signal ends the program at once.
        if output.status.success() || output.status.code().is_none() {
            break;
        }
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{told}");
        assert!(told.contains("candlewick: stopped at step ") && told.contains("the same command goes on"), "{told}");
        stops += 1;
    }
    assert!(stops > 0, "the run was never stopped");
    succeed(folder.path(), &words);
    assert!(weights(&folder.path().join("whole")) == weights(&folder.path().join("stopped")), "the weights differ");
}

#[test]
fn a_run_keeps_its_precision_and_may_go_on_in_another() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = || std::fs::read_to_string(folder.path().join("run/recipe.toml")).unwrap();
    succeed(folder.path(), &[&small("run", &["training.epochs=1"])[..], &["--precision", "medium"]].concat());
    assert!(recipe().contains("precision = \"medium\""), "{}", recipe());
    succeed(folder.path(), &small("run", &["training.epochs=1", "training.precision=bf16"]));
    assert!(recipe().contains("precision = \"bf16\""), "{}", recipe());
}
