//! A text to learn a language from, and the part of it that is judged on.

use super::Text;
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};

/// A text in two parts.
#[derive(Clone, Debug)]
pub struct Corpus {
    /// What is learned from.
    pub train: Text,
    /// What is judged on.
    pub dev: Text,
}

impl Corpus {
    /// Opens a file, whose last share `dev_share` is the dev part, or a folder with a file that has `train` in its name and one that has
    /// `dev` or `valid`; files that end in `.gz` are unpacked.
    ///
    /// # Errors
    /// When a file is missing, cannot be read, is of another encoding, or a part is empty; one line that names it.
    pub fn open(path: &Path, encoding: &str, dev_share: f64) -> Result<Self> {
        let [train, dev] = match path.is_dir() {
            true => [
                Text::open(&part(path, &["train"])?, encoding)?,
                Text::open(&part(path, &["dev", "valid"])?, encoding)?,
            ],
            false => Text::open(path, encoding)?.split(dev_share),
        };
        for (part, text) in [("train", &train), ("dev", &dev)] {
            if text.characters() == 0 {
                return Err(Error::text(path, format!("the {part} part is empty; give a longer text")));
            }
        }
        Ok(Self { train, dev })
    }
}

/// The file of a folder that has one of these words in its name.
fn part(folder: &Path, words: &[&str]) -> Result<PathBuf> {
    let entries = std::fs::read_dir(folder).and_then(|entries| entries.collect::<std::io::Result<Vec<_>>>());
    let mut files: Vec<PathBuf> = entries.map_err(Error::io(folder))?.iter().map(std::fs::DirEntry::path).collect();
    files.sort();
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    files.retain(|path| path.is_file() && words.iter().any(|word| name(path).contains(word)));
    match files.as_slice() {
        [one] => Ok(one.clone()),
        found => {
            let fault = format!("{} files have {} in their names; wanted one", found.len(), words.join(" or "));
            Err(Error::text(folder, fault))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_file_is_parted_at_its_end_and_a_folder_by_names() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.txt");
        std::fs::write(&file, "äbcdefghij").unwrap();
        let parts = |corpus: Corpus| [corpus.train.whole().unwrap(), corpus.dev.whole().unwrap()];
        assert_eq!(parts(Corpus::open(&file, "utf-8", 0.2).unwrap()), ["äbcdefgh", "ij"]);
        let fault = Corpus::open(&file, "utf-8", 0.0).unwrap_err().to_string();
        assert!(fault.contains("a.txt") && fault.contains("dev part is empty"), "{fault}");
        let named = folder.path().join("parts");
        std::fs::create_dir(&named).unwrap();
        assert!(Corpus::open(&named, "utf-8", 0.1).is_err());
        std::fs::write(named.join("ptb.train.txt"), "one").unwrap();
        std::fs::write(named.join("ptb.valid.txt"), "two").unwrap();
        assert_eq!(parts(Corpus::open(&named, "utf-8", 0.1).unwrap()), ["one", "two"]);
    }
}
