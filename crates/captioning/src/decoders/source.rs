//! Pictures as what decoders write about.

use candle_core::Result;
use candlewick_recurrent::decoders::Source;
use candlewick_vision::Annotations;

/// What an encoder saw in pictures as a decoder's source: its vector v is the mean annotation, which of a fully connected layer such as fc7 is
/// that layer's output.
///
/// # Errors
/// When an operation fails.
pub fn source(seen: &Annotations) -> Result<Source> {
    Source::new(seen.tensor().clone(), seen.mean()?)?.with_counts(seen.counts().cloned()).with_grid(seen.grid_size())
}
