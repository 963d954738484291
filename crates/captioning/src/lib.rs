//! Attention captioning: looks at a picture and tells what is on it, and where it looked for each word.
//!
//! [`Captioner`] is the way in: it opens a model folder and captions pictures. Its decoder is one of [`ShowAttendTell`] (soft or hard
//! attention), [`ShowTell`] and [`TopDown`], or your own ([`CaptionDecoder`]); [`CaptioningTask`] trains one, [`evaluate()`] scores one.

#![forbid(unsafe_code)]

mod attention_overlay;
mod batches;
mod caption;
mod captioner;
mod comparison;
mod config;
mod dataset;
mod decoder;
mod ensemble;
mod evaluate;
mod folder;
mod hard_attention;
mod loss;
mod outcome;
mod prepare;
mod recipe;
mod regions;
mod scheduled_sampling;
mod self_critical;
mod show_attend_tell;
mod show_tell;
mod task;
mod top_down;

pub use attention_overlay::write_attention;
pub use batches::{Batch, BatchConfig};
pub use candlewick_generation::GenerationConfig;
pub use candlewick_pages::ComparisonRow;
pub use candlewick_training::{Error, Result};
pub use candlewick_vision::{Annotations, AttentionMap};
pub use caption::{Caption, Word};
pub use captioner::{Captioner, CaptionerInit};
pub use comparison::{comparison_table, write_comparison};
pub use config::CaptionerConfig;
pub use dataset::CaptionDataset;
pub use decoder::{AnyDecoder, AnyMemory, AnyState, CaptionDecoder, DecoderConfig, Drawn, Read};
pub use ensemble::{CaptionPictures, Ensemble, PreprocessedPicture};
pub use evaluate::{Evaluation, decode, evaluate};
pub use folder::{EmbeddedFiles, ModelFiles};
pub use loss::{CaptionLoss, LossConfig, caption_loss};
pub use prepare::prepare;
pub use recipe::{CaptioningRecipe, DataConfig};
pub use regions::place_regions;
pub use scheduled_sampling::ScheduledSampling;
pub use self_critical::{Baseline, SelfCritical};
pub use show_attend_tell::{Attention, Memory, ShowAttendTell, ShowAttendTellConfig, State};
pub use show_tell::{PictureInput, PictureVector, ShowTell, ShowTellConfig};
pub use task::{CaptioningTask, TaskSettings};
pub use top_down::{TopDown, TopDownConfig, TopDownMemory, TopDownState};
