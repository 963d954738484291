//! Text files, and their words as ids.

pub(crate) mod utf8;
pub mod words;

pub use utf8::read_utf8;
