//! Attention captioning: looks at a picture and tells what is on it, and where it looked for each word.
//!
//! [`Captioner`] is the way in: it opens a model folder and captions pictures. Its decoder is one of [`AttentionDecoder`] (Show, Attend
//! and Tell, with soft or hard attention), [`VectorDecoder`] (Show and Tell) and [`TopDown`], or your own ([`BuildDecoder`], [`add_decoder`]); [`CaptioningTask`] trains one, [`evaluate()`] scores one.

#![forbid(unsafe_code)]

mod caption;
mod captioner;
mod config;
mod dataset;
mod decoders;
mod ensemble;
mod export;
mod folder;
mod regions;
mod report;
mod training;

pub use candlewick_generation::GenerationConfig;
pub use candlewick_pages::ComparisonRow;
pub use candlewick_recurrent::decoders::{
    AnyDecoder, AnyMemory, AnyState, AttentionDecoder, AttentionDecoderConfig, AttentionKind, HardAttention,
    SampledPositions, Source, SourceDecoder, TeacherForcedRead, VectorDecoder, VectorDecoderConfig, VectorInput,
};
pub use candlewick_training::{Error, Result};
pub use candlewick_vision::{Annotations, AttentionMap};
pub use caption::{Caption, Word};
pub use captioner::{Captioner, CaptionerInit};
pub use config::CaptionerConfig;
pub use dataset::CaptionDataset;
pub use decoders::{
    AddedDecoder, BuildDecoder, DecoderConfig, TopDown, TopDownConfig, TopDownMemory, TopDownState, add_decoder, source,
};
pub use ensemble::{CaptionPictures, Ensemble, PreprocessedPicture};
pub use folder::{EmbeddedFiles, ModelFiles};
pub use image;
pub use regions::place_regions;
pub use report::{Evaluation, caption_all, comparison_table, decode, evaluate, write_attention, write_comparison};
pub use training::{
    Baseline, Batch, BatchConfig, CaptionLoss, CaptioningRecipe, CaptioningTask, DataConfig, LossConfig,
    ScheduledSampling, SelfCritical, TaskSettings, caption_loss, prepare,
};

/// The README's examples, as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
