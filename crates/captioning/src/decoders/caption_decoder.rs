//! What every captioner's decoder is.

use candle_core::{Result, Tensor};
use candlewick_generation::{Decoder, TeacherForced};
use candlewick_parameters::Mode;
use candlewick_vision::Annotations;

/// A decoder whose sentences are about what an encoder saw in pictures.
///
/// A new captioner is one file: its formula as a [`Decoder`], its memory here, and a row in [`crate::DecoderConfig`]. One of another crate is a
/// [`crate::BuildDecoder`] too; with [`crate::add_decoder`] a [`crate::Captioner`] can have it.
pub trait CaptionDecoder: Decoder {
    /// The memory of what was seen: what is computed of a picture once.
    ///
    /// # Errors
    /// When the annotations' shape is not what the decoder was built for.
    fn memory(&self, seen: &Annotations) -> Result<Self::Memory>;

    /// Reads people's captions in training, as [`Decoder::teacher_forced`] does.
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

/// What reading captions gave.
#[derive(Clone, Debug)]
pub struct TeacherForcedRead {
    /// Logits and attention weights.
    pub forced: TeacherForced,
    /// The positions that were drawn on the way, if any.
    pub sampled: Option<SampledPositions>,
}

/// Positions s_t that were drawn from α_t, one for each word that was read.
#[derive(Clone, Debug)]
pub struct SampledPositions {
    /// log α_t(s_t), (N, T).
    pub log_probability: Tensor,
    /// H(α_t) = −Σ_p α_tp log α_tp, (N, T), in nats.
    pub entropy: Tensor,
}
