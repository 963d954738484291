//! Photos from files: decoded within limits, upright, in three colours.

mod colours;
mod decode;
mod jpeg;
mod png;
mod reduced;

pub use decode::{ENDINGS, Limits, decode, decode_bytes, read};
pub use reduced::reduced;
