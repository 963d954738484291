//! A running text of any length, read piece by piece.

use super::utf8;
use crate::error::{Error, Result};
use encoding_rs::{Decoder, DecoderResult, Encoding, UTF_8};
use flate2::read::GzDecoder;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A text, or a part of one: the characters of a file, or of a text in memory.
#[derive(Clone, Debug)]
pub struct Text {
    source: Source,
    /// In characters of the whole source.
    range: Range<usize>,
}

#[derive(Clone, Debug)]
enum Source {
    Memory(String),
    File { path: PathBuf, encoding: &'static Encoding },
}

/// How many bytes a piece has at least, where the text does not end before.
const PIECE: usize = 1 << 20;

/// From how many bytes on a piece may end within a line.
const LONGEST: usize = 16 * PIECE;

impl Text {
    /// A text in memory.
    pub fn of(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { range: 0..text.chars().count(), source: Source::Memory(text) }
    }

    /// The text of a file in an encoding of the Encoding Standard (`utf-8`, `latin1`, …); one that ends in `.gz` is unpacked. It is gone
    /// through once, so that nothing in it is found wrong later.
    ///
    /// # Errors
    /// When there is no such encoding, or a byte is none of it; the message says where.
    pub fn open(path: &Path, encoding: &str) -> Result<Self> {
        let whole = Self::unread(path, encoding)?;
        let mut characters = 0;
        for piece in whole.pieces()? {
            characters += piece?.chars().count();
        }
        Ok(Self { range: 0..characters, ..whole })
    }

    /// The text of a file that was not gone through yet.
    fn unread(path: &Path, encoding: &str) -> Result<Self> {
        let Some(encoding) = Encoding::for_label(encoding.as_bytes()) else {
            return Err(Error::setting(format!(
                "encoding is {encoding}; wanted utf-8, latin1 or another label of the Encoding Standard"
            )));
        };
        let source = Source::File { path: path.to_owned(), encoding };
        Ok(Self { source, range: 0..usize::MAX })
    }

    /// How many characters it has.
    pub fn characters(&self) -> usize {
        self.range.len()
    }

    /// The text but for its last share, and that share.
    pub fn split(self, share: f64) -> [Self; 2] {
        let last = (self.characters() as f64 * share).round() as usize;
        let Range { start, end } = self.range;
        let at = end.saturating_sub(last).max(start);
        [Self { source: self.source.clone(), range: start..at }, Self { source: self.source, range: at..end }]
    }

    /// The text in pieces of about a megabyte, each ending with a line.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn pieces(&self) -> Result<Pieces> {
        let whole = match &self.source {
            Source::Memory(text) => Whole::Memory(Some(text.clone())),
            Source::File { path, encoding } => Whole::File(Box::new(FilePieces::open(path, encoding)?)),
        };
        Ok(Pieces { whole, at: 0, range: self.range.clone() })
    }

    /// The text in one.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn whole(&self) -> Result<String> {
        self.pieces()?.collect()
    }

    /// The SHA-256 of the text's UTF-8 in hexadecimal.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn hash(&self) -> Result<String> {
        let mut hash = Sha256::new();
        for piece in self.pieces()? {
            hash.update(piece?.as_bytes());
        }
        Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// The whole text of a file, as [`Text::open`] reads it.
///
/// # Errors
/// As [`Text::open`] says.
pub fn read_text(path: &Path, encoding: &str) -> Result<String> {
    Text::unread(path, encoding)?.whole()
}

/// The pieces of a [`Text`].
pub struct Pieces {
    whole: Whole,
    /// Characters of the source before the next piece.
    at: usize,
    range: Range<usize>,
}

enum Whole {
    Memory(Option<String>),
    File(Box<FilePieces>),
}

impl Iterator for Pieces {
    type Item = Result<String>;

