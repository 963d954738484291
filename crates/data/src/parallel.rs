//! Sentences with their translations: two files, line by line alike, plain or gzipped.
//!
//! In a folder a part is `NAME.SOURCE` beside `NAME.TARGET`, or with `.gz` after it, as Multi30k (`train.de.gz`, `train.en.gz`; Elliott et al.
//! 2016) and WMT have them; there may be any number of parts.

use crate::error::{Error, Result, shown};
use crate::skipped::{DEFAULT_MAX_SHARE, Skipped};
use crate::split::Split;
use crate::text::read_text;
use crate::tree::check_folder;
use std::path::{Path, PathBuf};

/// A sentence and its translation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// What is translated.
    pub source: String,
    /// What it is in the other language.
    pub target: String,
}

/// The pairs of two files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What the files are called before their languages: `train`, `test_2016_flickr`.
    pub name: String,
    /// The pairs in the order of the lines.
    pub pairs: Vec<Pair>,
}

/// A set of pairs in its parts.
#[derive(Clone, Debug)]
pub struct ParallelText {
    /// The parts by their names.
    pub parts: Vec<Part>,
    /// The pairs that were left out; [`Skipped::report`] tells them.
    pub skipped: Skipped,
}

/// What [`load`] and [`read`] cannot know from the files.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// What the files are written in: a label of the Encoding Standard.
    pub encoding: String,
    /// The most words, between spaces, of either side of a training pair; longer ones are skipped.
    pub max_words: usize,
    /// The share of pairs that may be skipped.
    pub max_share: f64,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self { encoding: "utf-8".to_owned(), max_words: 250, max_share: DEFAULT_MAX_SHARE }
    }
}

impl ParallelText {
    /// The pairs of a split: of the part that is called so (`dev`, `val`), or of the one whose name begins so (`test_2016_flickr`).
    ///
    /// # Errors
    /// When there is no such part, or several; the message names the parts that there are.
    pub fn split(&self, split: Split) -> Result<&[Pair]> {
        let names = |parts: &[&Part]| parts.iter().map(|part| part.name.as_str()).collect::<Vec<_>>().join(", ");
        match self.parts_of(split).as_slice() {
            [one] => Ok(&one.pairs),
            [] => {
                let all: Vec<&Part> = self.parts.iter().collect();
                Err(Error::setting(format!("no part for the {split} split; there are {}", names(&all))))
            }
            several => {
                let found = names(several);
                Err(Error::setting(format!("several parts for the {split} split, {found}; keep one in the folder")))
            }
        }
    }

    /// The parts that could be a split: the one that is called so, or all whose names begin so.
    pub fn parts_of(&self, split: Split) -> Vec<&Part> {
        let called: Vec<&Part> = self.parts.iter().filter(|part| Split::of_folder(&part.name) == Some(split)).collect();
        let begins = |part: &&Part| {
            let first = part.name.split(|letter: char| !letter.is_alphanumeric()).next();
            first.and_then(Split::of_folder) == Some(split)
        };
        if called.is_empty() { self.parts.iter().filter(begins).collect() } else { called }
    }

    /// The part of this name.
    ///
    /// # Errors
    /// When there is none; the message names the parts that there are.
    pub fn part(&self, name: &str) -> Result<&[Pair]> {
        let found = self.parts.iter().find(|part| part.name == name);
        found.map(|part| part.pairs.as_slice()).ok_or_else(|| {
            let names: Vec<&str> = self.parts.iter().map(|part| part.name.as_str()).collect();
            Error::setting(format!("no part is called {name}; there are {}", names.join(", ")))
        })
    }
}

