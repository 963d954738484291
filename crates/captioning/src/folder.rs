//! A captioner's model folder, laid out as on the Hugging Face hub.

use crate::captioner::Captioner;
use crate::config::{CaptionerConfig, EncoderConfig, WeightsFile};
use crate::{Error, Result};
use candlewick_data::words::WordTokenizer;
use candlewick_encoders::{Preprocessing, file_hash};
use candlewick_generation::GenerationConfig;
use candlewick_parameters::SafetensorsFile;
use std::path::{Path, PathBuf};

const CONFIG: &str = "config.json";
const PREPROCESSING: &str = "preprocessor_config.json";
const TOKENIZER: &str = "tokenizer.json";
const GENERATION: &str = "generation_config.json";
const MODEL: &str = "model.safetensors";

/// What the encoder and the decoder are called in `model.safetensors`.
pub(crate) const ENCODER: &str = "encoder";
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

    fn of_folder(folder: &Path, encoder_weights: Option<&Path>) -> Result<Self> {
        candlewick_training::check_model(folder)?;
        let read = |name: &str| {
            let path = folder.join(name);
            std::fs::read_to_string(&path).map_err(Error::io(&path)).map(|text| (path.display().to_string(), text))
        };
        let (name, text) = read(CONFIG)?;
        let config = CaptionerConfig::from_json(&name, &text)?;
        let (name, text) = read(PREPROCESSING)?;
        let preprocessing = parse_preprocessing(&name, &text)?;
        let encoder = match &config.encoder.weights {
            Some(weights) => Some(open_encoder(folder, weights, encoder_weights)?),
            None => None,
        };
        Ok(Self {
            config,
            preprocessing,
            tokenizer: WordTokenizer::load(&folder.join(TOKENIZER))?,
            generation: GenerationConfig::load(folder.join(GENERATION))?,
            model: SafetensorsFile::open(folder.join(MODEL))?,
            encoder,
        })
    }

    /// Takes the files that a program carries in itself.
    ///
    /// # Errors
    /// When one of them is not what its name says.
    pub fn embedded(files: EmbeddedFiles) -> Result<Self> {
        Ok(Self {
            config: CaptionerConfig::from_json(CONFIG, files.config)?,
            preprocessing: parse_preprocessing(PREPROCESSING, files.preprocessing)?,
            tokenizer: WordTokenizer::from_bytes(TOKENIZER, files.tokenizer.as_bytes())?,
            generation: GenerationConfig::from_json(files.generation)?,
            model: SafetensorsFile::from_bytes(MODEL, files.model.to_vec())?,
            encoder: None,
        })
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
        candlewick_training::check_model(&folder)?;
        let config = folder.join(CONFIG);
        let text = std::fs::read_to_string(&config).map_err(Error::io(&config))?;
        let encoder = CaptionerConfig::from_json(&config.display().to_string(), &text)?.encoder;
        let model = folder.join(MODEL);
        let has_encoder = SafetensorsFile::open(&model)?.under(ENCODER).names().next().is_some();
        Ok(Self { tokenizer: WordTokenizer::load(&folder.join(TOKENIZER))?, model, encoder, has_encoder })
    }

    /// Refuses an encoder that gives other annotations than those that the start's decoder learned to read; `weights` are its
    /// pretrained ones.
    ///
    /// # Errors
    /// One line that names the model and what is another.
    pub fn check_encoder(&self, encoder: &EncoderConfig, weights: Option<&Path>) -> Result<()> {
        let fault = |what: String| Err(Error::Config(format!("{}: {what}", self.model.display())));
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

impl Captioner {
    /// Writes the model folder; it must exist.
    ///
    /// # Errors
    /// When a file cannot be written; the message names it.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let write = |name: &str, value: serde_json::Result<String>| {
            let text = value.map_err(|error| Error::Config(format!("{name}: {error}")))? + "\n";
            let path = folder.join(name);
            std::fs::write(&path, text).map_err(Error::io(&path))
        };
        write(CONFIG, serde_json::to_string_pretty(&self.config))?;
        write(PREPROCESSING, serde_json::to_string_pretty(&self.preprocessing))?;
        self.generation.save(folder.join(GENERATION))?;
        self.tokenizer.save(&folder.join(TOKENIZER))?;
        Ok(self.parameters.save(folder.join(MODEL))?)
    }
}

fn parse_preprocessing(name: &str, text: &str) -> Result<Preprocessing> {
    serde_json::from_str(text).map_err(|error| Error::Config(format!("{name}: {error}")))
}

/// Opens the model folder itself, or the best checkpoint where the folder is a run's.
fn open_model<T>(folder: &Path, open: impl Fn(&Path) -> Result<T>) -> Result<T> {
    if folder.join(CONFIG).is_file() {
        return open(folder);
    }
    if folder.join("run.json").is_file() {
        return candlewick_training::open_best(folder, open);
    }
    let shown = folder.display();
    Err(Error::Config(format!("{shown}: holds no {CONFIG} and no run.json; name a model folder or a run's folder")))
}

fn open_encoder(folder: &Path, weights: &WeightsFile, given: Option<&Path>) -> Result<SafetensorsFile> {
    let beside = weights.file.file_name().map(|name| folder.join(name));
    let candidates = match given {
        Some(path) => vec![path.to_path_buf()],
        None => [Some(weights.file.clone()), beside].into_iter().flatten().collect(),
    };
    let Some(path) = candidates.iter().find(|path| path.is_file()) else {
        let looked = candidates.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" and ");
        return Err(Error::Config(format!(
            "{looked}: no such file; say where the encoder's weights are with --encoder-weights"
        )));
    };
    let found = file_hash(path)?;
    if found != weights.sha256 {
        let (path, wanted) = (path.display(), &weights.sha256);
        return Err(Error::Config(format!(
            "{path}: not the encoder's weights that this model was trained with (SHA-256 {found}, wanted {wanted}); name the right file"
        )));
    }
    Ok(SafetensorsFile::open(path)?)
}
