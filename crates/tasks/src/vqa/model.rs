//! From a picture and a question to answers.

use super::config::{VqaConfig, VqaNetworkConfig};
use super::network::{Joined, Looked, Sizes, VqaNetwork, Words};
use crate::{Error, Result};
use candle_core::{Device, Tensor};
use candlewick_data::tokens::TextTokenizer;
use candlewick_encoders::Preprocessing;
use candlewick_kernels::device::upload;
use candlewick_parameters::{Mode, Parameters, SafetensorsFile};
use candlewick_training::MODEL_FILE;
use candlewick_training::check_model;
use candlewick_training::model_folder::{
    CONFIG_FILE, PREPROCESSOR_FILE, open_model, parse_config, read_config, read_json, write_json, write_preprocessing,
};
use candlewick_vision::{Annotations, EncoderConfig, EncoderInput, PictureEncoder};
use std::collections::HashMap;
use std::path::Path;

/// The name of this model in `config.json`.
pub(super) const MODEL_TYPE: &str = "visual-question-answering";
const TOKENIZER: &str = "tokenizer.json";

/// Answers questions about pictures.
///
/// ```no_run
/// use candle_core::Device;
/// use candlewick_tasks::vqa::{Ask, VqaModel};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let model = VqaModel::from_pretrained("runs/flickr8k_questions".as_ref(), &Device::Cpu)?;
/// let photo = image::open("photo.jpg")?.to_rgb8();
/// let told = &model.answer(&[Ask { picture: &photo, question: "what is the man riding?", choices: &[] }])?[0];
/// println!("{} {:.3}", told.answers[0], told.probabilities[0]);
/// # Ok(())
/// # }
/// ```
pub struct VqaModel {
    pub(super) config: VqaConfig,
    pub(super) encoder: Option<PictureEncoder>,
    pub(super) network: VqaNetwork,
    pub(super) tokenizer: TextTokenizer,
    /// What `model.safetensors` holds: the network, and the encoder unless it is named by file.
    pub(super) parameters: Parameters,
    numbers: HashMap<String, u32>,
    device: Device,
}

/// What a model that is to be trained is made of.
pub struct VqaInit {
    /// The network.
    pub network: VqaNetworkConfig,
    /// The encoder, which a network that sees no picture does without; with `weights` set it stays frozen and is not saved with the model.
    pub encoder: EncoderConfig,
    /// The stage from which a pretrained encoder is trained further.
    pub fine_tune: Option<String>,
    /// What is done to pictures.
    pub preprocessing: Preprocessing,
    /// What cuts questions into words.
    pub tokenizer: TextTokenizer,
    /// The known answers, two at least.
    pub answers: Vec<String>,
    /// What the initial values are drawn from.
    pub seed: u64,
}

/// The content of a model folder's files, for a program that carries a model in itself.
#[derive(Clone, Copy, Debug)]
pub struct EmbeddedFiles<'a> {
    /// `config.json`.
    pub config: &'a str,
    /// `preprocessor_config.json`.
    pub preprocessing: &'a str,
    /// `tokenizer.json`.
    pub tokenizer: &'a str,
    /// `model.safetensors`.
    pub model: &'a [u8],
}

/// What a model is put together from.
struct Parts {
    config: VqaConfig,
    encoder: Option<PictureEncoder>,
    tokenizer: TextTokenizer,
    parameters: Parameters,
}

impl VqaModel {
    /// A model with fresh initial values, to be trained.
    ///
    /// With `pretrained`, the encoder's weights come from that file; it is frozen, except the stages from `fine_tune` on.
    ///
    /// # Errors
    /// When there are fewer than two answers, the network cannot be built so, or the file's weights are of another encoder.
    pub fn init(init: VqaInit, pretrained: Option<SafetensorsFile>, device: &Device) -> Result<Self> {
        let VqaInit { network, encoder, fine_tune, preprocessing, tokenizer, answers, seed } = init;
        let parameters = Parameters::new(seed);
        let encoder = match network.sees() {
            true => {
                let (config, from) = (encoder, fine_tune.as_deref());
                Some(PictureEncoder::init(config, preprocessing, pretrained, from, &parameters, device)?)
            }
            false => None,
        };
        let config = VqaConfig {
            model_type: MODEL_TYPE.into(),
            annotation_size: encoder.as_ref().map_or(0, PictureEncoder::annotation_size),
            encoder: encoder.as_ref().map(|encoder| encoder.config().clone()),
            network,
            vocab_size: tokenizer.vocab_size(),
            id2label: answers.into_iter().enumerate().collect(),
        };
        Self::assemble(Parts { config, encoder, tokenizer, parameters }, device)
    }

