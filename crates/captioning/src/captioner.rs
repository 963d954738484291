//! From a picture to its caption.

use crate::config::{CaptionerConfig, EncoderConfig, MODEL_TYPE};
use crate::decoder::{AnyDecoder, AnyMemory, CaptionDecoder as _, DecoderConfig};
use crate::ensemble::Describe;
use crate::folder::{DECODER, ENCODER, ModelFiles, Start};
use crate::regions::FromFile;
use crate::seen::Seen;
use crate::{Error, Result};
use candle_core::{Device, Tensor};
use candlewick_data::words::{PAD, START, UNK, WordTokenizer};
use candlewick_encoders::{Architecture, Encoder, Preprocessing};
use candlewick_generation::{GenerationConfig, Hypothesis, generate};
use candlewick_kernels::channels_last;
use candlewick_parameters::{Mode, Parameters, SafetensorsFile};
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
    pub(crate) encoder: Box<dyn Encoder>,
    pub(crate) decoder: AnyDecoder,
    pub(crate) tokenizer: WordTokenizer,
    pub(crate) preprocessing: Preprocessing,
    pub(crate) generation: GenerationConfig,
    /// What `model.safetensors` holds: the decoder, and the encoder unless it is named by file.
    pub(crate) parameters: Parameters,
    device: Device,
}

/// A caption with what the network looked at for each of its words.
#[derive(Clone, Debug, PartialEq)]
pub struct Caption {
    /// The sentence.
    pub text: String,
    /// Σ log p / length^length_penalty, natural logarithms.
    pub score: f32,
    /// Its words in order.
    pub words: Vec<Word>,
    /// Whether the sentence came to its end; false where it was cut off at the longest length.
    pub finished: bool,
}

/// A word of a caption.
#[derive(Clone, Debug, PartialEq)]
pub struct Word {
    /// The word.
    pub text: String,
    /// The natural logarithm of its probability.
    pub log_probability: f32,
    /// Where the network looked when it wrote the word; nothing where its decoder has no attention.
    pub attention: Option<AttentionMap>,
}

/// Attention weights over the positions of a picture, row after row; they sum to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionMap {
    /// Rows of positions.
    pub height: usize,
    /// Columns of positions.
    pub width: usize,
    /// The weights, `height` × `width`.
    pub weights: Vec<f32>,
}

