//! A text as N streams of tokens that are read side by side, T steps at a time.
//!
//! ```text
//! stream n is tokens n·L … (n+1)·L, with L = ⌊(tokens − 1) / N⌋;  chunk k reads steps k·T … of every stream, and is to tell the token after each
//! ```
//!
//! The tokens lie in a file of four bytes each, so that a text of any length takes the same memory.

use super::TextTokenizer;
use crate::error::{Error, Result};
use crate::text::Text;
use std::fs::File;
use std::io::{BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The tokens of a text on disk, in a file that goes with them.
#[derive(Debug)]
pub struct Streams {
    path: PathBuf,
    file: Mutex<File>,
    tokens: usize,
    rows: usize,
}

/// T steps of N streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Where in the streams it begins.
    pub start: usize,
    /// What is read, (N, T), a stream after the other.
    pub inputs: Vec<u32>,
    /// The token after each, (N, T).
    pub targets: Vec<u32>,
    /// N.
    pub rows: usize,
    /// T.
    pub steps: usize,
}

impl Streams {
    /// Writes a text's tokens into the file `path` and reads them as `rows` (N) streams.
    ///
    /// # Errors
    /// When the file cannot be written, or the text has no N + 1 tokens.
    pub fn write(text: &Text, tokenizer: &TextTokenizer, path: &Path, rows: usize) -> Result<Self> {
        let mut file = BufWriter::new(File::create(path).map_err(Error::io(path))?);
        let mut tokens = 0;
        for piece in text.pieces()? {
            for id in tokenizer.encode(&piece?)? {
                file.write_all(&id.to_le_bytes()).map_err(Error::io(path))?;
                tokens += 1;
            }
        }
        file.into_inner().map_err(|error| Error::io(path)(error.into_error()))?;
        if rows == 0 || tokens <= rows {
            let fault = format!("{tokens} tokens cannot be read as {rows} streams; give a longer text or take fewer");
            return Err(Error::setting(fault));
        }
        let read = File::open(path).map_err(Error::io(path))?;
        Ok(Self { path: path.to_owned(), file: Mutex::new(read), tokens, rows })
    }

    /// How many tokens the text has.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// N.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// L, the steps of a stream.
    pub fn steps(&self) -> usize {
        (self.tokens - 1) / self.rows
    }

    /// `steps` (T) of every stream from `start` on, fewer where the streams end.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn chunk(&self, start: usize, steps: usize) -> Result<Chunk> {
        let (length, rows) = (self.steps(), self.rows);
        let steps = steps.min(length.saturating_sub(start));
        let (mut inputs, mut targets) = (Vec::with_capacity(rows * steps), Vec::with_capacity(rows * steps));
        for row in 0..rows {
            let ids = self.read(row * length + start, steps + 1)?;
            inputs.extend_from_slice(&ids[..steps]);
            targets.extend_from_slice(&ids[1..]);
        }
        Ok(Chunk { start, inputs, targets, rows, steps })
    }

    fn read(&self, at: usize, count: usize) -> Result<Vec<u32>> {
        let mut bytes = vec![0; 4 * count];
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let read = file.seek(SeekFrom::Start(4 * at as u64)).and_then(|_| file.read_exact(&mut bytes));
        read.map_err(Error::io(&self.path))?;
        Ok(bytes.as_chunks::<4>().0.iter().map(|id| u32::from_le_bytes(*id)).collect())
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        // What stays is written over by the next run that begins here.
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::Units;
    use super::*;

    #[test]
    fn streams_lie_side_by_side_and_each_token_is_to_be_told_once() {
        let text = &Text::of("abcdefghijklmnopqrstuvw");
        let tokenizer = TextTokenizer::train(Units::Bytes, text).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        let streams = Streams::write(text, &tokenizer, &path, 2).unwrap();
        assert_eq!((streams.tokens(), streams.rows(), streams.steps()), (23, 2, 11));
        let show = |ids: &[u32]| tokenizer.decode(ids).unwrap();
        let (mut read, mut told) = (vec![String::new(); 2], vec![String::new(); 2]);
        let mut start = 0;
        while start < streams.steps() {
            let chunk = streams.chunk(start, 4).unwrap();
            for row in 0..2 {
                read[row] += &show(&chunk.inputs[row * chunk.steps..(row + 1) * chunk.steps]);
                told[row] += &show(&chunk.targets[row * chunk.steps..(row + 1) * chunk.steps]);
            }
            start += chunk.steps;
        }
        assert_eq!(read, ["abcdefghijk", "lmnopqrstuv"]);
        assert_eq!(told, ["bcdefghijkl", "mnopqrstuvw"]);
        assert_eq!(streams.chunk(11, 4).unwrap().steps, 0);
        drop(streams);
        assert!(!path.exists());
        assert!(Streams::write(&Text::of("ab"), &tokenizer, &path, 2).is_err());
    }
}
