//! Searches over decoders small enough to know what must come out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod beam;
mod constrained;
mod decoder;
mod prompts;
mod recurrent;
mod sampling;
mod search;
mod small;
mod transformers;
