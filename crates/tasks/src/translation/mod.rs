//! Translation: a sentence in one language in, in another one out.
//!
//! [`Translator`] is the way in: it opens a model folder and translates; [`TranslatorEnsemble`] lets several tell as one. [`TranslationTask`]
//! trains one as a [`TranslationRecipe`] says, [`evaluate`] scores one as sacreBLEU does.

mod alignment;
mod config;
mod ensemble;
mod evaluate;
mod pairs;
mod prepare;
mod recipe;
mod task;
mod translator;

pub use config::{DecoderConfig, NetworkConfig, TranslatorConfig};
pub use ensemble::TranslatorEnsemble;
pub use evaluate::{Evaluation, evaluate};
pub use pairs::{Batch, Pairs};
pub use recipe::{BatchConfig, DataConfig, TranslationRecipe};
pub use task::TranslationTask;
pub use translator::{Translation, Translator, TranslatorInit};
