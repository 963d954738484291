//! A captioner's model folder, laid out as on the Hugging Face hub.

use crate::config::{CaptionerConfig, MODEL_TYPE};
use crate::{Error, Result};
use candlewick_data::text::words::{END, PAD, START, UNK, WordTokenizer};
use candlewick_encoders::{Preprocessing, file_hash};
use candlewick_generation::GenerationConfig;
use candlewick_parameters::SafetensorsFile;
use candlewick_training::model_folder::{
    CONFIG_FILE, PREPROCESSOR_FILE, open_model, parse_config, read_config, read_json, write_json, write_preprocessing,
};
use candlewick_training::{MODEL_FILE, check_model};
use candlewick_vision::{ENCODER, EncoderConfig};
use serde_json::json;
use std::path::{Path, PathBuf};

const TOKENIZER: &str = "tokenizer.json";
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
const GENERATION: &str = "generation_config.json";

/// What the decoder is called in `model.safetensors`.
pub(crate) const DECODER: &str = "decoder";

/// The content of a model folder.
pub struct ModelFiles {
    /// `config.json`.
    pub config: CaptionerConfig,
    /// `preprocessor_config.json`.
    pub preprocessing: Preprocessing,
    /// `tokenizer.json`.
    pub tokenizer: WordTokenizer,
    /// `generation_config.json`.
    pub generation: GenerationConfig,
    /// `model.safetensors`.
    pub model: SafetensorsFile,
    /// The weights of a frozen encoder that `config.json` names by file.
    pub encoder: Option<SafetensorsFile>,
}

/// The bytes of a model that a program carries in itself.
#[derive(Clone, Copy, Debug)]
pub struct EmbeddedFiles<'a> {
    /// `config.json`.
    pub config: &'a str,
    /// `preprocessor_config.json`.
    pub preprocessing: &'a str,
    /// `tokenizer.json`.
    pub tokenizer: &'a str,
    /// `generation_config.json`.
    pub generation: &'a str,
    /// `model.safetensors`.
    pub model: &'a [u8],
}

impl ModelFiles {
    /// Reads a model folder, or the best checkpoint of a run's folder.
    ///
    /// The weights of a frozen encoder are taken from `encoder_weights`, or from where `config.json` says, or from a
    /// file of that name in the folder; their hash must be the one in `config.json`.
    ///
    /// # Errors
    /// One line that names the file and the fault.
    pub fn open(folder: &Path, encoder_weights: Option<&Path>) -> Result<Self> {
        open_model(folder, |folder| Self::of_folder(folder, encoder_weights))
    }

    pub(crate) fn of_folder(folder: &Path, encoder_weights: Option<&Path>) -> Result<Self> {
        check_model(folder)?;
        let config: CaptionerConfig = read_config(folder, MODEL_TYPE)?;
        let preprocessing = read_json(&folder.join(PREPROCESSOR_FILE))?;
        let weights = config.encoder.weights.as_ref();
        let encoder = weights.map(|weights| weights.open(folder, encoder_weights)).transpose()?;
        Ok(Self {
            config,
            preprocessing,
            tokenizer: WordTokenizer::load(&folder.join(TOKENIZER))?,
            generation: GenerationConfig::load(folder.join(GENERATION))?,
            model: SafetensorsFile::open(folder.join(MODEL_FILE))?,
            encoder,
        })
    }

    /// Takes the files that a program carries in itself.
    ///
    /// # Errors
    /// When one of them is not what its name says.
    pub fn embedded(files: EmbeddedFiles) -> Result<Self> {
        Ok(Self {
            config: parse_config(Path::new(CONFIG_FILE), files.config, MODEL_TYPE)?,
            preprocessing: serde_json::from_str(files.preprocessing)
                .map_err(|error| Error::model(PREPROCESSOR_FILE, error.to_string()))?,
            tokenizer: WordTokenizer::from_bytes(TOKENIZER, files.tokenizer.as_bytes())?,
            generation: GenerationConfig::from_json(files.generation)?,
            model: SafetensorsFile::from_bytes(MODEL_FILE, files.model.to_vec())?,
            encoder: None,
        })
    }
}

/// All of a model folder but its weights and its words.
pub(crate) struct TextFiles<'a> {
    pub config: &'a CaptionerConfig,
    pub preprocessing: &'a Preprocessing,
    pub generation: &'a GenerationConfig,
}

