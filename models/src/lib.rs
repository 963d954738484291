//! Candlewick's recipes and its small models of generated scenes and of Shakespeare, as a program carries them in itself.
//!
//! Each folder beside this code is a model, laid out as on the Hugging Face hub; what is here is their content:
//!
//! ```
//! let recipe = candlewick_models::Recipe::find("mnist").ok_or("no such recipe")?;
//! assert!(recipe.text.contains("task = \"classification\""));
//! assert!(candlewick_models::SCENES.config.contains("captioner"));
//! # Ok::<(), &str>(())
//! ```

#![forbid(unsafe_code)]

/// A recipe: how a model is trained.
#[derive(Clone, Copy, Debug)]
pub struct Recipe {
    /// Its run's name.
    pub name: &'static str,
    /// Its file in the folder of models.
    pub file: &'static str,
    /// The content of the file, TOML.
    pub text: &'static str,
}

/// All recipes, that of generated scenes first.
pub const RECIPES: &[Recipe] = &[
    Recipe { name: "scenes", file: "scenes/train.toml", text: include_str!("../scenes/train.toml") },
    Recipe { name: "flickr8k", file: "flickr8k/train.toml", text: include_str!("../flickr8k/train.toml") },
    Recipe { name: "flickr8k-vanilla", file: "flickr8k/vanilla.toml", text: include_str!("../flickr8k/vanilla.toml") },
    Recipe { name: "flickr8k-fc7", file: "flickr8k/fc7.toml", text: include_str!("../flickr8k/fc7.toml") },
    Recipe {
        name: "flickr8k-show-tell",
        file: "flickr8k/show_tell.toml",
        text: include_str!("../flickr8k/show_tell.toml"),
    },
    Recipe { name: "flickr8k-hard", file: "flickr8k/hard.toml", text: include_str!("../flickr8k/hard.toml") },
    Recipe {
        name: "flickr8k-top-down",
        file: "flickr8k/top_down.toml",
        text: include_str!("../flickr8k/top_down.toml"),
    },
    Recipe {
        name: "flickr8k-critical",
        file: "flickr8k/self_critical.toml",
        text: include_str!("../flickr8k/self_critical.toml"),
    },
    Recipe { name: "mnist", file: "mnist/train.toml", text: include_str!("../mnist/train.toml") },
    Recipe { name: "mnist_rows", file: "mnist/rows.toml", text: include_str!("../mnist/rows.toml") },
    Recipe { name: "mnist_pixels", file: "mnist/pixels.toml", text: include_str!("../mnist/pixels.toml") },
    Recipe { name: "hello", file: "hello/train.toml", text: include_str!("../hello/train.toml") },
    Recipe { name: "shakespeare", file: "shakespeare/train.toml", text: include_str!("../shakespeare/train.toml") },
    Recipe {
        name: "shakespeare-small",
        file: "shakespeare/small.toml",
        text: include_str!("../shakespeare/small.toml"),
    },
    Recipe {
        name: "shakespeare-cells",
        file: "shakespeare/cells.toml",
        text: include_str!("../shakespeare/cells.toml"),
    },
    Recipe {
        name: "war_and_peace",
        file: "war_and_peace/train.toml",
        text: include_str!("../war_and_peace/train.toml"),
    },
    Recipe {
        name: "war_and_peace-small",
        file: "war_and_peace/small.toml",
        text: include_str!("../war_and_peace/small.toml"),
    },
    Recipe { name: "linux", file: "linux/train.toml", text: include_str!("../linux/train.toml") },
    Recipe { name: "latex", file: "latex/train.toml", text: include_str!("../latex/train.toml") },
    Recipe { name: "sst2", file: "sst2/train.toml", text: include_str!("../sst2/train.toml") },
    Recipe { name: "rt_polarity", file: "rt_polarity/train.toml", text: include_str!("../rt_polarity/train.toml") },
    Recipe { name: "vowels", file: "vowels/train.toml", text: include_str!("../vowels/train.toml") },
    Recipe { name: "multi30k", file: "multi30k/train.toml", text: include_str!("../multi30k/train.toml") },
    Recipe { name: "multi30k-vector", file: "multi30k/vector.toml", text: include_str!("../multi30k/vector.toml") },
    Recipe {
        name: "english_korean",
        file: "english_korean/train.toml",
        text: include_str!("../english_korean/train.toml"),
    },
    Recipe {
        name: "scene_questions",
        file: "scene_questions/train.toml",
        text: include_str!("../scene_questions/train.toml"),
    },
    Recipe { name: "easy_vqa", file: "easy_vqa/train.toml", text: include_str!("../easy_vqa/train.toml") },
    Recipe { name: "daquar", file: "daquar/train.toml", text: include_str!("../daquar/train.toml") },
    Recipe {
        name: "flickr8k_questions",
        file: "flickr8k_questions/train.toml",
        text: include_str!("../flickr8k_questions/train.toml"),
    },
    Recipe { name: "chorales", file: "chorales/train.toml", text: include_str!("../chorales/train.toml") },
    Recipe {
        name: "spoken_digits",
        file: "spoken_digits/train.toml",
        text: include_str!("../spoken_digits/train.toml"),
    },
    Recipe { name: "adding", file: "adding/train.toml", text: include_str!("../adding/train.toml") },
    Recipe { name: "weizmann", file: "weizmann/train.toml", text: include_str!("../weizmann/train.toml") },
    Recipe { name: "weizmann-film", file: "weizmann/film.toml", text: include_str!("../weizmann/film.toml") },
    Recipe { name: "weizmann-early", file: "weizmann/early.toml", text: include_str!("../weizmann/early.toml") },
    Recipe { name: "moving", file: "moving/train.toml", text: include_str!("../moving/train.toml") },
    Recipe { name: "moving-clip", file: "moving/clip.toml", text: include_str!("../moving/clip.toml") },
    Recipe { name: "moving-next", file: "moving/next.toml", text: include_str!("../moving/next.toml") },
    Recipe { name: "glimpses", file: "glimpses/train.toml", text: include_str!("../glimpses/train.toml") },
    Recipe { name: "glimpses-moved", file: "glimpses/moved.toml", text: include_str!("../glimpses/moved.toml") },
    Recipe {
        name: "glimpses-cluttered",
        file: "glimpses/cluttered.toml",
        text: include_str!("../glimpses/cluttered.toml"),
    },
    Recipe { name: "glimpses-two", file: "glimpses/two.toml", text: include_str!("../glimpses/two.toml") },
    Recipe { name: "draw", file: "draw/train.toml", text: include_str!("../draw/train.toml") },
    Recipe { name: "draw-whole", file: "draw/whole.toml", text: include_str!("../draw/whole.toml") },
    Recipe { name: "draw-small", file: "draw/small.toml", text: include_str!("../draw/small.toml") },
    Recipe { name: "ptb", file: "ptb/train.toml", text: include_str!("../ptb/train.toml") },
];

