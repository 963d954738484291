//! The recipes and the small model that the program carries in itself.

use candlewick::captioning::EmbeddedFiles;
use candlewick_models::SCENES;

pub use candlewick_models::{RECIPES, Recipe as EmbeddedRecipe};

/// The captioner of generated scenes.
pub const MODEL: EmbeddedFiles = EmbeddedFiles {
    config: SCENES.config,
    preprocessing: SCENES.preprocessing,
    tokenizer: SCENES.tokenizer,
    generation: SCENES.generation,
    model: SCENES.model,
};