impl TextFiles<'_> {
    /// Writes them, and the words, into a folder that exists.
    ///
    /// # Errors
    /// When a file cannot be written; the message names it.
    pub fn write(&self, tokenizer: &WordTokenizer, folder: &Path) -> Result<()> {
        write_json(&folder.join(CONFIG_FILE), self.config)?;
        write_preprocessing(folder, self.preprocessing)?;
        self.generation.save(folder.join(GENERATION))?;
        tokenizer.save(&folder.join(TOKENIZER))?;
        // Hugging Face's tools learn from this file which of the tokens are the special ones.
        let tokens = json!({
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": tokenizer.word(START),
            "eos_token": tokenizer.word(END),
            "pad_token": tokenizer.word(PAD),
            "unk_token": tokenizer.word(UNK),
            "clean_up_tokenization_spaces": false,
        });
        write_json(&folder.join(TOKENIZER_CONFIG), &tokens)
    }
}

/// A trained captioner that training starts from.
pub(crate) struct Start {
    /// Its words.
    pub tokenizer: WordTokenizer,
    /// Its `model.safetensors`.
    pub model: PathBuf,
    encoder: EncoderConfig,
    has_encoder: bool,
}

impl Start {
    /// Opens a model folder, or the best checkpoint of a run's folder.
    pub fn open(folder: &Path) -> Result<Self> {
        let folder = open_model(folder, |folder| Ok(folder.to_path_buf()))?;
        check_model(&folder)?;
        let encoder = read_config::<CaptionerConfig>(&folder, MODEL_TYPE)?.encoder;
        let model = folder.join(MODEL_FILE);
        let has_encoder = SafetensorsFile::open(&model)?.under(ENCODER).names().next().is_some();
        Ok(Self { tokenizer: WordTokenizer::load(&folder.join(TOKENIZER))?, model, encoder, has_encoder })
    }

    /// Refuses an encoder that gives other annotations than those that the start's decoder learned to read; `weights` are its
    /// pretrained ones.
    ///
    /// # Errors
    /// One line that names the model and what is another.
    pub fn check_encoder(&self, encoder: &EncoderConfig, weights: Option<&Path>) -> Result<()> {
        let fault = |what: String| Err(Error::model(&self.model, what));
        let own = &self.encoder;
        if own.regions != encoder.regions {
            let of = |regions: Option<usize>| {
                regions.map_or("an encoder's map".into(), |c| format!("regions of {c} features"))
            };
            return fault(format!("its decoder reads {}, here are {}", of(own.regions), of(encoder.regions)));
        }
        let place = |of: &EncoderConfig| (of.network.clone(), of.layer.clone(), of.coordinates);
        if own.regions.is_none() && place(own) != place(encoder) {
            let named = |of: &EncoderConfig| {
                let layer = of.layer.as_deref().unwrap_or("its last layer");
                format!("{} ({layer}{})", of.network, if of.coordinates { ", coordinates" } else { "" })
            };
            return fault(format!(
                "its decoder reads the map of {}, the recipe's encoder is {}",
                named(own),
                named(encoder)
            ));
        }
        let Some(wanted) = &own.weights else { return Ok(()) };
        let Some(weights) = weights else {
            let file = wanted.file.display();
            return fault(format!(
                "its encoder's weights are not in it; name their file ({file} then) with --encoder-weights"
            ));
        };
        let found = file_hash(weights)?;
        if found != wanted.sha256 {
            let (path, wanted) = (weights.display(), &wanted.sha256);
            return fault(format!(
                "{path} are not the encoder's weights that it was trained with (SHA-256 {found}, wanted {wanted}); name the right file"
            ));
        }
        Ok(())
    }

    /// Whether the encoder's weights are in the model, as they are where it was trained too.
    pub fn has_encoder(&self) -> bool {
        self.has_encoder
    }

    /// The encoder's weights under the network's own names.
    pub fn encoder(&self) -> Result<SafetensorsFile> {
        Ok(SafetensorsFile::open(&self.model)?.under(ENCODER))
    }

    /// The decoder's weights under the decoder's own names.
    pub fn decoder(&self) -> Result<SafetensorsFile> {
        Ok(SafetensorsFile::open(&self.model)?.under(DECODER))
    }
}
