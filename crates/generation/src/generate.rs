//! From a configuration to its search, and to the end of it.

use crate::batch::Batch;
use crate::beam::BeamSearch;
use crate::config::GenerationConfig;
use crate::constrained::ConstrainedBeamSearch;
use crate::decoder::Decoder;
use crate::hypothesis::Hypothesis;
use crate::sampling::Sampling;
use crate::search::Search;
use candle_core::{Result, Tensor};
use candlewick_kernels::thread_pool;
use std::collections::BTreeMap;

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
    begun(Batch::new(decoder, memory, count, config)?, config)
}

/// The search that a configuration asks for, going on from `prompts`, one for each row of `memory` and all of one length.
///
/// # Errors
/// As [`search`] says, and when a prompt is empty or of another length.
pub fn search_after<'a, D: Decoder + 'a>(
    decoder: D,
    memory: D::Memory,
    prompts: &[Vec<u32>],
    config: &GenerationConfig,
) -> Result<Box<dyn Search + 'a>>
where
    D::Memory: 'a,
    D::State: 'a,
{
    begun(Batch::after(decoder, memory, prompts, config)?, config)
}

fn begun<'a, D: Decoder + 'a>(batch: Batch<D>, config: &GenerationConfig) -> Result<Box<dyn Search + 'a>>
where
    D::Memory: 'a,
    D::State: 'a,
{
    Ok(if !config.force_words_ids.is_empty() {
        Box::new(ConstrainedBeamSearch::of(batch, config))
    } else if config.num_beams > 1 {
        Box::new(BeamSearch::of(batch, config))
    } else {
        Box::new(Sampling::of(batch, config))
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

/// Goes on from `prompts`, one for each row of `memory`: for each, `num_return_sequences` hypotheses, which hold the new words only.
///
/// Prompts of one length are read and continued as one batch. Processors count a prompt's
/// words as written.
///
/// # Errors
/// As [`generate`] says, and when a prompt is empty or has a word outside the vocabulary.
pub fn generate_after<D: Decoder>(
    decoder: &D,
    memory: &D::Memory,
    prompts: &[Vec<u32>],
    config: &GenerationConfig,
) -> Result<Vec<Vec<Hypothesis>>> {
    let mut groups: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
    for (row, prompt) in (0u32..).zip(prompts) {
        groups.entry(prompt.len()).or_default().push(row);
    }
    let mut found: Vec<Vec<Hypothesis>> = vec![Vec::new(); prompts.len()];
    for rows in groups.into_values() {
        let own: Vec<Vec<u32>> = rows.iter().filter_map(|&row| prompts.get(row as usize).cloned()).collect();
        let memory = decoder.select_memory(memory, &Tensor::new(rows.as_slice(), decoder.device())?)?;
        let all = thread_pool::install(decoder.device(), || {
            let mut search = search_after(decoder, memory, &own, config)?;
            while search.advance()? {}
            search.hypotheses()
        })?;
        for (row, hypotheses) in rows.into_iter().zip(all) {
            if let Some(place) = found.get_mut(row as usize) {
                *place = hypotheses;
            }
        }
    }
    Ok(found)
}
