//! Text files as people's programs write them: with a byte order mark or without, with any line ends, and UTF-8 or told.

use crate::error::{Error, Result};
use std::path::Path;

/// How many bytes tell UTF-16 without a byte order mark.
const LOOKED_AT: usize = 256;

/// The bytes of a text file without a UTF-8 byte order mark, with line feeds where it has carriage returns alone.
///
/// # Errors
/// When it cannot be read, is no file, is UTF-16, or holds bytes 0 and thus is no text.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    // Looked at before it is opened: opening a pipe would wait for its writer.
    if !std::fs::metadata(path).map_err(Error::io(path))?.is_file() {
        return Err(Error::text(path, "is not a file"));
    }
    let mut bytes = std::fs::read(path).map_err(Error::io(path))?;
    check(&bytes).map_err(|fault| Error::text(path, fault))?;
    if bytes.starts_with(b"\xef\xbb\xbf") {
        bytes.drain(..3);
    }
    if !bytes.contains(&b'\n') {
        bytes.iter_mut().filter(|byte| **byte == b'\r').for_each(|byte| *byte = b'\n');
    }
    Ok(bytes)
}

/// The text of a file that is to be UTF-8 throughout.
///
/// # Errors
/// When it cannot be read, is no file, is UTF-16, or has a line that is not UTF-8; the message names the file and the line.
pub fn read_utf8(path: &Path) -> Result<String> {
    String::from_utf8(read(path)?).map_err(|error| not_utf8(path, error.as_bytes()))
}

/// The fault of the first line that is not UTF-8.
pub(crate) fn not_utf8(path: &Path, bytes: &[u8]) -> Error {
    let line = bytes.split(|&byte| byte == b'\n').position(|line| std::str::from_utf8(line).is_err());
    let line = line.map_or(1, |line| line + 1);
    Error::text(path, format!("line {line} is not UTF-8, perhaps Latin-1; save the file as UTF-8"))
}

/// Whether the first bytes of a file can be those of a text in UTF-8, or what they are.
pub(crate) fn check(bytes: &[u8]) -> std::result::Result<(), &'static str> {
    const UTF_16: &str = "is UTF-16; save it as UTF-8";
    let head = bytes.get(..bytes.len().min(LOOKED_AT)).unwrap_or_default();
    if head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff") {
        return Err(UTF_16);
    }
    // Of letters that ASCII has too, every second byte of UTF-16 is 0; line ends and digits are among them in any language.
    let zeros = |first: usize| head.iter().skip(first).step_by(2).filter(|&&byte| byte == 0).count();
    match (zeros(0), zeros(1)) {
        (0, 0) => Ok(()),
        (0, _) | (_, 0) => Err(UTF_16),
        _ => Err("holds bytes 0: it is no text"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn told(bytes: &[u8]) -> std::result::Result<String, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list.txt");
        std::fs::write(&path, bytes).unwrap();
        let fault = |error: Error| error.to_string().split_once("list.txt: ").unwrap().1.to_string();
        read_utf8(&path).map_err(fault)
    }

    fn utf_16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    }

    #[test]
    fn a_mark_is_taken_off_and_utf_16_is_named() {
        assert_eq!(told("\u{feff}a\r\nb".as_bytes()).unwrap(), "a\r\nb");
        assert_eq!(told(b"a.jpg\rb.jpg\r").unwrap(), "a.jpg\nb.jpg\n");
        for text in ["\u{feff}a.jpg\n", "a.jpg\r\nb.jpg", "ŝipo.jpg\n"] {
            for bytes in [utf_16(text, u16::to_le_bytes), utf_16(text, u16::to_be_bytes)] {
                assert_eq!(told(&bytes).unwrap_err(), "is UTF-16; save it as UTF-8", "{text}");
            }
        }
        assert_eq!(told(b"a\ncaf\xe9\n").unwrap_err(), "line 2 is not UTF-8, perhaps Latin-1; save the file as UTF-8");
        assert_eq!(told(b"\0\0\x08\x01").unwrap_err(), "holds bytes 0: it is no text");
        assert_eq!(told(b"").unwrap(), "");
    }
}
