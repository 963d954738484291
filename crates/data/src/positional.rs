//! Reading at a place in a file, from several threads at once.
//!
//! Unlike a memory map it gives an error, and not a signal, where somebody cut the file.

use std::fs::File;

/// Fills `to` from the bytes at `offset`.
///
/// # Errors
/// When the file cannot be read, or ends before.
#[cfg(unix)]
pub(crate) fn read_exact_at(file: &File, to: &mut [u8], offset: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, to, offset)
}

/// Fills `to` from the bytes at `offset`.
///
/// # Errors
/// When the file cannot be read, or ends before.
#[cfg(windows)]
pub(crate) fn read_exact_at(file: &File, mut to: &mut [u8], mut offset: u64) -> std::io::Result<()> {
    while !to.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, to, offset) {
            Ok(0) => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                offset += count as u64;
                to = to.get_mut(count..).unwrap_or_default();
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
