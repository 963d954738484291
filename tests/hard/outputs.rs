use crate::support::{candlewick, scene, small, succeed};
use crate::{bounded, checked, watched};
use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;

/// A pipe whose reader is gone.
fn closed() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

fn full() -> Stdio {
    File::options().write(true).open("/dev/full").unwrap().into()
}

fn checkpoints(run: &Path) -> usize {
    let names = fs::read_dir(run).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("checkpoint-")).count()
}

#[test]
#[cfg(target_os = "linux")]
fn a_closed_output_ends_what_only_prints_quietly_and_a_full_one_with_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    scene(here, 1);
    for call in
        ["caption scene-1.png", "caption scene-1.png --json", "networks convnet", "gradient-flow --steps 5", "--help"]
    {
        let words: Vec<&str> = call.split(' ').collect();
        let log = here.join("errors");
        let err = || File::create(&log).unwrap();
        let status = watched(candlewick(here).args(&words).stdout(closed()).stderr(err()), call);
        assert_eq!((checked(status, call), fs::read_to_string(&log).unwrap().as_str()), (0, ""), "{call}");
        if call == "--help" {
            continue;
        }
        let status = watched(candlewick(here).args(&words).stdout(full()).stderr(err()), call);
        let said = fs::read_to_string(&log).unwrap();
        assert_eq!((checked(status, call), said.lines().count()), (1, 1), "{call}: {said}");
        assert!(said.contains("standard output: cannot be written"), "{call}: {said}");
        // Standard error may be gone as well.
        for (out, err) in [(closed(), closed()), (full(), full())] {
            checked(watched(candlewick(here).args(&words).stdout(out).stderr(err), call), call);
        }
    }
    // A wrong call stays one.
    let status = watched(candlewick(here).arg("paint").stdout(closed()).stderr(full()), "paint");
    assert_eq!(status.code(), Some(2));
}

#[test]
#[cfg(target_os = "linux")]
fn a_training_goes_on_whatever_becomes_of_its_messages() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    for (name, out, err) in [("closed", closed(), closed()), ("full", closed(), full()), ("filled", full(), full())] {
        // Not quiet, so that there is something to say.
        let mut words = small(name, &["data.train=16", "training.epochs=2"]);
        words.retain(|word| *word != "--quiet");
        let status = watched(candlewick(here).args(&words).stdout(out).stderr(err), name);
        let code = checked(status, name);
        assert_eq!(code, i32::from(name == "filled"), "{name}");
        assert!(checkpoints(&here.join(name)) > 0, "{name}: nothing was trained");
        let log = fs::read_to_string(here.join(name).join("log.jsonl")).unwrap();
        assert_eq!(log.lines().filter(|line| line.contains("scores")).count(), 2, "{name}: {log}");
    }
}

#[test]
fn a_path_with_a_line_end_stays_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let (photo, _) = scene(here, 2);
    let named = here.join("two\nlines.png");
    fs::rename(photo, &named).unwrap();
    let said = succeed(here, &["caption", "two\nlines.png"]);
    assert_eq!((said.lines().count(), said.starts_with("two\\nlines.png: ")), (1, true), "{said}");
    fs::write(&named, "no picture").unwrap();
    let ended = bounded(here, &["caption", "two\nlines.png"], "a line end");
    assert!(ended.line().contains("two\\nlines.png: ") && ended.out.is_empty(), "{}", ended.err);
}
