//! The recipe and the small model that the program carries in itself.

use candlewick::captioning::EmbeddedFiles;

/// The recipe of generated scenes.
pub const RECIPE: &str = include_str!("../../../../models/scenes/train.toml");

/// The model trained with it.
pub const MODEL: EmbeddedFiles = EmbeddedFiles {
    config: include_str!("../../../../models/scenes/config.json"),
    preprocessing: include_str!("../../../../models/scenes/preprocessor_config.json"),
    tokenizer: include_str!("../../../../models/scenes/tokenizer.json"),
    generation: include_str!("../../../../models/scenes/generation_config.json"),
    model: include_bytes!("../../../../models/scenes/model.safetensors"),
};
