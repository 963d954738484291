//! The recipes and the small models that the program carries in itself.

use candlewick::captioning::EmbeddedFiles;
use candlewick::tasks::language_model;
use candlewick_models::{SCENES, SHAKESPEARE as WRITER};

pub use candlewick_models::{RECIPES, Recipe as EmbeddedRecipe};

/// The captioner of generated scenes.
pub const MODEL: EmbeddedFiles = EmbeddedFiles {
    config: SCENES.config,
    preprocessing: SCENES.preprocessing,
    tokenizer: SCENES.tokenizer,
    generation: SCENES.generation,
    model: SCENES.model,
};

/// The language model of Shakespeare.
pub const SHAKESPEARE: language_model::EmbeddedFiles = language_model::EmbeddedFiles {
    config: WRITER.config,
    tokenizer: WRITER.tokenizer,
    generation: WRITER.generation,
    model: WRITER.model,
};
