//! What the program writes: results on standard output, everything else on standard error.
//!
//! Neither panics. Where nobody reads standard output any more the program ends quietly, as `head` wants it; where it cannot be
//! written, one line says so. Messages on standard error never end a run.

use super::Failure;
use std::collections::HashSet;
use std::fmt::Display;
use std::io::{self, ErrorKind, Write as _};
use std::path::Path;

/// A line of a result on standard output, formatted as `println!` does; wants a `?`.
macro_rules! say {
    ($($format:tt)*) => { $crate::program::output::line(format_args!($($format)*)) };
}

/// A line on standard error, formatted as `eprintln!` does.
macro_rules! note {
    ($($format:tt)*) => { $crate::program::output::message(format_args!($($format)*)) };
}

pub use candlewick::data::{escaped, shown};
pub(super) use {note, say};

/// Writes a line to standard output.
///
/// # Errors
/// [`Failure::Closed`], quiet where nobody reads it, otherwise with one line.
pub fn line(text: impl Display) -> Result<(), Failure> {
    written(writeln!(io::stdout().lock(), "{text}"))
}

/// Writes a drawing into its file and, unless the output is JSON, the file's name to standard output.
///
/// # Errors
/// When the file cannot be written, with its name; and as [`line`] says.
pub fn write_drawing(path: &Path, drawn: &[u8], json: bool) -> Result<(), Failure> {
    std::fs::write(path, drawn).map_err(|error| Failure::from(error).of(path))?;
    if json { Ok(()) } else { line(path.display()) }
}

/// A name for the drawing of a file that no other of this run has: its own without the ending, or with a number behind it.
pub fn apart(stem: &str, taken: &mut HashSet<String>) -> String {
    let numbered = (2..).map(|number| format!("{stem}-{number}"));
    let name = std::iter::once(stem.to_owned()).chain(numbered).find(|name| !taken.contains(name));
    let name = name.unwrap_or_else(|| stem.to_owned());
    taken.insert(name.clone());
    name
}

/// Writes a piece of a line to standard output at once.
///
/// # Errors
/// As [`line`] says.
pub fn write(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    written(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// Writes out what standard output still holds.
///
/// # Errors
/// As [`line`] says.
pub fn flush() -> Result<(), Failure> {
    written(io::stdout().flush())
}

fn written(done: io::Result<()>) -> Result<(), Failure> {
    done.map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => Failure::Closed(None),
        _ => Failure::Closed(Some(format!("standard output: cannot be written: {error}"))),
    })
}

/// Writes a line to standard error, where that can be written.
pub fn message(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
