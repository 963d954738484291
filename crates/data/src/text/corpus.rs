//! A text to learn a language from, and the part of it that is judged on.

use super::utf8;
use crate::error::{Error, Result};
use encoding_rs::Encoding;
use flate2::read::GzDecoder;
use sha2::{Digest as _, Sha256};
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// A text in two parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corpus {
    /// What is learned from.
    pub train: String,
    /// What is judged on.
    pub dev: String,
}

impl Corpus {
    /// Reads a file, whose last share `dev_share` is the dev part, or a folder with a file that has `train` in its name and one that has
    /// `dev` or `valid`; files that end in `.gz` are unpacked.
    ///
    /// # Errors
    /// When a file is missing, cannot be read, is of another encoding, or a part is empty; one line that names it.
    pub fn open(path: &Path, encoding: &str, dev_share: f64) -> Result<Self> {
        if path.is_dir() {
            let train = read_text(&part(path, &["train"])?, encoding)?;
            let dev = read_text(&part(path, &["dev", "valid"])?, encoding)?;
            return whole(path, Self { train, dev });
        }
        let mut train = read_text(path, encoding)?;
        let characters = train.chars().count();
        let kept = characters - (characters as f64 * dev_share).round() as usize;
        let at = train.char_indices().nth(kept).map_or(train.len(), |(at, _)| at);
        let dev = train.split_off(at);
        whole(path, Self { train, dev })
    }
}

fn whole(path: &Path, corpus: Corpus) -> Result<Corpus> {
    for (part, text) in [("train", &corpus.train), ("dev", &corpus.dev)] {
        if text.is_empty() {
            return Err(Error::text(path, format!("the {part} part is empty; give a longer text")));
        }
    }
    Ok(corpus)
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

/// The text of a file in an encoding of the Encoding Standard (`utf-8`, `latin1`, …); one that ends in `.gz` is unpacked.
///
/// # Errors
/// When there is no such encoding, or a byte is none of it; the message says where.
pub fn read_text(path: &Path, encoding: &str) -> Result<String> {
    let Some(encoding) = Encoding::for_label(encoding.as_bytes()) else {
        return Err(Error::setting(format!(
            "encoding is {encoding}; wanted utf-8, latin1 or another label of the Encoding Standard"
        )));
    };
    let bytes = match path.extension().is_some_and(|ending| ending == "gz") {
        true => {
            let file = std::fs::File::open(path).map_err(Error::io(path))?;
            let mut bytes = Vec::new();
            GzDecoder::new(file).read_to_end(&mut bytes).map_err(Error::io(path))?;
            bytes
        }
        false if encoding == encoding_rs::UTF_8 => utf8::read(path)?,
        false => std::fs::read(path).map_err(Error::io(path))?,
    };
    if encoding == encoding_rs::UTF_8 {
        return String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            Error::text(
                path,
                format!("byte {at} is not UTF-8; name what it is written in with data.encoding, perhaps latin1"),
            )
        });
    }
    match encoding.decode_without_bom_handling_and_without_replacement(&bytes) {
        Some(text) => Ok(text.into_owned()),
        None => Err(Error::text(path, format!("is not {}; name another data.encoding", encoding.name()))),
    }
}

/// The SHA-256 of a text in hexadecimal.
pub fn hash(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::io::Write as _;

    #[test]
    fn a_file_is_parted_at_its_end_and_a_folder_by_names() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.txt");
        std::fs::write(&file, "äbcdefghij").unwrap();
        let found = Corpus::open(&file, "utf-8", 0.2).unwrap();
        assert_eq!((found.train.as_str(), found.dev.as_str()), ("äbcdefgh", "ij"));
        assert!(Corpus::open(&file, "utf-8", 0.0).is_err());
        let parts = folder.path().join("parts");
        std::fs::create_dir(&parts).unwrap();
        assert!(Corpus::open(&parts, "utf-8", 0.1).is_err());
        std::fs::write(parts.join("ptb.train.txt"), "one").unwrap();
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(b"two").unwrap();
        std::fs::write(parts.join("ptb.valid.txt.gz"), packed.finish().unwrap()).unwrap();
        let found = Corpus::open(&parts, "utf-8", 0.1).unwrap();
        assert_eq!((found.train.as_str(), found.dev.as_str()), ("one", "two"));
    }

    #[test]
    fn another_encoding_is_named_and_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.txt");
        std::fs::write(&file, b"caf\xe9").unwrap();
        let fault = read_text(&file, "utf-8").unwrap_err().to_string();
        assert!(fault.contains("byte 3 is not UTF-8") && fault.contains("a.txt"), "{fault}");
        assert_eq!(read_text(&file, "latin1").unwrap(), "café");
        assert!(read_text(&file, "klingon").unwrap_err().to_string().contains("klingon"));
    }
}
