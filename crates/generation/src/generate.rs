//! From a configuration to its search, and to the end of it.

use crate::beam::BeamSearch;
use crate::config::GenerationConfig;
use crate::constrained::ConstrainedBeamSearch;
use crate::decoder::Decoder;
use crate::hypothesis::Hypothesis;
use crate::sampling::Sampling;
use crate::search::Search;
use candle_core::Result;
use candlewick_kernels::thread_pool;

/// The search that a configuration asks for, before its first word: [`ConstrainedBeamSearch`] with `force_words_ids`, [`BeamSearch`]
/// with `num_beams` above 1, otherwise [`Sampling`], which takes the likeliest word each time unless `do_sample` is set.
///
/// # Errors
/// When the configuration is not valid for this decoder, or the memory does not fit it.
pub fn search<'a, D: Decoder + 'a>(
    decoder: D,
    memory: D::Memory,
    count: usize,
    config: &GenerationConfig,
) -> Result<Box<dyn Search + 'a>>
where
    D::Memory: 'a,
    D::State: 'a,
{
    Ok(if !config.force_words_ids.is_empty() {
        Box::new(ConstrainedBeamSearch::new(decoder, memory, count, config)?)
    } else if config.num_beams > 1 {
        Box::new(BeamSearch::new(decoder, memory, count, config)?)
    } else {
        Box::new(Sampling::new(decoder, memory, count, config)?)
    })
}

/// Writes sentences about each of the `count` rows of `memory`: for each, `num_return_sequences` hypotheses.
///
/// They come from the [`search`] of the configuration, of beams the best first. No list is ever empty.
///
/// # Errors
/// When the configuration is not valid for this decoder, a step fails, or logits are not numbers.
pub fn generate<D: Decoder>(
    decoder: &D,
    memory: &D::Memory,
    count: usize,
    config: &GenerationConfig,
) -> Result<Vec<Vec<Hypothesis>>> {
    thread_pool::install(decoder.device(), || {
        let mut search = search(decoder, memory.clone(), count, config)?;
        while search.advance()? {}
        search.hypotheses()
    })
}