    /// Opens a model folder, or the best checkpoint of a run's folder; a frozen encoder's weights are looked for where training had them
    /// and beside the model.
    ///
    /// # Errors
    /// One line that names the file and the fault.
    pub fn from_pretrained(folder: &Path, device: &Device) -> Result<Self> {
        Self::open(folder, None, device)
    }

    /// Opens a model folder, or a run's, with the weights of a frozen encoder in a file of the caller's.
    ///
    /// # Errors
    /// As [`VqaModel::from_pretrained`] says.
    pub fn open(folder: &Path, encoder_weights: Option<&Path>, device: &Device) -> Result<Self> {
        open_model(folder, |folder| {
            check_model(folder)?;
            Self::of_folder(folder, encoder_weights, device)
        })
    }

    pub(super) fn of_folder(folder: &Path, encoder_weights: Option<&Path>, device: &Device) -> Result<Self> {
        let config: VqaConfig = read_config(folder, MODEL_TYPE)?;
        let encoder = match &config.encoder {
            Some(encoder) => {
                let weights = encoder.weights.as_ref();
                let weights = weights.map(|weights| weights.open(folder, encoder_weights)).transpose()?;
                Some((read_json(&folder.join(PREPROCESSOR_FILE))?, weights))
            }
            None => None,
        };
        let tokenizer = TextTokenizer::open(&folder.join(TOKENIZER))?;
        Self::trained(config, encoder, tokenizer, SafetensorsFile::open(folder.join(MODEL_FILE))?, device)
    }

    /// The model of files that lie in memory.
    ///
    /// # Errors
    /// When they do not fit together.
    pub fn embedded(files: &EmbeddedFiles<'_>, device: &Device) -> Result<Self> {
        let preprocessing = serde_json::from_str(files.preprocessing)
            .map_err(|error| Error::model(PREPROCESSOR_FILE, error.to_string()))?;
        let config = parse_config(CONFIG_FILE.as_ref(), files.config, MODEL_TYPE)?;
        let weights = SafetensorsFile::from_bytes(MODEL_FILE, files.model.to_vec())?;
        Self::trained(config, Some((preprocessing, None)), TextTokenizer::parse(files.tokenizer)?, weights, device)
    }

    /// A model with its weights; what is done to pictures, and the weights of a frozen encoder, come in a pair.
    fn trained(
        config: VqaConfig,
        seen: Option<(Preprocessing, Option<SafetensorsFile>)>,
        tokenizer: TextTokenizer,
        weights: SafetensorsFile,
        device: &Device,
    ) -> Result<Self> {
        let parameters = Parameters::from_file(weights);
        parameters.freeze("");
        let encoder = match (&config.encoder, seen) {
            (Some(encoder), Some((preprocessing, file))) => {
                Some(PictureEncoder::new(encoder.clone(), preprocessing, file, &parameters, device)?)
            }
            _ => None,
        };
        let mut model = Self::assemble(Parts { config, encoder, tokenizer, parameters }, device)?;
        model.parameters.verify()?;
        model.encoder = model.encoder.map(PictureEncoder::for_inference).transpose()?;
        Ok(model)
    }

    fn assemble(parts: Parts, device: &Device) -> Result<Self> {
        let Parts { config, encoder, tokenizer, parameters } = parts;
        let VqaConfig { network, annotation_size, vocab_size, id2label, .. } = &config;
        if id2label.len() < 2 || !id2label.keys().copied().eq(0..id2label.len()) {
            let fault = format!("{} answers to tell; wanted two at least, numbered from 0", id2label.len());
            return Err(Error::Setting(fault));
        }
        if tokenizer.vocab_size() != *vocab_size {
            let found = tokenizer.vocab_size();
            let fault = format!("tokenizer.json has {found} words, config.json {vocab_size}; take both from one model");
            return Err(Error::Setting(fault));
        }
        if network.sees() != encoder.is_some() {
            return Err(Error::Setting(
                "config.json: a network that looks at pictures has an encoder, no other".into(),
            ));
        }
        let sizes = Sizes { words: *vocab_size, annotation: *annotation_size, answers: id2label.len() };
        let built = VqaNetwork::new(sizes, network, parameters.builder(device))?;
        let numbers = id2label.iter().map(|(&number, answer)| (answer.clone(), number as u32)).collect();
        Ok(Self { encoder, network: built, tokenizer, parameters, numbers, device: device.clone(), config })
    }

