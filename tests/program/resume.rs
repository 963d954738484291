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
