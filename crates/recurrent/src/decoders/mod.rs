//! Decoders that write sentences about a source: a picture, or a sentence in another language.
//!
//! [`AttentionDecoder`] attends to the source's annotations at each word, [`VectorDecoder`] sees it as one vector; [`AnyDecoder`] is any of
//! them, or one of the caller's own.

mod any;
mod attention_decoder;
mod hard_attention;
mod source;
mod source_decoder;
mod vector_decoder;

pub use any::{AnyDecoder, AnyMemory, AnyState};
pub use attention_decoder::{AttentionDecoder, AttentionDecoderConfig, DecoderMemory, DecoderState};
pub use hard_attention::{AttentionKind, HardAttention, SampledPositions};
pub use source::Source;
pub use source_decoder::{SourceDecoder, TeacherForcedRead};
pub use vector_decoder::{SourceVector, VectorDecoder, VectorDecoderConfig, VectorInput};
