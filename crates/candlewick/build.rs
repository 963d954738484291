//! Tells the program which commit it is built from, where that can be known, and which of its features are on.
#![allow(clippy::print_stdout)]

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// The features that are worth telling.
const FEATURES: [&str; 6] = ["cuda", "cudnn", "metal", "accelerate", "mkl", "transformers"];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let here = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).unwrap_or_default();
    println!("cargo::rustc-env=CANDLEWICK_BUILD={}", told(&here));
    let on = |feature: &&&str| env::var_os(format!("CARGO_FEATURE_{}", feature.to_uppercase())).is_some();
    let features: Vec<&str> = FEATURES.iter().filter(on).copied().collect();
    let features = if features.is_empty() { "none".to_owned() } else { features.join(" ") };
    println!("cargo::rustc-env=CANDLEWICK_FEATURES={features}");
}

/// The commit, or that it is a build of no commit.
fn told(here: &Path) -> String {
    if env::var("PROFILE").is_ok_and(|profile| profile == "debug") {
        // Who works on the program would build it anew after each commit.
        return "debug build".into();
    }
    let commit = packed(here).or_else(|| checked_out(here));
    let commit = commit.filter(|commit| commit.len() >= 10 && commit.bytes().all(|byte| byte.is_ascii_hexdigit()));
    format!("commit {}", commit.as_deref().map_or("none", |commit| &commit[..10]))
}

/// A file's text; the script runs again when it changes. A file that is not there is not waited for: that would run it each time.
fn read(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    println!("cargo::rerun-if-changed={}", path.display());
    Some(text)
}

/// The commit that cargo wrote into the crate when it was packed.
fn packed(here: &Path) -> Option<String> {
    let text = read(&here.join(".cargo_vcs_info.json"))?;
    let (_, rest) = text.split_once("\"sha1\"")?;
    rest.split('"').nth(1).map(str::to_owned)
}

/// The commit that is checked out where this crate lies in its workspace; a repository around a vendored copy is another's.
fn checked_out(here: &Path) -> Option<String> {
    let root = here.ends_with("crates/candlewick").then(|| here.ancestors().nth(2)).flatten()?;
    let mut git = root.join(".git");
    if git.is_file() {
        // A further work tree.
        git = root.join(fs::read_to_string(&git).ok()?.strip_prefix("gitdir:")?.trim());
    }
    // It grows with each commit, also where the branch has no file of its own.
    read(&git.join("logs/HEAD"));
    let head = read(&git.join("HEAD"))?;
    let Some(branch) = head.trim().strip_prefix("ref: ") else { return Some(head.trim().to_owned()) };
    let common = match fs::read_to_string(git.join("commondir")) {
        Ok(common) => git.join(common.trim()),
        Err(_) => git,
    };
    if let Some(commit) = read(&common.join(branch)) {
        return Some(commit.trim().to_owned());
    }
    let all = read(&common.join("packed-refs"))?;
    all.lines().find_map(|line| line.strip_suffix(branch)).map(|commit| commit.trim().to_owned())
}