impl AttentionMap {
    /// The centre of the position that got the most weight, as shares (x, y) of the picture's width and height.
    pub fn peak(&self) -> (f32, f32) {
        let largest = self.weights.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1).then(b.0.cmp(&a.0)));
        let at = largest.map_or(0, |(at, _)| at);
        let share = |index: usize, count: usize| (index as f32 + 0.5) / count.max(1) as f32;
        (share(at % self.width.max(1), self.width), share(at / self.width.max(1), self.height))
    }
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
        let encoder = build_encoder(&files.config.encoder, files.encoder, &parameters, device)?;
        let mut captioner = Self::assemble(files.config, encoder, parameters, files.tokenizer, device)?;
        captioner.parameters.verify()?;
        captioner.encoder = captioner.encoder.for_inference()?;
        captioner.preprocessing = files.preprocessing;
        captioner.generation = files.generation;
        Ok(captioner)
    }

    /// A captioner with fresh initial values drawn from `seed`, to be trained.
    ///
    /// With `pretrained`, the encoder's weights come from that file; it is frozen, except the stages from `fine_tune` on.
    ///
    /// # Errors
    /// When the file's weights are not of this network.
    pub fn fresh(
        settings: FreshCaptioner,
        tokenizer: WordTokenizer,
        pretrained: Option<SafetensorsFile>,
        device: &Device,
    ) -> Result<Self> {
        let parameters = Parameters::new(settings.seed);
        let named_by_file = settings.encoder.weights.is_some();
        let encoder = match pretrained {
            Some(file) if !named_by_file => {
                let architecture = Architecture::find(&settings.encoder.network)?;
                for prefix in architecture.frozen_prefixes(settings.fine_tune.as_deref())? {
                    parameters.freeze(format!("{ENCODER}.{prefix}"));
                }
                let encoder = build_encoder(&settings.encoder, None, &parameters, device)?;
                parameters.assign(&architecture.without_head(file)?, &format!("{ENCODER}."))?;
                encoder
            }
            other => build_encoder(&settings.encoder, other, &parameters, device)?,
        };
        let annotation_size = annotation_size(encoder.as_ref(), &settings.encoder)?;
        let config = CaptionerConfig {
            model_type: MODEL_TYPE.into(),
            encoder: settings.encoder,
            decoder: settings.decoder,
            annotation_size,
            vocab_size: tokenizer.vocab_size(),
        };
        let mut captioner = Self::assemble(config, encoder, parameters, tokenizer, device)?;
        captioner.preprocessing = settings.preprocessing;
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
            return Err(Error::Config(format!("{}: {fault}", start.model.display())));
        }
        if start.has_encoder() {
            self.parameters.assign(&start.encoder()?, &format!("{ENCODER}."))?;
        }
        Ok(self.parameters.assign(&start.decoder()?, &format!("{DECODER}."))?)
    }

    fn assemble(
        config: CaptionerConfig,
        encoder: Box<dyn Encoder>,
        parameters: Parameters,
        tokenizer: WordTokenizer,
        device: &Device,
    ) -> Result<Self> {
        if let (Some(_), DecoderConfig::ShowAttendTell(decoder)) = (config.encoder.regions, &config.decoder)
            && !decoder.takes_in_one()
        {
            let fault = "decoder: regions have no neighbours on a map; leave glimpse and periphery out";
            return Err(Error::Config(fault.into()));
        }
        let vb = parameters.builder(device).pp(DECODER);
        let decoder = config.decoder.build(config.annotation_size, config.vocab_size, vb)?;
        if tokenizer.vocab_size() != config.vocab_size {
            let (words, rows) = (tokenizer.vocab_size(), config.vocab_size);
            return Err(Error::Config(format!(
                "tokenizer.json has {words} words, config.json {rows}; take both from one model"
            )));
        }
        let (preprocessing, generation) = (Preprocessing::imagenet(), GenerationConfig::default());
        let device = device.clone();
        Ok(Self { config, encoder, decoder, tokenizer, preprocessing, generation, parameters, device })
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
        Describe::n_best(self, pictures, generation)
    }

    /// What the encoder sees in preprocessed images, as [`Captioner::annotations`] gives it.
    pub(crate) fn look(&self, images: &Tensor) -> Result<Seen> {
        self.annotations(&images.to_device(&self.device)?, &mut Mode::Eval)
    }

    /// The annotations of images that are mirrored, each at the place where its content is in the picture itself.
    pub(crate) fn look_mirrored(&self, images: &Tensor) -> Result<Seen> {
        let seen = self.look(images)?;
        let ((n, p, c), (height, width)) = (seen.annotations().dims3()?, seen.map());
        let map = seen.annotations().reshape((n, height, width, c))?;
        Ok(seen.with_annotations(map.flip(&[2])?.reshape((n, p, c))?)?)
    }

    /// Whether the other's pictures have the same annotations: one frozen encoder from one file, given the same images.
    pub(crate) fn sees_like(&self, other: &Self) -> bool {
        let (mine, others) = (&self.config.encoder, &other.config.encoder);
        mine.weights.is_some() && mine == others && self.preprocessing == other.preprocessing
    }

    /// The `num_return_sequences` best captions of each picture, best first, of what was seen in them.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn describe(&self, seen: &Seen, generation: &GenerationConfig) -> Result<Vec<Vec<Caption>>> {
        let memory = self.memory(seen)?;
        let found = generate(&self.decoder, &memory, seen.annotations().dim(0)?, &self.said(generation))?;
        self.tell(found, seen.map())
    }

    /// What the decoder keeps of what was seen.
    pub(crate) fn memory(&self, seen: &Seen) -> Result<AnyMemory> {
        let (found, wanted) = (seen.annotations().dim(2)?, self.config.annotation_size);
        if found != wanted {
            let fault = format!("annotations have {found} features; the captioner was trained on {wanted}");
            return Err(Error::Config(fault));
        }
        Ok(self.decoder.memory(&seen.to_device(&self.device)?, &mut Mode::Eval)?)
    }

    /// The settings without the words that a caption never says.
    pub(crate) fn said(&self, generation: &GenerationConfig) -> GenerationConfig {
        let mut generation = generation.clone();
        generation.suppress_tokens.extend([PAD, START, UNK]);
        generation
    }

    /// The captions of what a search found of each picture.
    pub(crate) fn tell(&self, found: Vec<Vec<Hypothesis>>, shape: (usize, usize)) -> Result<Vec<Vec<Caption>>> {
        let caption = |hypothesis: Hypothesis| self.told(hypothesis, shape.0, shape.1);
        found.into_iter().map(|hypotheses| hypotheses.into_iter().map(caption).collect()).collect()
    }

    fn told(&self, hypothesis: Hypothesis, height: usize, width: usize) -> Result<Caption> {
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

    /// What the encoder sees in preprocessed images (N, 3, height, width): annotations (N, P, C) of a map.
    ///
    /// A fully connected layer, such as fc7, gives one annotation of the whole picture.
    ///
    /// # Errors
    /// When the images have another shape.
    pub fn annotations(&self, images: &Tensor, mode: &mut Mode) -> Result<Seen> {
        let vector = |layer: &&String| self.encoder.vectors().iter().any(|info| info.name == **layer);
        let map = match &self.config.encoder.layer {
            Some(layer) if vector(&layer) => {
                return Ok(Seen::on_map(self.encoder.vector(layer, images, mode)?.unsqueeze(1)?, (1, 1))?);
            }
            Some(layer) => self.encoder.layer(layer, images, mode)?,
            None => self.encoder.map(images, mode)?,
        };
        let map = channels_last::to_nhwc(&map)?;
        let (n, height, width, _) = map.dims4()?;
        let map = if self.config.encoder.coordinates {
            let axis = |count: usize| -> candle_core::Result<Tensor> {
                let at = |index: usize| (2.0 * index as f32 + 1.0) / count as f32 - 1.0;
                Tensor::new((0..count).map(at).collect::<Vec<_>>(), map.device())
            };
            let x = axis(width)?.reshape((1, 1, width, 1))?.broadcast_as((n, height, width, 1))?;
            let y = axis(height)?.reshape((1, height, 1, 1))?.broadcast_as((n, height, width, 1))?;
            Tensor::cat(&[&map, &x.contiguous()?, &y.contiguous()?], 3)?
        } else {
            map
        };
        let channels = map.dim(3)?;
        Ok(Seen::on_map(map.reshape((n, height * width, channels))?, (height, width))?)
    }

    /// How the model's own folder says that captions are generated.
    pub fn generation(&self) -> &GenerationConfig {
        &self.generation
    }

    /// What is done to a picture before the encoder sees it.
    pub fn preprocessing(&self) -> &Preprocessing {
        &self.preprocessing
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
        &self.device
    }
}

