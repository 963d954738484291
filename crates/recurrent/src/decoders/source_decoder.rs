//! What every decoder of a source is.

use super::hard_attention::SampledPositions;
use super::source::Source;
use candle_core::{Result, Tensor};
use candlewick_generation::{Decoder, TeacherForced};
use candlewick_parameters::Mode;

/// A decoder whose sentences are about a [`Source`]: what an encoder saw in pictures, or read.
pub trait SourceDecoder: Decoder {
    /// The memory of sources: what is computed of each once.
    ///
    /// # Errors
    /// When the shapes are not what the decoder was built for.
    fn memory(&self, source: &Source) -> Result<Self::Memory>;

    /// Reads people's sentences in training, as [`Decoder::teacher_forced`] does.
    ///
    /// A decoder that draws positions at random says here what it drew.
    ///
    /// # Errors
    /// As [`Decoder::teacher_forced`] says.
    fn read(
        &self,
        words: &Tensor,
        lengths: &[usize],
        memory: &Self::Memory,
        mode: &mut Mode,
    ) -> Result<TeacherForcedRead> {
        Ok(TeacherForcedRead { forced: self.teacher_forced(words, lengths, memory, mode)?, sampled: None })
    }
}

/// What reading sentences gave.
#[derive(Clone, Debug)]
pub struct TeacherForcedRead {
    /// Logits and attention weights.
    pub forced: TeacherForced,
    /// The positions that were drawn on the way, if any.
    pub sampled: Option<SampledPositions>,
}
