//! Attention captioning: looks at a picture and tells what is on it, and where it looked for each word.
//!
//! [`Captioner`] is the way in: it opens a model folder and captions pictures. [`ShowAttendTell`] is the decoder of the
//! paper, [`CaptioningTask`] trains one, [`evaluate()`] scores one.

mod batches;
mod captioner;
mod config;
mod dataset;
mod decoder;
mod error;
mod evaluate;
mod features;
mod folder;
mod pictures;
mod prepare;
mod recipe;
mod self_critical;
mod task;

pub use batches::Batch;
pub use candlewick_recurrent::decoding::GenerationConfig;
pub use captioner::{AttentionMap, Caption, Captioner, FreshCaptioner, Word};
pub use config::{CaptionerConfig, EncoderConfig, WeightsFile};
pub use dataset::{Features, Input, Pictures, Set};
pub use decoder::{CaptionLoss, DecoderConfig, LossConfig, Memory, ShowAttendTell, State, caption_loss};
pub use error::{Error, Result};
pub use evaluate::{Evaluation, decode, evaluate};
pub use folder::{EmbeddedFiles, ModelFiles};
pub use pictures::{overlay, write_attention};
pub use prepare::{Note, prepare};
pub use recipe::{BatchConfig, DataConfig, EncoderRecipe, Recipe};
pub use self_critical::{Baseline, SelfCritical};
pub use task::{CaptioningTask, TaskSettings};
