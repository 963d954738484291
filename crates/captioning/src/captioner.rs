//! From a picture to its caption.

use crate::caption::{Caption, Word, best};
use crate::config::{CaptionerConfig, MODEL_TYPE};
use crate::decoders::{DecoderConfig, source};
use crate::folder::{DECODER, ModelFiles, Start, TextFiles};
use crate::{Error, Result};
use candle_core::Device;
use candlewick_data::text::words::{PAD, START, UNK, WordTokenizer};
use candlewick_encoders::Preprocessing;
use candlewick_generation::{GenerationConfig, Hypothesis, generate};
use candlewick_parameters::{Parameters, SafetensorsFile};
use candlewick_recurrent::decoders::{AnyDecoder, AnyMemory, SourceDecoder as _};
use candlewick_training::{About, Export, MODEL_FILE, ModelFolder};
use candlewick_vision::{Annotations, AttentionMap, EncoderConfig, PictureEncoder};
use image::RgbImage;
use std::path::Path;

/// Looks at pictures and tells what is on them.
///
/// ```no_run
/// use candle_core::Device;
/// use candlewick_captioning::{Captioner, GenerationConfig};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let captioner = Captioner::from_pretrained("runs/flickr8k/best", &Device::Cpu)?;
/// let photo = image::open("photo.jpg")?.to_rgb8();
/// let caption = captioner.caption(&photo, &GenerationConfig::beam(5))?;
/// println!("{} ({:.2})", caption.text, caption.score);
/// for word in &caption.words {
///     println!("{} looked at {:?}", word.text, word.attention.as_ref().map(|map| map.peak()));
/// }
/// # Ok(())
/// # }
/// ```
pub struct Captioner {
    pub(crate) config: CaptionerConfig,
    pub(crate) encoder: PictureEncoder,
    pub(crate) decoder: AnyDecoder,
    pub(crate) tokenizer: WordTokenizer,
    pub(crate) generation: GenerationConfig,
    /// What `model.safetensors` holds: the decoder, and the encoder unless it is named by file.
    pub(crate) parameters: Parameters,
}

impl Captioner {
    /// Opens a model folder; a frozen encoder's weights are looked for where training had them and beside the model.
    ///
    /// # Errors
    /// One line that names the file and the fault: missing, cut short, of another network, of another hash.
    pub fn from_pretrained(folder: impl AsRef<Path>, device: &Device) -> Result<Self> {
        Self::open(folder, None, device)
    }

    /// Opens a model folder, or a run's, with the weights of a frozen encoder in a file of the caller's.
    ///
    /// # Errors
    /// As [`Captioner::from_pretrained`] says.
    pub fn open(folder: impl AsRef<Path>, encoder_weights: Option<&Path>, device: &Device) -> Result<Self> {
        Self::from_files(ModelFiles::open(folder.as_ref(), encoder_weights)?, device)
    }

    /// Builds a captioner from the content of its files, wherever they come from.
    ///
    /// # Errors
    /// As [`Captioner::from_pretrained`] says.
    pub fn from_files(files: ModelFiles, device: &Device) -> Result<Self> {
        let parameters = Parameters::from_file(files.model);
        parameters.freeze("");
        let config = files.config.encoder.clone();
        let encoder = PictureEncoder::new(config, files.preprocessing, files.encoder, &parameters, device)?;
        let mut captioner = Self::assemble(files.config, encoder, parameters, files.tokenizer)?;
        captioner.parameters.verify()?;
        captioner.encoder = captioner.encoder.for_inference()?;
        captioner.generation = files.generation;
        Ok(captioner)
    }

