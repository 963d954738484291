//! Writing sentences with a [`Decoder`]: greedy, by sampling and by beams, for many sources in one batch.
//!
//! A search is a value: [`BeamSearch`] and [`Sampling`] are made for a decoder and its memory, move on a word at a time
//! with `advance`, and `finish` tells at any moment what they have. [`generate`] picks the one that a
//! [`GenerationConfig`] asks for and runs it to the end.

#![forbid(unsafe_code)]

mod batch;
mod beam;
mod config;
mod constrained;
mod decoder;
mod ensemble;
mod hypothesis;
pub mod logits;
mod rows;
mod sampling;

pub use beam::BeamSearch;
pub use config::{EarlyStopping, GenerationConfig};
pub use constrained::ConstrainedBeamSearch;
pub use decoder::{Decoder, Step, TeacherForced, unrolled_teacher_forcing};
pub use ensemble::DecoderEnsemble;
pub use hypothesis::Hypothesis;
pub use rows::SelectRows;
pub use sampling::Sampling;

use candle_core::Result;
use candlewick_kernels::threads;

/// Writes sentences about each of the `count` rows of `memory`: for each, `num_return_sequences` hypotheses.
///
/// With `force_words_ids` they come from [`ConstrainedBeamSearch`], with `num_beams` above 1 from [`BeamSearch`], the best first; otherwise from [`Sampling`], which takes the
/// likeliest word each time unless `do_sample` is set. No list is ever empty.
///
/// # Errors
/// When the configuration is not valid for this decoder, a step fails, or logits are not numbers.
pub fn generate<D: Decoder>(
    decoder: &D,
    memory: &D::Memory,
    count: usize,
    config: &GenerationConfig,
) -> Result<Vec<Vec<Hypothesis>>> {
    threads::enter(decoder.device(), || search(decoder, memory, count, config))
}

fn search<D: Decoder>(
    decoder: &D,
    memory: &D::Memory,
    count: usize,
    config: &GenerationConfig,
) -> Result<Vec<Vec<Hypothesis>>> {
    if !config.force_words_ids.is_empty() {
        let mut search = ConstrainedBeamSearch::new(decoder, memory, count, config)?;
        while search.advance()? {}
        search.finish()
    } else if config.num_beams > 1 {
        let mut search = BeamSearch::new(decoder, memory, count, config)?;
        while search.advance()? {}
        search.finish()
    } else {
        let mut search = Sampling::new(decoder, memory, count, config)?;
        while search.advance()? {}
        search.finish()
    }
}
