//! Hard use: odd settings, damaged files, kills, full disks and closed pipes.
//!
//! Whatever comes, the program ends with 0, 1 or 2 and not by a signal or a panic, within ten seconds and a gigabyte, says one
//! line that names the fault, and loses nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

/// Files of each format with bytes changed, cut off or put in.
mod files;
/// Outputs that nobody reads, or that are full.
mod outputs;
/// Kills, and disks that fill up.
mod runs;
/// Sounds and clips, whole and damaged, and models of them.
mod sequences;
/// Settings and options that cannot be.
mod settings;

#[path = "../support/mod.rs"]
mod support;

use std::fs::File;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// The longest that any call may take, and the most memory that it may fill.
const LONGEST: Duration = Duration::from_secs(10);
const MOST_MEMORY: u64 = 1 << 30;

/// How a call ended.
struct Ended {
    code: i32,
    out: String,
    err: String,
}

impl Ended {
    /// The one line that says what is wrong.
    fn line(&self) -> &str {
        let mut lines = self.err.lines().filter(|line| line.starts_with("candlewick: "));
        let line = lines.next().unwrap_or_else(|| panic!("no line says what is wrong: {}", self.err));
        assert_eq!(lines.next(), None, "more than one line says what is wrong: {}", self.err);
        line
    }
}

/// Runs the program within the bounds; `told` names the case in a failure.
fn bounded(folder: &Path, words: &[&str], told: &str) -> Ended {
    let mut command = support::candlewick(folder);
    command.args(words);
    let (out, err) = (folder.join(".stdout"), folder.join(".stderr"));
    command.stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
    let status = watched(&mut command, told);
    let read = |path| String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
    let ended = Ended { code: checked(status, told), out: read(out), err: read(err) };
    assert!(!ended.err.contains("panicked"), "{told}: {}", ended.err);
    assert!(
        ended.code != 0 || !ended.err.contains("candlewick: "),
        "{told}: told a fault and succeeded: {}",
        ended.err
    );
    ended
}

/// Waits for the end and looks at time and memory meanwhile.
fn watched(command: &mut Command, told: &str) -> ExitStatus {
    let (mut child, begun) = (command.stdin(Stdio::null()).spawn().unwrap(), Instant::now());
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        let (memory, time) = (peak(child.id()), begun.elapsed());
        if time > LONGEST || memory > MOST_MEMORY {
            child.kill().unwrap();
            panic!("{told}: {time:.1?} and {} MB, and no end", memory >> 20);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The most memory that a process had so far, in bytes, where the system tells.
fn peak(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.and_then(|peak| peak.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// The exit code, which is 0, 1 or 2.
fn checked(status: ExitStatus, told: &str) -> i32 {
    let code = status.code().unwrap_or_else(|| panic!("{told}: ended by a signal: {status}"));
    assert!((0..=2).contains(&code), "{told}: exit code {code}");
    code
}