impl Recipe {
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

/// The files of a model folder.
#[derive(Clone, Copy, Debug)]
pub struct Files {
    /// `config.json`.
    pub config: &'static str,
    /// `preprocessor_config.json`.
    pub preprocessing: &'static str,
    /// `tokenizer.json`.
    pub tokenizer: &'static str,
    /// `generation_config.json`.
    pub generation: &'static str,
    /// `model.safetensors`.
    pub model: &'static [u8],
    /// A picture that it knows, PNG.
    pub picture: &'static [u8],
}

/// The captioner of generated scenes, trained with the first of [`RECIPES`].
pub const SCENES: Files = Files {
    config: include_str!("../scenes/config.json"),
    preprocessing: include_str!("../scenes/preprocessor_config.json"),
    tokenizer: include_str!("../scenes/tokenizer.json"),
    generation: include_str!("../scenes/generation_config.json"),
    model: include_bytes!("../scenes/model.safetensors"),
    picture: include_bytes!("../scenes/example.png"),
};

/// The files of a language model's folder.
#[derive(Clone, Copy, Debug)]
pub struct TextFiles {
    /// `config.json`.
    pub config: &'static str,
    /// `tokenizer.json`.
    pub tokenizer: &'static str,
    /// `generation_config.json`.
    pub generation: &'static str,
    /// `model.safetensors`.
    pub model: &'static [u8],
}

/// The small language model of Shakespeare's plays, trained with the recipe `shakespeare-small`.
pub const SHAKESPEARE: TextFiles = TextFiles {
    config: include_str!("../shakespeare/config.json"),
    tokenizer: include_str!("../shakespeare/tokenizer.json"),
    generation: include_str!("../shakespeare/generation_config.json"),
    model: include_bytes!("../shakespeare/model.safetensors"),
};

/// The files of the folder of a model that answers questions.
#[derive(Clone, Copy, Debug)]
pub struct QuestionFiles {
    /// `config.json`.
    pub config: &'static str,
    /// `preprocessor_config.json`.
    pub preprocessing: &'static str,
    /// `tokenizer.json`.
    pub tokenizer: &'static str,
    /// `model.safetensors`.
    pub model: &'static [u8],
}

/// The model that answers questions about generated scenes, trained with the recipe `scene_questions`.
pub const SCENE_QUESTIONS: QuestionFiles = QuestionFiles {
    config: include_str!("../scene_questions/config.json"),
    preprocessing: include_str!("../scene_questions/preprocessor_config.json"),
    tokenizer: include_str!("../scene_questions/tokenizer.json"),
    model: include_bytes!("../scene_questions/model.safetensors"),
};

/// The files of the folder of a network that draws.
#[derive(Clone, Copy, Debug)]
pub struct DrawingFiles {
    /// `config.json`.
    pub config: &'static str,
    /// `model.safetensors`.
    pub model: &'static [u8],
}

/// The network that draws digits, trained with the recipe `draw-small`.
pub const DRAW: DrawingFiles =
    DrawingFiles { config: include_str!("../draw/config.json"), model: include_bytes!("../draw/model.safetensors") };

/// The README's examples, as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