    /// A captioner with fresh initial values drawn from `seed`, to be trained.
    ///
    /// With `pretrained`, the encoder's weights come from that file; it is frozen, except the stages from `fine_tune` on.
    ///
    /// # Errors
    /// When the file's weights are not of this network.
    pub fn init(
        settings: CaptionerInit,
        tokenizer: WordTokenizer,
        pretrained: Option<SafetensorsFile>,
        device: &Device,
    ) -> Result<Self> {
        let parameters = Parameters::new(settings.seed);
        let encoder = PictureEncoder::init(
            settings.encoder.clone(),
            settings.preprocessing,
            pretrained,
            settings.fine_tune.as_deref(),
            &parameters,
            device,
        )?;
        let config = CaptionerConfig {
            model_type: MODEL_TYPE.into(),
            encoder: settings.encoder,
            decoder: settings.decoder,
            annotation_size: encoder.annotation_size(),
            vocab_size: tokenizer.vocab_size(),
        };
        let mut captioner = Self::assemble(config, encoder, parameters, tokenizer)?;
        captioner.generation = settings.generation;
        Ok(captioner)
    }

    /// Takes the decoder's weights from a trained captioner, and the encoder's where both keep them in the model.
    ///
    /// # Errors
    /// When they are weights of another network, or the encoder is frozen and named by file but that captioner brings its own.
    pub(crate) fn start_from(&self, start: &Start) -> Result<()> {
        let own = self.config.encoder.weights.is_none();
        if start.has_encoder() && !own {
            let fault = "has an encoder of its own, which was trained with its decoder; leave the encoder's pretrained weights out";
            return Err(Error::model(&start.model, fault));
        }
        if start.has_encoder() {
            self.parameters.assign(&start.encoder()?, &format!("{}.", candlewick_vision::ENCODER))?;
        }
        Ok(self.parameters.assign(&start.decoder()?, &format!("{DECODER}."))?)
    }

    fn assemble(
        config: CaptionerConfig,
        encoder: PictureEncoder,
        parameters: Parameters,
        tokenizer: WordTokenizer,
    ) -> Result<Self> {
        if let (Some(_), DecoderConfig::ShowAttendTell(decoder)) = (config.encoder.regions, &config.decoder)
            && decoder.attention.hard().is_some_and(|hard| !hard.is_one_annotation())
        {
            let fault =
                "decoder: regions have no neighbours on a map; leave attention.window and attention.context_mix out";
            return Err(Error::Setting(fault.into()));
        }
        let vb = parameters.builder(encoder.device()).pp(DECODER);
        let decoder = config.decoder.build(config.annotation_size, config.vocab_size, vb)?;
        if tokenizer.vocab_size() != config.vocab_size {
            let (words, rows) = (tokenizer.vocab_size(), config.vocab_size);
            return Err(Error::Setting(format!(
                "tokenizer.json has {words} words, config.json {rows}; take both from one model"
            )));
        }
        let generation = GenerationConfig::default();
        Ok(Self { config, encoder, decoder, tokenizer, generation, parameters })
    }

    /// The caption of a picture.
    ///
    /// # Errors
    /// When the picture is too small for the encoder, or a setting makes no sense.
    pub fn caption(&self, picture: &RgbImage, generation: &GenerationConfig) -> Result<Caption> {
        best(self.captions(std::slice::from_ref(picture), generation)?)
    }

    /// The best caption of each of many pictures, as one batch.
    ///
    /// # Errors
    /// As [`Captioner::caption`] says, and when preprocessing leaves the pictures at different sizes.
    pub fn captions(&self, pictures: &[RgbImage], generation: &GenerationConfig) -> Result<Vec<Caption>> {
        self.n_best(pictures, generation)?.into_iter().map(best).collect()
    }

    /// The `num_return_sequences` best captions of each picture, best first.
    ///
    /// # Errors
    /// As [`Captioner::captions`] says.
    pub fn n_best(&self, pictures: &[RgbImage], generation: &GenerationConfig) -> Result<Vec<Vec<Caption>>> {
        if pictures.is_empty() {
            return Ok(Vec::new());
        }
        self.caption_annotations(&self.encoder.encode_pictures(pictures)?, generation)
    }

