//! Language models of characters, bytes, words or pieces of words: p(y_t | y_1 … y_{t−1}).
//!
//! [`LanguageModel`] is the way in: it opens a model folder, scores texts and writes them. [`LanguageModelTask`] trains one as a
//! [`LanguageModelRecipe`] says, by truncated backpropagation through time. [`units`] finds out what single units of it know.

mod activations;
mod config;
mod model;
mod prepare;
mod recipe;
mod samples;
mod score;
mod task;
pub mod units;
mod unrolled;
mod writer;

pub use activations::{Activations, Unit, UnitKind};
pub use config::{InputKind, LanguageModelConfig, NetworkConfig};
pub use model::{EmbeddedFiles, LanguageModel, LanguageModelInit, Rows};
pub use recipe::{BatchConfig, DataConfig, LanguageModelRecipe};
pub use score::Score;
pub use task::LanguageModelTask;
pub use unrolled::{Unrolled, UnrolledStep};
pub use writer::{Feed, Writer};
