//! The recipes and the small models that the program carries in itself.

use candlewick::captioning::EmbeddedFiles;
use candlewick::tasks::{draw, language_model, vqa};
use candlewick_models::{DRAW as DRAWER, SCENE_QUESTIONS as ANSWERER, SCENES, SHAKESPEARE as WRITER};

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

/// The model that answers questions about generated scenes.
pub const SCENE_QUESTIONS: vqa::EmbeddedFiles = vqa::EmbeddedFiles {
    config: ANSWERER.config,
    preprocessing: ANSWERER.preprocessing,
    tokenizer: ANSWERER.tokenizer,
    model: ANSWERER.model,
};

/// The network that draws digits.
pub const DRAW: draw::EmbeddedFiles = draw::EmbeddedFiles { config: DRAWER.config, model: DRAWER.model };
