//! Positional reads of a file: nothing is memory-mapped, so that a file that shrinks meanwhile is an error and no signal.

use candle_core::{Error, Result};
use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::path::Path;

/// The bytes of an open file, or of one that is in memory.
pub(crate) enum Content {
    Memory(Vec<u8>),
    File { file: File, len: u64 },
}

impl Content {
    /// Opens a file; what is none, such as a pipe or a folder, is refused before it is opened.
    pub fn open(path: &Path) -> Result<Self> {
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => Error::Msg(format!("{}: no such file", path.display())),
            _ => Error::Msg(format!("{}: {error}", path.display())),
        };
        if !std::fs::metadata(path).map_err(failed)?.is_file() {
            candle_core::bail!("{}: not a file; name a safetensors file", path.display())
        }
        let file = File::open(path).map_err(failed)?;
        let len = file.metadata().map_err(failed)?.len();
        Ok(Self::File { file, len })
    }

    pub fn len(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File { len, .. } => *len,
        }
    }

    /// Fills `buffer` with the bytes from `at` on.
    pub fn read_into(&self, at: u64, buffer: &mut [u8]) -> io::Result<()> {
        match self {
            Self::Memory(_) => {
                buffer.copy_from_slice(&self.part(at, buffer.len() as u64)?);
                Ok(())
            }
            Self::File { file, .. } => read_exact_at(file, buffer, at),
        }
    }

    /// `len` bytes from `at` on, copied only from a file.
    pub fn part(&self, at: u64, len: u64) -> io::Result<Cow<'_, [u8]>> {
        let Self::Memory(bytes) = self else { return self.read(at, len).map(Cow::Owned) };
        let (at, len) = (usize::try_from(at).ok(), usize::try_from(len).ok());
        let part = at.zip(len).and_then(|(at, len)| bytes.get(at..)?.get(..len));
        part.map(Cow::Borrowed).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// `len` bytes from `at` on; no more memory is taken than the file is long.
    pub fn read(&self, at: u64, len: u64) -> io::Result<Vec<u8>> {
        if at.checked_add(len).is_none_or(|end| end > self.len()) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut bytes = vec![0; usize::try_from(len).map_err(|_| io::ErrorKind::OutOfMemory)?];
        self.read_into(at, &mut bytes)?;
        Ok(bytes)
    }

    /// The first bytes, as many as there are of those wanted.
    pub fn start(&self, wanted: u64) -> io::Result<Vec<u8>> {
        self.read(0, wanted.min(self.len()))
    }
}

#[cfg(unix)]
fn read_exact_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, at)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut buffer: &mut [u8], mut at: u64) -> io::Result<()> {
    while !buffer.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, buffer, at) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                buffer = &mut buffer[read..];
                at += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
