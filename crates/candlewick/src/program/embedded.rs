//! The recipe and the small model that the program carries in itself.

use candlewick::captioning::EmbeddedFiles;

/// A recipe that the program carries in itself.
pub struct EmbeddedRecipe {
    /// Its run's name.
    pub name: &'static str,
    /// Its file in the folder of models.
    pub file: &'static str,
    /// The content of the file.
    pub text: &'static str,
}

/// All recipes, that of generated scenes first.
pub const RECIPES: [EmbeddedRecipe; 9] = [
    EmbeddedRecipe {
        name: "scenes",
        file: "scenes/train.toml",
        text: include_str!("../../../../models/scenes/train.toml"),
    },
    EmbeddedRecipe {
        name: "flickr8k",
        file: "flickr8k/train.toml",
        text: include_str!("../../../../models/flickr8k/train.toml"),
    },
    EmbeddedRecipe {
        name: "flickr8k-vanilla",
        file: "flickr8k/vanilla.toml",
        text: include_str!("../../../../models/flickr8k/vanilla.toml"),
    },
    EmbeddedRecipe {
        name: "flickr8k-fc7",
        file: "flickr8k/fc7.toml",
        text: include_str!("../../../../models/flickr8k/fc7.toml"),
    },
    EmbeddedRecipe {
        name: "flickr8k-show-tell",
        file: "flickr8k/show_tell.toml",
        text: include_str!("../../../../models/flickr8k/show_tell.toml"),
    },
    EmbeddedRecipe {
        name: "flickr8k-hard",
        file: "flickr8k/hard.toml",
        text: include_str!("../../../../models/flickr8k/hard.toml"),
    },
    EmbeddedRecipe {
        name: "flickr8k-top-down",
        file: "flickr8k/top_down.toml",
        text: include_str!("../../../../models/flickr8k/top_down.toml"),
    },
    EmbeddedRecipe {
        name: "flickr8k-critical",
        file: "flickr8k/self_critical.toml",
        text: include_str!("../../../../models/flickr8k/self_critical.toml"),
    },
    EmbeddedRecipe {
        name: "mnist",
        file: "mnist/train.toml",
        text: include_str!("../../../../models/mnist/train.toml"),
    },
];

impl EmbeddedRecipe {
    /// The recipe of this name.
    pub fn find(name: &str) -> Option<&'static Self> {
        RECIPES.iter().find(|recipe| recipe.name == name)
    }

    /// The recipe in a file beside this one's, as `base` names it.
    pub fn beside(&self, file: &str) -> Option<&'static Self> {
        let folder = self.file.rsplit_once('/').map_or("", |(folder, _)| folder);
        RECIPES.iter().find(|recipe| recipe.file == format!("{folder}/{file}"))
    }

    /// Its first sentence.
    pub fn summary(&self) -> String {
        let lines = self.text.lines().map_while(|line| line.strip_prefix("# "));
        let text = lines.collect::<Vec<_>>().join(" ");
        let sentence = text.split_once(". ").map_or(text.as_str(), |(first, _)| first);
        sentence.trim_end_matches(['.', ':']).to_owned()
    }
}

/// The model trained with it.
pub const MODEL: EmbeddedFiles = EmbeddedFiles {
    config: include_str!("../../../../models/scenes/config.json"),
    preprocessing: include_str!("../../../../models/scenes/preprocessor_config.json"),
    tokenizer: include_str!("../../../../models/scenes/tokenizer.json"),
    generation: include_str!("../../../../models/scenes/generation_config.json"),
    model: include_bytes!("../../../../models/scenes/model.safetensors"),
};