    /// The annotations of what a data set gives, on the model's device; pictures are taken as in evaluation unless `mode` is of training.
    pub(super) fn looked(
        &self,
        input: Option<&EncoderInput>,
        sources: &Tensor,
        mode: &mut Mode,
    ) -> Result<Option<Looked>> {
        let (Some(input), Some(encoder)) = (input, &self.encoder) else { return Ok(None) };
        let annotations = match input {
            EncoderInput::Annotations(annotations) => annotations.to_device(&self.device)?,
            EncoderInput::Images(images) => encoder.annotations(&upload(images, &self.device)?, mode)?,
        };
        self.check(&annotations)?;
        Ok(Some(Looked { annotations, sources: sources.to_device(&self.device)? }))
    }

    /// Refuses annotations of another size than the network reads.
    fn check(&self, annotations: &Annotations) -> Result<()> {
        let (found, wanted) = (annotations.tensor().dim(2)?, self.config.annotation_size);
        match found == wanted {
            true => Ok(()),
            false => {
                Err(Error::Setting(format!("annotations have {found} features; the model was trained on {wanted}")))
            }
        }
    }

    /// What the network knows of questions in evaluation.
    pub(super) fn joined(&self, questions: &Words, looked: Option<&Looked>) -> Result<Joined> {
        Ok(self.network.join(&questions.to_device(&self.device)?, looked, &mut Mode::Eval)?)
    }

    /// The ids of a question's words.
    ///
    /// # Errors
    /// When it has none.
    pub(super) fn read(&self, question: &str) -> Result<Vec<u32>> {
        let ids = self.tokenizer.encode(question)?;
        match ids.is_empty() {
            true => Err(Error::Setting(format!("question {question:?}: has no words; ask something"))),
            false => Ok(ids),
        }
    }

    /// The number of a known answer.
    pub fn answer_number(&self, answer: &str) -> Option<u32> {
        self.numbers.get(answer).copied()
    }

    /// The known answers in the order of their numbers.
    pub fn known_answers(&self) -> impl Iterator<Item = &str> {
        self.config.id2label.values().map(String::as_str)
    }

    /// What it is made of.
    pub fn config(&self) -> &VqaConfig {
        &self.config
    }

    /// What makes annotations of pictures; nothing where none is seen.
    pub fn encoder(&self) -> Option<&PictureEncoder> {
        self.encoder.as_ref()
    }

    /// What cuts questions into words.
    pub fn tokenizer(&self) -> &TextTokenizer {
        &self.tokenizer
    }

    /// Where it runs.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// How many numbers are in its own file.
    pub fn parameter_count(&self) -> usize {
        self.parameters.count()
    }

    /// Writes the model folder; it must exist.
    ///
    /// # Errors
    /// When a file cannot be written; the message names it.
    pub fn save(&self, folder: &Path) -> Result<()> {
        self.save_settings(folder, &self.config)?;
        Ok(self.parameters.save(folder.join(MODEL_FILE))?)
    }

    /// Writes all but the weights.
    pub(super) fn save_settings(&self, folder: &Path, config: &VqaConfig) -> Result<()> {
        write_json(&folder.join(CONFIG_FILE), config)?;
        if let Some(encoder) = &self.encoder {
            write_preprocessing(folder, encoder.preprocessing())?;
        }
        Ok(self.tokenizer.save(&folder.join(TOKENIZER))?)
    }

    /// Questions as the network takes them.
    pub(super) fn words<'a>(&self, questions: impl IntoIterator<Item = &'a str>) -> Result<Words> {
        let ids = questions.into_iter().map(|question| self.read(question)).collect::<Result<Vec<_>>>()?;
        Words::of(&ids.iter().map(Vec::as_slice).collect::<Vec<_>>())
    }
}