    /// The `num_return_sequences` best captions of each picture, best first, from their annotations.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn caption_annotations(
        &self,
        annotations: &Annotations,
        generation: &GenerationConfig,
    ) -> Result<Vec<Vec<Caption>>> {
        let memory = self.memory(annotations)?;
        let count = annotations.tensor().dim(0)?;
        let found = generate(&self.decoder, &memory, count, &self.with_special_words_banned(generation))?;
        self.finish(found, annotations.grid_size())
    }

    /// What the decoder keeps of annotations.
    pub(crate) fn memory(&self, annotations: &Annotations) -> Result<AnyMemory> {
        let (found, wanted) = (annotations.tensor().dim(2)?, self.config.annotation_size);
        if found != wanted {
            let fault = format!("annotations have {found} features; the captioner was trained on {wanted}");
            return Err(Error::Setting(fault));
        }
        Ok(self.decoder.memory(&source(&annotations.to_device(self.device())?)?)?)
    }

    /// The settings without the words that a caption never says.
    pub(crate) fn with_special_words_banned(&self, generation: &GenerationConfig) -> GenerationConfig {
        let mut generation = generation.clone();
        generation.suppress_tokens.extend([PAD, START, UNK]);
        generation
    }

    /// The captions of what a search found of each picture.
    pub(crate) fn finish(&self, found: Vec<Vec<Hypothesis>>, grid: (usize, usize)) -> Result<Vec<Vec<Caption>>> {
        let caption = |hypothesis: Hypothesis| self.to_caption(hypothesis, grid);
        found.into_iter().map(|hypotheses| hypotheses.into_iter().map(caption).collect()).collect()
    }

    fn to_caption(&self, hypothesis: Hypothesis, (height, width): (usize, usize)) -> Result<Caption> {
        let text = self.tokenizer.decode(&hypothesis.words)?;
        let maps = hypothesis.alpha.into_iter().map(|weights| Some(AttentionMap { height, width, weights }));
        let maps = maps.chain(std::iter::repeat(None));
        let words = hypothesis.words.iter().zip(hypothesis.log_probabilities).zip(maps);
        let words = words.map(|((&id, log_probability), attention)| {
            Ok(Word { text: self.tokenizer.decode(&[id])?, log_probability, attention })
        });
        let words = words.collect::<Result<_>>()?;
        Ok(Caption { words, text, score: hypothesis.score, finished: hypothesis.finished })
    }

    /// How the model's own folder says that captions are generated.
    pub fn generation(&self) -> &GenerationConfig {
        &self.generation
    }

    /// What is done to a picture before the encoder sees it.
    pub fn preprocessing(&self) -> &Preprocessing {
        self.encoder.preprocessing()
    }

    /// What makes annotations of pictures.
    pub fn encoder(&self) -> &PictureEncoder {
        &self.encoder
    }

    /// The words that it knows.
    pub fn tokenizer(&self) -> &WordTokenizer {
        &self.tokenizer
    }

    /// What it is made of.
    pub fn config(&self) -> &CaptionerConfig {
        &self.config
    }

    /// Where it runs.
    pub fn device(&self) -> &Device {
        self.encoder.device()
    }
}

/// What a captioner that is to be trained is made of.
#[derive(Clone, Debug, Default)]
pub struct CaptionerInit {
    /// The encoder; with `weights` set it stays frozen and is not saved with the model.
    pub encoder: EncoderConfig,
    /// The stage from which a pretrained encoder is trained further.
    pub fine_tune: Option<String>,
    /// The decoder.
    pub decoder: DecoderConfig,
    /// What is done to pictures.
    pub preprocessing: Preprocessing,
    /// How captions are generated.
    pub generation: GenerationConfig,
    /// What the initial values are drawn from.
    pub seed: u64,
}

impl Captioner {
    /// Writes the model folder; it must exist.
    ///
    /// # Errors
    /// When a file cannot be written; the message names it.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let files =
            TextFiles { config: &self.config, preprocessing: self.preprocessing(), generation: &self.generation };
        files.write(&self.tokenizer, folder)?;
        Ok(self.parameters.save(folder.join(MODEL_FILE))?)
    }
}

impl ModelFolder for Captioner {
    const MODEL_TYPE: &'static str = MODEL_TYPE;

    fn from_folder(folder: &Path, device: &Device) -> Result<Self> {
        Self::from_files(ModelFiles::of_folder(folder, None)?, device)
    }

    fn export(folder: &Path, into: &Path, how: &Export) -> Result<About> {
        ModelFiles::of_folder(folder, how.encoder_weights.as_deref())?.export(into, how.dtype)
    }
}
