//! A run that was stopped at any moment and goes on equals one that was not, bit for bit.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod toy;

use candlewick_training::*;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use std::{env, fs, thread};
use toy::{Toy, config, log, names};

fn optimizer_bytes(run: &Path) -> Vec<u8> {
    let last = Checkpoint::load(run).unwrap().unwrap().folder;
    fs::read(last.join("optimizer.safetensors")).unwrap()
}

fn same(a: &Path, b: &Path, what: &str) {
    assert_eq!(log(a), log(b), "{what}: the logs differ");
    assert_eq!(optimizer_bytes(a), optimizer_bytes(b), "{what}: the optimizers differ");
    let weights =
        |run: &Path| fs::read(Checkpoint::load(run).unwrap().unwrap().folder.join("model.safetensors")).unwrap();
    assert_eq!(weights(a), weights(b), "{what}: the weights differ");
    assert_eq!(names(a), names(b), "{what}: the folders differ");
    let length = |run: &Path| fs::metadata(run.join(EVENTS_FILE)).unwrap().len();
    assert_eq!(length(a), length(b), "{what}: the events differ");
}

#[test]
fn stopped_at_any_batch_a_run_ends_the_same() {
    for (accumulate, average) in [(1, None), (3, Some(0.9))] {
        let config = FitConfig { accumulate, average, ..config() };
        let straight = tempfile::tempdir().unwrap();
        fit(&mut Toy::new(40), &config, straight.path(), &mut Silent).unwrap();
        for stop_after in [0, 2, 5, 7, 8, 9, 16, 23, 31] {
            let out = tempfile::tempdir().unwrap();
            let mut stopped = Toy::new(40);
            stopped.stop_after = Some(stop_after);
            let error = fit(&mut stopped, &config, out.path(), &mut Silent).unwrap_err();
            assert_eq!(error.to_string(), "stopped");
            let mut resumed = Toy::new(40);
            fit(&mut resumed, &config, out.path(), &mut Silent).unwrap();
            if stop_after > 9 {
                assert!(resumed.seen.load(Relaxed) < 40 - stop_after + 9, "it went on, it did not begin anew");
            }
            same(out.path(), straight.path(), &format!("stopped after {stop_after} batches"));
        }
    }
}

#[test]
fn stopped_again_and_again_it_still_ends_the_same() {
    let plateau = Schedule::Plateau { factor: 0.5, patience: 0, min_delta: 0.2, metric: Some("-errors".into()) };
    let early_stopping = Some(EarlyStopping { patience: 100, min_delta: 0.0, metric: None });
    let config = FitConfig { schedule: plateau, early_stopping, keep: 2, ..config() };
    let (straight, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fit(&mut Toy::new(40), &config, straight.path(), &mut Silent).unwrap();
    let mut starts = 0;
    loop {
        let mut task = Toy::new(40);
        task.stop_after = Some(4);
        starts += 1;
        match fit(&mut task, &config, out.path(), &mut Silent) {
            Ok(_) => break,
            Err(error) => assert_eq!(error.to_string(), "stopped"),
        }
    }
    assert!(starts > 9, "{starts}");
    same(out.path(), straight.path(), "stopped again and again");
}

#[test]
fn a_run_killed_before_it_removed_an_older_checkpoint_removes_it_later() {
    let out = tempfile::tempdir().unwrap();
    fit(&mut Toy::new(20), &config(), out.path(), &mut Silent).unwrap();
    let ended = names(out.path());
    fs::create_dir(out.path().join("checkpoint-1")).unwrap();
    fit(&mut Toy::new(20), &config(), out.path(), &mut Silent).unwrap();
    assert_eq!(names(out.path()), ended);
}

const CHILD: &str = "CANDLEWICK_TRAINING_CHILD_RUN";

/// The part of the next test that is killed.
#[test]
fn child() {
    if let Some(run) = env::var_os(CHILD) {
        let config = FitConfig { checkpoint_every: 2, ..config() };
        fit(&mut Toy::new(20), &config, Path::new(&run), &mut Silent).unwrap();
    }
}

#[test]
#[cfg(unix)]
fn killed_at_random_moments_a_run_ends_the_same() {
    let config = FitConfig { checkpoint_every: 2, ..config() };
    let (straight, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fit(&mut Toy::new(20), &config, straight.path(), &mut Silent).unwrap();
    let mut rng = candlewick_parameters::Rng::derive(4, "kills", 0);
    let mut kills = 0;
    loop {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["child", "--exact"])
            .env(CHILD, out.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // A child is left alone in the end, so that the test ends on the slowest machine too.
        if kills < 25 {
            thread::sleep(Duration::from_millis(20 + rng.below(60) as u64));
        } else {
            child.wait().unwrap();
        }
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success());
            break;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
    }
    eprintln!("killed {kills} times");
    assert!(kills > 0, "the run was over before the first kill");
    same(out.path(), straight.path(), "killed");
}
