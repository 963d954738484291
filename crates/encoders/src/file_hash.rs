//! SHA-256 of a file, by which a model folder names the weights that it needs.

use candle_core::{Error, Result};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The SHA-256 of a file's content in lower-case hexadecimal, read piece by piece.
///
/// # Errors
/// When the file cannot be read; the message names it.
pub fn file_hash(path: impl AsRef<Path>) -> Result<String> {
    let path = path.as_ref();
    let fault = |error: std::io::Error| Error::Msg(format!("{}: cannot be read: {error}", path.display()));
    let mut file = File::open(path).map_err(fault)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0u8; 1 << 16];
    loop {
        match file.read(&mut buffer).map_err(fault)? {
            0 => break,
            count => hasher.update(&buffer[..count]),
        }
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_hash_is_that_of_the_standard() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc");
        std::fs::write(&path, "abc").unwrap();
        let wanted = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(file_hash(&path).unwrap(), wanted);
        // One million letters a, so that the file is longer than a piece: the standard's third example.
        std::fs::write(&path, vec![b'a'; 1_000_000]).unwrap();
        let wanted = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";
        assert_eq!(file_hash(&path).unwrap(), wanted);
        assert!(file_hash(folder.path().join("none")).unwrap_err().to_string().contains("none"));
    }
}
