//! Attention captioning: looks at a picture and tells what is on it, and where it looked for each word.
//!
//! [`Captioner`] is the way in: it opens a model folder and captions pictures. Its decoder is one of [`ShowAttendTell`] (soft or hard
//! attention), [`ShowTell`] and [`TopDown`], or your own ([`CaptionDecoder`]); [`CaptioningTask`] trains one, [`evaluate()`] scores one.

#![forbid(unsafe_code)]

mod attention_overlay;
mod batches;
mod captioner;
mod comparison;
mod config;
mod dataset;
mod decoder;
mod ensemble;
mod error;
mod evaluate;
mod features;
mod folder;
mod hard_attention;
mod loss;
mod prepare;
mod recipe;
mod regions;
mod scheduled_sampling;
mod seen;
mod self_critical;
mod show_attend_tell;
mod show_tell;
mod task;
mod top_down;
mod views;

pub use attention_overlay::write_attention;
pub use batches::Batch;
pub use candlewick_generation::GenerationConfig;
pub use candlewick_pages::ComparisonRow;
pub use captioner::{AttentionMap, Caption, Captioner, FreshCaptioner, Word};
pub use comparison::{comparison_table, write_comparison};
pub use config::{CaptionerConfig, EncoderConfig, WeightsFile};
pub use dataset::{Features, Input, Pictures, Set};
pub use decoder::{AnyDecoder, AnyMemory, AnyState, CaptionDecoder, DecoderConfig, Drawn, Read};
pub use ensemble::{Describe, Ensemble, Prepared};
pub use error::{Error, Result};
pub use evaluate::{Evaluation, decode, evaluate};
pub use folder::{EmbeddedFiles, ModelFiles};
pub use loss::{CaptionLoss, LossConfig, caption_loss};
pub use prepare::{Note, prepare};
pub use recipe::{BatchConfig, DataConfig, EncoderRecipe, Recipe};
pub use regions::{RegionSet, open_regions};
pub use scheduled_sampling::ScheduledSampling;
pub use seen::Seen;
pub use self_critical::{Baseline, SelfCritical};
pub use show_attend_tell::{Attention, Memory, ShowAttendTell, ShowAttendTellConfig, State};
pub use show_tell::{PictureInput, PictureVector, ShowTell, ShowTellConfig};
pub use task::{CaptioningTask, TaskSettings};
pub use top_down::{TopDown, TopDownConfig, TopDownMemory, TopDownState};
pub use views::{Part, View, Views};
