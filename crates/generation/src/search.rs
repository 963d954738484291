//! What every search is: a value that moves on a word at a time.

use crate::hypothesis::Hypothesis;
use crate::processors::LogitsProcessor;
use candle_core::Result;

/// A search for sentences about several sources at once, which owns its decoder and memory; a decoder may be a reference or an `Arc`.
///
/// ```
/// # use candle_core::{Result, Tensor};
/// # use candlewick_generation::{Decoder, GenerationConfig, Search, search};
/// # fn show<D: Decoder>(decoder: D, memory: D::Memory) -> Result<()> {
/// let mut search = search(decoder, memory, 1, &GenerationConfig::beam(3))?;
/// while search.advance()? {
///     println!("so far {:?}", search.hypotheses()?[0][0].words);
/// }
/// # Ok(())
/// # }
/// ```
pub trait Search: Send {
    /// Writes one more word of every sentence that is not done; whether there is more to write.
    ///
    /// # Errors
    /// When a step fails, or logits are not numbers.
    fn advance(&mut self) -> Result<bool>;

    /// For each source the sentences as far as they are written, `num_return_sequences` or fewer; no list is ever empty.
    ///
    /// # Errors
    /// When attention weights cannot be brought to the host.
    fn hypotheses(&self) -> Result<Vec<Vec<Hypothesis>>>;

    /// Adds a processor after those of the configuration (and before temperature and cuts).
    fn add_processor(&mut self, processor: Box<dyn LogitsProcessor>);
}