    fn next(&mut self) -> Option<Result<String>> {
        while self.at < self.range.end {
            let piece = match &mut self.whole {
                Whole::Memory(text) => text.take()?,
                Whole::File(file) => match file.next()? {
                    Ok(piece) => piece,
                    Err(error) => {
                        self.at = self.range.end;
                        return Some(Err(error));
                    }
                },
            };
            let start = self.at;
            self.at += piece.chars().count();
            let byte = |character: usize| {
                piece.char_indices().nth(character.saturating_sub(start)).map_or(piece.len(), |(byte, _)| byte)
            };
            let wanted = match (start >= self.range.start, self.at <= self.range.end) {
                (true, true) => piece,
                _ => piece[byte(self.range.start)..byte(self.range.end)].to_owned(),
            };
            if !wanted.is_empty() {
                return Some(Ok(wanted));
            }
        }
        None
    }
}

/// A file as it is read and decoded.
struct FilePieces {
    path: PathBuf,
    encoding: &'static Encoding,
    bytes: Box<dyn Read + Send>,
    decoder: Decoder,
    /// Bytes that were read so far.
    read: usize,
    /// What is decoded and not yet given.
    text: String,
    /// Whether a carriage return by itself is a line end; known after the first piece.
    carriage_returns: Option<bool>,
    ended: bool,
}

impl FilePieces {
    fn open(path: &Path, encoding: &'static Encoding) -> Result<Self> {
        // Looked at before it is opened: opening a pipe would wait for its writer.
        if !std::fs::metadata(path).map_err(Error::io(path))?.is_file() {
            return Err(Error::text(path, "is not a file"));
        }
        let file = File::open(path).map_err(Error::io(path))?;
        let bytes: Box<dyn Read + Send> = match path.extension().is_some_and(|ending| ending == "gz") {
            true => Box::new(GzDecoder::new(file)),
            false => Box::new(file),
        };
        Ok(Self {
            path: path.to_owned(),
            encoding,
            bytes,
            decoder: encoding.new_decoder_with_bom_removal(),
            read: 0,
            text: String::new(),
            carriage_returns: None,
            ended: false,
        })
    }

    /// Reads and decodes until there is a piece, or the end.
    fn fill(&mut self) -> Result<()> {
        let mut buffer = vec![0; PIECE];
        while !self.ended && self.piece().is_none() {
            let mut filled = 0;
            while filled < buffer.len() {
                match self.bytes.read(&mut buffer[filled..]) {
                    Ok(0) => break,
                    Ok(count) => filled += count,
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(Error::io(&self.path)(error)),
                }
            }
            let bytes = &buffer[..filled];
            if self.read == 0 && self.encoding == UTF_8 {
                utf8::check(bytes).map_err(|fault| Error::text(&self.path, fault))?;
            }
            self.ended = filled < buffer.len();
            self.decode(bytes)?;
        }
        Ok(())
    }

    fn decode(&mut self, bytes: &[u8]) -> Result<()> {
        let begun = self.text.len();
        let room = self.decoder.max_utf8_buffer_length_without_replacement(bytes.len()).unwrap_or(4 * bytes.len());
        self.text.reserve(room);
        let (result, used) = self.decoder.decode_to_string_without_replacement(bytes, &mut self.text, self.ended);
        if let DecoderResult::Malformed(length, after) = result {
            let at = self.read + used - usize::from(length + after).min(self.read + used);
            let (name, other) = match self.encoding == UTF_8 {
                true => ("UTF-8", "what it is written in with data.encoding or --encoding, perhaps latin1"),
                false => (self.encoding.name(), "another encoding with data.encoding or --encoding"),
            };
            return Err(Error::text(&self.path, format!("byte {at} is not {name}; name {other}")));
        }
        self.read += bytes.len();
        let returns = *self.carriage_returns.get_or_insert_with(|| !self.text.contains('\n'));
        if returns && self.text[begun..].contains('\r') {
            let replaced = self.text[begun..].replace('\r', "\n");
            self.text.replace_range(begun.., &replaced);
        }
        Ok(())
    }

    /// Where the next piece ends.
    fn piece(&self) -> Option<usize> {
        let long = self.text.len() >= PIECE;
        let line = long.then(|| self.text.rfind('\n').map(|at| at + 1)).flatten();
        line.or_else(|| {
            let longest = self.text.len() >= LONGEST;
            let space = longest.then(|| self.text.rfind(char::is_whitespace).filter(|&at| at > 0)).flatten();
            space.or_else(|| longest.then_some(self.text.len()))
        })
    }

