//! Text files, and their words as ids.

mod corpus;
pub mod scripts;
pub(crate) mod utf8;
pub mod words;

pub use corpus::{Corpus, hash, read_text};
pub use utf8::read_utf8;
