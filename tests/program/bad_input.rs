use crate::{fail, scene, small, succeed};
use std::fs;
use std::path::Path;

#[test]
fn wrong_calls_end_with_code_2_and_say_what_would_be_right() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    fail(here, &["paint"], 2, &["paint", "--help"]);
    fail(here, &["caption"], 2, &["PICTURE"]);
    fail(here, &["train", "--set", "training.epoch=3"], 2, &["--set training.epoch=3", "unknown field", "epochs"]);
    fail(here, &["train", "--set", "training.epochs=many"], 2, &["training.epochs=many", "invalid type"]);
    fail(here, &["train", "--set", "training.epochs"], 2, &["KEY=VALUE"]);
    fail(here, &["train", "--device", "abacus"], 2, &["abacus", "cuda"]);
    fail(here, &["caption", "x.png", "--device", "cuda"], 2, &["--features cuda", "--device cpu"]);
    fail(here, &["caption", "x.png", "--beam", "0"], 2, &["--beam", "one is the least"]);
    fail(here, &["train", "--data", "."], 2, &["--data", "models/flickr8k/train.toml"]);
    fail(here, &["evaluate", "--model", "m", "--data", "d", "--split", "tset"], 2, &["tset", "dev"]);
    fail(here, &["train", "--set", "generation.num_beam=5"], 2, &["generation.num_beam: no such setting"]);
    fail(here, &["caption", "x.png", "--encoder-weights", "y"], 2, &["--encoder-weights y", "--model"]);
    let few = ["caption", "x.png", "--beam", "2", "--n-best", "4"];
    fail(here, &few, 2, &["--n-best must be at most --beam = 2; found 4"]);
    fail(here, &["caption", "a/1.jpg", "b/1.png", "--attention", "out"], 2, &["a/1.jpg and b/1.png", "out/1"]);
    assert!(!here.join("runs").exists(), "a wrong call leaves nothing behind");
}

#[test]
fn recipes_and_model_folders_that_cannot_be_used_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    fail(here, &["train", "missing.toml"], 1, &["missing.toml"]);
    fs::write(here.join("broken.toml"), "task = \"captioning\"\nname").unwrap();
    fail(here, &["train", "broken.toml"], 1, &["broken.toml"]);
    let (photo, _) = scene(here, 1);
    let photo = photo.to_str().unwrap();
    fail(here, &["caption", photo, "--model", "nowhere"], 1, &["nowhere", "config.json"]);
    fs::create_dir(here.join("model")).unwrap();
    fs::write(here.join("model/config.json"), "{\"model_type\": \"bert\"}").unwrap();
    fail(here, &["caption", photo, "--model", "model"], 1, &["config.json"]);
}

/// Not after the first epoch, which would be lost.
#[test]
fn settings_that_cannot_be_are_refused_before_the_first_step() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let small = ["--set", "data.train=8", "--set", "data.dev=4"];
    for (setting, wanted) in [
        ("training.metric=bleu", "metric: the task gives no score bleu; it gives exact_match, pointing"),
        ("training.validate_every=0", "validate_every is 0"),
        ("batches.validated=0", "batches.validated is 0"),
        ("generation.num_beams=0", "num_beams must be at least 1"),
        ("decoder.attention={kind=\"hard\",context_mix=50}", "attention.context_mix is 50"),
        ("loss.doubly_stochastic=-1", "doubly_stochastic is -1"),
        ("self_critical={}", "self_critical: wants a captioner"),
    ] {
        fail(here, &[&["train", "--set", setting][..], &small].concat(), 1, &[wanted]);
    }
}

#[test]
fn pictures_that_are_none_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let (photo, _) = scene(here, 1);
    let bytes = fs::read(&photo).unwrap();
    fs::write(here.join("cut.png"), &bytes[..bytes.len() / 2]).unwrap();
    fs::write(here.join("empty.jpg"), b"").unwrap();
    fs::write(here.join("bomb.png"), bomb()).unwrap();
    for name in ["cut.png", "empty.jpg", "bomb.png", "missing.jpg"] {
        fail(here, &["caption", name], 1, &[name]);
    }
}

/// The header of a PNG that claims 100,000 × 100,000 pixels.
fn bomb() -> Vec<u8> {
    let mut header = b"IHDR".to_vec();
    header.extend([0, 1, 0x86, 0xa0, 0, 1, 0x86, 0xa0, 8, 2, 0, 0, 0]);
    let crc = header.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1)))
    });
    let mut bytes = b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0d".to_vec();
    bytes.extend(header);
    bytes.extend((!crc).to_be_bytes());
    bytes.extend(b"\x00\x00\x00\x00IDAT");
    bytes
}

fn trained(here: &Path) -> std::path::PathBuf {
    succeed(here, &small("out", &["training.epochs=1"]));
    let about: serde_json::Value = serde_json::from_slice(&fs::read(here.join("out/run.json")).unwrap()).unwrap();
    here.join("out").join(about["last"].as_str().unwrap())
}

#[test]
fn a_checkpoint_cut_in_half_is_named_and_left_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let checkpoint = trained(here);
    let model = checkpoint.join("model.safetensors");
    let whole = fs::read(&model).unwrap();
    fs::write(&model, &whole[..whole.len() / 2]).unwrap();
    let (photo, _) = scene(here, 1);
    fail(
        here,
        &["caption", photo.to_str().unwrap(), "--model", "out"],
        1,
        &["model.safetensors", "damaged or changed"],
    );
    fail(here, &small("out", &["training.epochs=1"]), 1, &["model.safetensors"]);
    assert_eq!(fs::read(&model).unwrap().len(), whole.len() / 2);
    // Another configuration does not go on with the run either.
    fs::write(&model, &whole).unwrap();
    fail(here, &small("out", &["decoder.hidden_size=16"]), 1, &["out", "configuration"]);
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    fs::write(here.join("file"), b"no folder").unwrap();
    fail(here, &small("file/out", &[]), 1, &["file/out"]);
}

/// A limit on the size of files stands in for a disk that fills up while a checkpoint is written.
#[cfg(unix)]
#[test]
fn a_full_disk_ends_the_run_and_leaves_the_checkpoint_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let limited = |words: &[&str]| {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", "trap '' XFSZ; ulimit -f 64; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_candlewick")]);
        let output = command.args(words).current_dir(here).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        let lines: Vec<&str> = said.lines().filter(|line| line.starts_with("candlewick: ")).collect();
        assert!(lines.len() == 1 && lines[0].contains("safetensors") && lines[0].contains("whole"), "{said}");
        assert!(!said.contains("panicked"), "{said}");
    };
    let checkpoints = || {
        let names =
            fs::read_dir(here.join("out")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| name.contains("checkpoint")).collect();
        names.sort();
        names
    };
    limited(&small("out", &[]));
    assert!(checkpoints().is_empty(), "half a checkpoint was left: {:?}", checkpoints());
    // A run that ended early goes on, meets the full disk, and goes on again from where it stood.
    succeed(here, &small("out", &["training.max_seconds=0.001"]));
    let before = checkpoints();
    let model = fs::read(here.join("out").join(&before[0]).join("model.safetensors")).unwrap();
    limited(&small("out", &[]));
    assert_eq!(checkpoints(), before);
    assert_eq!(fs::read(here.join("out").join(&before[0]).join("model.safetensors")).unwrap(), model);
    succeed(here, &small("out", &[]));
    assert!(checkpoints() != before);
}
