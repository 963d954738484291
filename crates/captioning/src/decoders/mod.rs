//! The captioners' decoders by their kinds: those of [`candlewick_recurrent::decoders`] over pictures, and top-down attention.

mod added;
mod config;
mod schema;
mod source;
mod top_down;

pub use added::{AddedDecoder, BuildDecoder, add_decoder};
pub use config::DecoderConfig;
pub use source::source;
pub use top_down::{TopDown, TopDownConfig, TopDownMemory, TopDownState};