/// Reads all parts of the folder that have both languages, such as `de` and `en`.
///
/// Pairs with an empty side are skipped, of the training part also those that are too long; all are named in [`ParallelText::skipped`].
///
/// # Errors
/// One line that names the file and the fault: no part, a part with one language alone, files of different numbers of lines (with both
/// numbers), another encoding, too many skipped pairs.
pub fn load(folder: &Path, source: &str, target: &str, options: &LoadOptions) -> Result<ParallelText> {
    check_folder(folder, "a file for each language")?;
    let (sources, targets) = (files(folder, source)?, files(folder, target)?);
    if sources.is_empty() || targets.is_empty() {
        let without = if sources.is_empty() { source } else { target };
        let fault = format!("has no file that ends in .{without} or .{without}.gz; name its languages");
        return Err(Error::items(folder, 0, fault));
    }
    let alone = |one: &[File], others: &[File]| -> Option<PathBuf> {
        one.iter().find(|file| !others.iter().any(|other| other.name == file.name)).map(|file| file.path.clone())
    };
    for (file, language) in [(alone(&sources, &targets), target), (alone(&targets, &sources), source)] {
        if let Some(file) = file {
            return Err(Error::items(&file, 0, format!("has no file of the same name in {language} beside it")));
        }
    }
    let mut parts = Vec::new();
    for (source, target) in sources.iter().zip(&targets) {
        parts.push(Lines::read(&source.name, &source.path, &target.path, options)?);
    }
    finish(parts, options)
}

/// Reads two files as the one part `name`.
///
/// # Errors
/// As [`load`] says.
pub fn read(name: &str, source: &Path, target: &Path, options: &LoadOptions) -> Result<ParallelText> {
    finish(vec![Lines::read(name, source, target, options)?], options)
}

/// A file of one language.
struct File {
    name: String,
    path: PathBuf,
}

/// The files of a language in a folder, by name.
fn files(folder: &Path, language: &str) -> Result<Vec<File>> {
    let entries = std::fs::read_dir(folder).and_then(|entries| entries.collect::<std::io::Result<Vec<_>>>());
    let mut found: Vec<File> = Vec::new();
    for path in entries.map_err(Error::io(folder))?.iter().map(std::fs::DirEntry::path) {
        let Some(file) = path.file_name().and_then(|name| name.to_str()).filter(|name| !name.starts_with('.')) else {
            continue;
        };
        let ending = format!(".{language}");
        if let Some(name) = file.strip_suffix(".gz").unwrap_or(file).strip_suffix(&ending).filter(|_| path.is_file()) {
            if let Some(other) = found.iter().find(|other| other.name == name) {
                return Err(Error::items(&path, 0, format!("is there twice, as {} too; keep one", shown(&other.path))));
            }
            found.push(File { name: name.to_owned(), path });
        }
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}

/// The lines of two files.
struct Lines {
    name: String,
    source: String,
    target: String,
    count: usize,
}

impl Lines {
    fn read(name: &str, source: &Path, target: &Path, options: &LoadOptions) -> Result<Self> {
        let text = |path: &Path| read_text(path, &options.encoding);
        let (name, source_text, target_text) = (name.to_owned(), text(source)?, text(target)?);
        let (count, other) = (source_text.lines().count(), target_text.lines().count());
        if count != other {
            let fault =
                format!("has {count} lines where {} has {other}; each is the other's translation", shown(target));
            return Err(Error::items(source, 0, fault));
        }
        Ok(Self { name, source: source_text, target: target_text, count })
    }
}

fn finish(parts: Vec<Lines>, options: &LoadOptions) -> Result<ParallelText> {
    let skipped = Skipped::new("pairs", parts.iter().map(|part| part.count).sum(), options.max_share);
    let read = |part: Lines| -> Result<Part> {
        let mut pairs = Vec::with_capacity(part.count);
        for (number, (source, target)) in (1..).zip(part.source.lines().zip(part.target.lines())) {
            let pair = Pair { source: source.trim().to_owned(), target: target.trim().to_owned() };
            match fault(&pair, &part.name, options) {
                None => pairs.push(pair),
                Some(fault) => skipped.record(&format!("{}:{number}", part.name), fault)?,
            }
        }
        Ok(Part { name: part.name, pairs })
    };
    Ok(ParallelText { parts: parts.into_iter().map(read).collect::<Result<_>>()?, skipped })
}

/// Why a pair is left out.
fn fault(pair: &Pair, part: &str, options: &LoadOptions) -> Option<String> {
    let sides = [("source", &pair.source), ("target", &pair.target)];
    if let Some((side, _)) = sides.iter().find(|(_, text)| text.is_empty()) {
        return Some(format!("the {side} is empty"));
    }
    // What is judged on stays whole, or its score would be of another set.
    let training = Split::of_folder(part) == Some(Split::Train);
    let words = |text: &str| text.split_whitespace().count();
    let long = sides.iter().find(|(_, text)| training && words(text) > options.max_words);
    long.map(|(side, text)| format!("the {side} has {} words, more than {}", words(text), options.max_words))
}