/// What a fresh captioner is made of.
#[derive(Clone, Debug, Default)]
pub struct FreshCaptioner {
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

/// The encoder, from a frozen file of its own or among the model's parameters.
fn build_encoder(
    config: &EncoderConfig,
    file: Option<SafetensorsFile>,
    parameters: &Parameters,
    device: &Device,
) -> Result<Box<dyn Encoder>> {
    if let Some(channels) = config.regions {
        return Ok(Box::new(FromFile::new(channels)));
    }
    let architecture = Architecture::find(&config.network)?;
    let Some(file) = file else {
        return Ok(architecture.build(&config.config, parameters.builder(device).pp(ENCODER))?);
    };
    let own = Parameters::from_file(architecture.canonical_weights(file)?);
    own.freeze("");
    let encoder = architecture.build(&config.config, own.builder(device))?;
    own.verify()?;
    Ok(encoder.for_inference()?)
}

/// C: the channels of the layer that is read, and two coordinates where they are wanted.
fn annotation_size(encoder: &dyn Encoder, config: &EncoderConfig) -> Result<usize> {
    let coordinates = if config.coordinates { 2 } else { 0 };
    let Some(name) = &config.layer else { return Ok(encoder.channels() + coordinates) };
    if let Some(vector) = encoder.vectors().iter().find(|info| info.name == *name) {
        return match config.coordinates {
            true => Err(Error::Config(format!("encoder: {name} is of the whole picture; leave coordinates out"))),
            false => Ok(vector.size),
        };
    }
    let found = encoder.layers().iter().find(|info| info.name == *name);
    found.map(|info| info.channels + coordinates).ok_or_else(|| {
        let layers = encoder.layers().iter().map(|info| info.name.as_str());
        let known: Vec<&str> = layers.chain(encoder.vectors().iter().map(|info| info.name.as_str())).collect();
        Error::Config(format!("{}: has no layer {name}; it has {}", encoder.name(), known.join(", ")))
    })
}
/// The first of a picture's captions; were one left out, those after it would be taken for other pictures'.
pub(crate) fn best(captions: Vec<Caption>) -> Result<Caption> {
    captions.into_iter().next().ok_or_else(|| Error::Config("no caption came out".into()))
}
