//! Text files, and their words as ids.

mod corpus;
mod running;
pub mod scripts;
pub(crate) mod utf8;
pub mod words;

pub use corpus::Corpus;
pub use running::{Pieces, Text, read_text};
pub use utf8::read_utf8;