    fn next(&mut self) -> Option<Result<String>> {
        if let Err(error) = self.fill() {
            return Some(Err(error));
        }
        let end = self.piece().filter(|_| !self.ended).unwrap_or(self.text.len());
        let rest = self.text.split_off(end);
        let piece = std::mem::replace(&mut self.text, rest);
        (!piece.is_empty()).then_some(Ok(piece))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::io::Write as _;

    fn pieces(text: &Text) -> Vec<String> {
        text.pieces().unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn pieces_end_with_lines_and_make_the_whole_in_any_part() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("long.txt");
        let long: String = (0..300_000).map(|line| format!("läne {line}\n")).collect();
        std::fs::write(&path, &long).unwrap();
        let text = Text::open(&path, "utf-8").unwrap();
        let found = pieces(&text);
        assert!(found.len() >= 3 && found.iter().all(|piece| piece.ends_with('\n') && piece.len() < 3 * PIECE));
        assert_eq!(found.concat(), long);
        assert_eq!(text.characters(), long.chars().count());
        let [train, dev] = text.clone().split(0.25);
        assert_eq!(train.characters() + dev.characters(), text.characters());
        assert_eq!(dev.characters(), (text.characters() as f64 / 4.0).round() as usize);
        assert_eq!(train.whole().unwrap() + &dev.whole().unwrap(), long);
        assert_eq!(Text::of(long.as_str()).hash().unwrap(), text.hash().unwrap());
        let [first, last] = Text::of("äbcdefghij").split(0.2);
        assert_eq!((first.whole().unwrap().as_str(), last.whole().unwrap().as_str()), ("äbcdefgh", "ij"));
    }

    #[test]
    fn a_text_without_line_ends_comes_in_pieces_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("long.txt");
        let long = "a".repeat(LONGEST + 3 * PIECE);
        std::fs::write(&path, &long).unwrap();
        let found = pieces(&Text::open(&path, "utf-8").unwrap());
        assert!(found.len() > 1 && found.concat() == long);
        std::fs::write(&path, "one\rtwo\r").unwrap();
        assert_eq!(pieces(&Text::open(&path, "utf-8").unwrap()), ["one\ntwo\n"]);
    }

    #[test]
    fn another_encoding_is_named_and_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.txt");
        std::fs::write(&file, b"caf\xe9").unwrap();
        let fault = Text::open(&file, "utf-8").unwrap_err().to_string();
        assert!(fault.contains("byte 3 is not UTF-8") && fault.contains("a.txt"), "{fault}");
        assert_eq!(Text::open(&file, "latin1").unwrap().whole().unwrap(), "café");
        assert!(Text::open(&file, "klingon").unwrap_err().to_string().contains("klingon"));
        std::fs::write(&file, [b"ok\n".repeat(PIECE).as_slice(), b"\xff"].concat()).unwrap();
        let fault = Text::open(&file, "utf-8").unwrap_err().to_string();
        assert!(fault.contains(&format!("byte {} is not UTF-8", 3 * PIECE)), "{fault}");
        // A letter whose bytes lie to both sides of a reading's end.
        let long = format!("{}äb", "x".repeat(PIECE - 1));
        std::fs::write(&file, &long).unwrap();
        assert_eq!(Text::open(&file, "utf-8").unwrap().whole().unwrap(), long);
        std::fs::write(&file, b"\xef\xbb\xbfa").unwrap();
        assert_eq!(Text::open(&file, "utf-8").unwrap().whole().unwrap(), "a");
        std::fs::write(&file, b"a\0b\0").unwrap();
        assert!(Text::open(&file, "utf-8").unwrap_err().to_string().contains("UTF-16"));
        assert!(Text::open(folder.path(), "utf-8").unwrap_err().to_string().contains("not a file"));
    }

    #[test]
    fn a_packed_text_is_unpacked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt.gz");
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(b"two\nlines").unwrap();
        std::fs::write(&path, packed.finish().unwrap()).unwrap();
        assert_eq!(Text::open(&path, "utf-8").unwrap().whole().unwrap(), "two\nlines");
    }
}
