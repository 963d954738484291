//! Text files, and their words as ids.

pub mod scripts;
pub(crate) mod utf8;
pub mod words;

pub use utf8::read_utf8;
