//! What a run's folder keeps of how it came about: its recipe, and of each time that it was trained the call, the machine, the time
//! and a hash of the data.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::path::Path;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The file in a run's folder with the whole recipe, ready to be trained again.
pub const RECIPE_FILE: &str = "recipe.toml";

/// What the caller knows of a run and the run itself does not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    /// The content of [`RECIPE_FILE`]; without it none is written.
    pub recipe: Option<String>,
    /// The command line.
    pub command: Option<String>,
    /// The program and its version.
    pub version: Option<String>,
    /// Where it computes, such as `cuda:0`.
    pub device: Option<String>,
}

/// One time that a run was trained: an entry of `run.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Session {
    /// The command line.
    pub command: Option<String>,
    /// The program and its version.
    pub version: Option<String>,
    /// Where it computed.
    pub device: Option<String>,
    /// The machine.
    pub machine: Machine,
    /// What it learned from, as [`crate::Task::data`] tells it.
    pub data: Value,
    /// Steps that the run had taken before.
    pub from_step: usize,
    /// Steps that it had taken at the last checkpoint.
    pub to_step: usize,
    /// When it began: UTC, as RFC 3339 writes it.
    pub began: String,
    /// When its last checkpoint was written.
    pub ended: String,
    /// Seconds between the two.
    pub seconds: f64,
}

/// A machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Machine {
    /// What its processor is called, or its kind.
    pub cpu: String,
    /// Cores that the process may use.
    pub cores: usize,
    /// Its memory in bytes, where the system tells.
    pub memory: Option<u64>,
    /// The operating system.
    pub os: String,
}

impl Machine {
    /// This one.
    pub fn this() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let (processors, memory, release) = (read("/proc/cpuinfo"), read("/proc/meminfo"), read("/etc/os-release"));
        let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
        let name = value(&release, "PRETTY_NAME=").map(|name| format!(", {}", name.trim_matches('"')));
        let kilobytes =
            value(&memory, "MemTotal:").and_then(|value| value.split_whitespace().next()?.parse::<u64>().ok());
        Self {
            cpu: value(&processors, "model name").unwrap_or(arch).trim_start_matches([':', ' ', '\t']).to_owned(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory: kilobytes.and_then(|value| value.checked_mul(1024)),
            os: format!("{os} {arch}{}", name.unwrap_or_default()),
        }
    }
}

/// What follows a word at the beginning of a line.
fn value<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(word)).map(str::trim)
}

/// The sessions of a run that goes on.
#[derive(Clone, Debug)]
pub(crate) struct Sessions {
    earlier: Vec<Session>,
    current: Session,
    began: Instant,
}

impl Sessions {
    /// A session that begins now, after those of before.
    pub fn begin(earlier: Vec<Session>, record: &Record, data: Value, step: usize) -> Self {
        let Record { command, version, device, .. } = record.clone();
        let (machine, began) = (Machine::this(), utc(SystemTime::now()));
        let (ended, seconds) = (began.clone(), 0.0);
        let current =
            Session { command, version, device, machine, data, from_step: step, to_step: step, began, ended, seconds };
        Self { earlier, current, began: Instant::now() }
    }

    /// All sessions at a checkpoint; the present one is among them once it has taken a step.
    pub fn at(&self, step: usize) -> Vec<Session> {
        let mut all = self.earlier.clone();
        if step > self.current.from_step {
            let seconds = (self.began.elapsed().as_secs_f64() * 1e3).round() / 1e3;
            all.push(Session { to_step: step, ended: utc(SystemTime::now()), seconds, ..self.current.clone() });
        }
        all
    }
}

/// The SHA-256 of a list of items in their order, each by the name and the size of its file, where it has one, and what is said of it.
///
/// It tells other data at once and costs no reading: the bytes of the files are not in it.
pub fn data_hash<'a>(items: impl IntoIterator<Item = (Option<&'a Path>, String)>) -> String {
    let mut digest = Sha256::new();
    for (path, said) in items {
        let name = path.and_then(Path::file_name).unwrap_or_default().to_string_lossy();
        let size = path.and_then(|path| Some(std::fs::metadata(path).ok()?.len().to_string())).unwrap_or_default();
        digest.update(format!("{name}\t{size}\t{said}\n"));
    }
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A moment in UTC, to the second, as RFC 3339 writes it.
///
/// From days to a date: Hinnant, "chrono-compatible low-level date algorithms", `civil_from_days`.
pub fn utc(moment: SystemTime) -> String {
    let seconds = moment.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::time::Duration;

    #[test]
    fn moments_are_dates_of_the_calendar() {
        // As `date -u -d @SECONDS` has them.
        for (seconds, wanted) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_767_225_599, "2025-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(utc(UNIX_EPOCH + Duration::from_secs(seconds)), wanted);
        }
    }

    #[test]
    fn the_hash_of_data_tells_names_sizes_texts_and_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a.png"), folder.path().join("b.png"));
        std::fs::write(&a, "1").unwrap();
        std::fs::write(&b, "22").unwrap();
        let hash = |said: &str| data_hash([(Some(a.as_path()), said.to_owned()), (Some(b.as_path()), String::new())]);
        let first = hash("a dog");
        assert_eq!((first.len(), first == hash("a dog"), first == hash("a cat")), (64, true, false));
        let turned = data_hash([(Some(b.as_path()), String::new()), (Some(a.as_path()), "a dog".into())]);
        assert_ne!(first, turned);
        std::fs::write(&b, "333").unwrap();
        assert_ne!(first, hash("a dog"));
    }

    #[test]
    fn a_session_is_told_once_it_has_taken_a_step() {
        let record = Record { command: Some("candlewick train".into()), ..Record::default() };
        let earlier = vec![Session { to_step: 7, ..Session::default() }];
        let sessions = Sessions::begin(earlier.clone(), &record, Value::Null, 7);
        assert_eq!(sessions.at(7), earlier);
        let all = sessions.at(9);
        assert_eq!((all.len(), all[1].from_step, all[1].to_step, all[1].command.clone()), (2, 7, 9, record.command));
        assert!(all[1].machine.cores > 0 && !all[1].machine.cpu.is_empty(), "{:?}", all[1].machine);
    }
}
