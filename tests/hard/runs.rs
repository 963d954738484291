use crate::support::{candlewick, photos, small, succeed};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// The files of a run's last checkpoint, but for the clock's numbers.
fn last(run: &Path) -> BTreeMap<String, Vec<u8>> {
    let about: serde_json::Value = serde_json::from_slice(&fs::read(run.join("run.json")).unwrap()).unwrap();
    let folder = run.join(about["last"].as_str().unwrap());
    let names = ["model.safetensors", "optimizer.safetensors", "tokenizer.json", "config.json"];
    names.iter().map(|name| (name.to_string(), fs::read(folder.join(name)).unwrap())).collect()
}

#[test]
#[cfg(unix)]
fn a_run_on_photos_killed_twenty_times_ends_the_same_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    photos(here);
    let train = |out, features| -> Vec<String> {
        let words = "train train.toml --data data --encoder-weights encoder.safetensors --quiet --set training.epochs=3 \
                     --set training.checkpoint_every=1 --set batches.size=2 --threads 1";
        let own = format!(" --out {out} --set data.features='{features}'");
        (words.to_owned() + &own).split_whitespace().map(str::to_owned).collect()
    };
    let (whole, killed) = (train("whole", "seen"), train("killed", "seen-too"));
    succeed(here, &whole.iter().map(String::as_str).collect::<Vec<_>>());
    // Somebody else's things in the folder stay through all of it.
    fs::create_dir_all(here.join("killed/.tmp-mine")).unwrap();
    fs::write(here.join("killed/.tmp-mine/thesis.txt"), "mine").unwrap();
    let mut kills = 0;
    for round in 0..20u64 {
        let mut child = candlewick(here).args(&killed).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(40 + 37 * round % 400));
        kills += u32::from(child.try_wait().unwrap().is_none());
        let _ = child.kill();
        child.wait().unwrap();
    }
    assert!(kills > 0, "the run was never killed");
    succeed(here, &killed.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(last(&here.join("whole")) == last(&here.join("killed")), "the checkpoints differ after {kills} kills");
    assert_eq!(fs::read_to_string(here.join("killed/.tmp-mine/thesis.txt")).unwrap(), "mine");
}

/// A limit on the size of files stands in for a disk that fills up.
#[test]
#[cfg(unix)]
fn a_full_disk_is_told_and_what_was_there_before_stays() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    photos(here);
    let limited = |kilobytes: u32, words: &[&str]| {
        let mut command = Command::new("bash");
        let script = format!("trap '' XFSZ; ulimit -f {kilobytes}; exec \"$@\"");
        command.args(["-c", &script, "bash", env!("CARGO_BIN_EXE_candlewick")]);
        let output = command.args(words).current_dir(here).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{words:?}: {said}");
        let lines: Vec<&str> = said.lines().filter(|line| line.starts_with("candlewick: ")).collect();
        assert!(lines.len() == 1 && !said.contains("panicked"), "{words:?}: {said}");
        lines[0].to_owned()
    };
    // While annotations are computed, while a checkpoint is written, while results are.
    let train = ["train", "train.toml", "--data", "data", "--encoder-weights", "encoder.safetensors", "--quiet"];
    let line = limited(8, &[&train[..], &["--out", "runs/photos"]].concat());
    assert!(line.contains("File too large"), "{line}");
    let line = limited(64, &small("out", &[]));
    assert!(line.contains("safetensors") && line.contains("whole"), "{line}");
    succeed(here, &small("out", &["training.max_seconds=0.001"]));
    let before = last(&here.join("out"));
    let line = limited(64, &small("out", &[]));
    assert!(line.contains("safetensors"), "{line}");
    assert!(last(&here.join("out")) == before);
    // Nothing half written stays, and the same commands succeed where there is room.
    assert!(fs::read_dir(here.join("out")).unwrap().all(|entry| {
        let name = entry.unwrap().file_name().into_string().unwrap();
        !name.starts_with(".tmp-")
    }));
    succeed(here, &[&train[..], &["--out", "runs/photos"]].concat());
}
