//! A translator: an encoder, and a decoder over what it read.
//!
//! ```text
//! a_1 … a_T, v = encoder(x_1 … x_T, </s>)                  both ways; v is what it kept of the whole
//! p(y_t | y_1 … y_{t−1}, x) = softmax(decoder(y_{t−1}, a, v))
//! ```
//!
//! Sutskever et al. 2014, "Sequence to sequence learning with neural networks"; Bahdanau et al. 2015, "Neural machine translation by jointly
//! learning to align and translate".

use super::alignment::{self, Words};
use super::config::{DecoderConfig, NetworkConfig, TranslatorConfig};
use crate::{Error, Result};
use candle_core::{Device, Tensor};
use candlewick_data::buckets::padded;
use candlewick_data::tokens::TextTokenizer;
use candlewick_generation::{GenerationConfig, Hypothesis, generate};
use candlewick_kernels::additive_attention::Counts;
use candlewick_parameters::{Mode, Parameters};
use candlewick_recurrent::decoders::{AnyDecoder, AnyMemory, Source, SourceDecoder as _};
use candlewick_recurrent::{Encoded, TextEncoder};
use candlewick_training::model_folder::{CONFIG_FILE, read_config, read_weights, write_json, write_weights};
use candlewick_training::{About, Export, MODEL_FILE, ModelFolder};
use std::path::Path;

/// The name of this model in `config.json`.
const MODEL_TYPE: &str = "translator";
const TOKENIZER: &str = "tokenizer.json";
const GENERATION: &str = "generation_config.json";

/// What stands before a sentence and behind it.
const START: &str = "<s>";
const END: &str = "</s>";

/// Sentences that are translated at a time.
const BATCH: usize = 64;

/// Translates sentences.
///
/// ```no_run
/// use candle_core::Device;
/// use candlewick_tasks::translation::Translator;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let translator = Translator::from_pretrained("runs/multi30k".as_ref(), &Device::Cpu)?;
/// let told = translator.translate(&["Ein Hund läuft am Strand."], translator.generation())?;
/// println!("{}", told[0].text);
/// # Ok(())
/// # }
/// ```
pub struct Translator {
    pub(super) config: TranslatorConfig,
    pub(super) tokenizer: TextTokenizer,
    pub(super) generation: GenerationConfig,
    pub(super) parameters: Parameters,
    encoder: TextEncoder,
    pub(super) decoder: AnyDecoder,
    start: u32,
    end: u32,
    device: Device,
}

/// What a translator that is to be trained is made of.
pub struct TranslatorInit {
    /// The network.
    pub network: NetworkConfig,
    /// What cuts both languages into tokens, without start and end.
    pub tokenizer: TextTokenizer,
    /// The language that is read.
    pub source: String,
    /// The language that is written.
    pub target: String,
    /// How translations are searched for; its start and end are set to the tokenizer's.
    pub generation: GenerationConfig,
    /// What the initial values are drawn from.
    pub seed: u64,
}

/// A translated sentence.
#[derive(Clone, Debug, PartialEq)]
pub struct Translation {
    /// The translation.
    pub text: String,
    /// The search's score of it: Σ log p / length^length_penalty.
    pub score: f32,
    /// Its words, with punctuation apart.
    pub words: Vec<String>,
    /// The words of what was translated, the end last.
    pub source: Vec<String>,
    /// Of each word the weight of each of the source's, which sum to 1; empty for a decoder without attention.
    pub alpha: Vec<Vec<f32>>,
    /// Whether it ended by itself; false where it was cut off.
    pub finished: bool,
}

impl Translator {
    /// A translator with fresh initial values, to be trained.
    ///
    /// # Errors
    /// When the network cannot be built so; the message names the setting.
    pub fn init(init: TranslatorInit, device: &Device) -> Result<Self> {
        let TranslatorInit { network, tokenizer, source, target, generation, seed } = init;
        let tokenizer = tokenizer.with_special_tokens(&[START, END])?;
        let vocab_size = tokenizer.vocab_size();
        let config = TranslatorConfig { model_type: MODEL_TYPE.into(), source, target, vocab_size, network };
        Self::assemble(config, tokenizer, generation, Parameters::new(seed), device)
    }

    /// Opens a model folder, or the best checkpoint of a run's folder.
    ///
    /// # Errors
    /// One line that names the file and the fault.
    pub fn from_pretrained(folder: &Path, device: &Device) -> Result<Self> {
        Self::open_folder(folder, device)
    }

    fn assemble(
        config: TranslatorConfig,
        tokenizer: TextTokenizer,
        generation: GenerationConfig,
        parameters: Parameters,
        device: &Device,
    ) -> Result<Self> {
        let TranslatorConfig { network, vocab_size, .. } = &config;
        if tokenizer.vocab_size() != *vocab_size {
            let found = tokenizer.vocab_size();
            let fault =
                format!("tokenizer.json has {found} tokens, config.json {vocab_size}; take both from one model");
            return Err(Error::Setting(fault));
        }
        let (Some(start), Some(end)) = (tokenizer.id(START), tokenizer.id(END)) else {
            let fault = format!("tokenizer.json lacks {START} or {END}; take that of the model");
            return Err(Error::Setting(fault));
        };
        let generation = with_ends(generation, start, end);
        let vb = parameters.builder(device);
        let encoder = TextEncoder::new(*vocab_size, &network.encoder, vb.pp("encoder"))?;
        let (c, vector) = (encoder.encoder().annotation_size(), encoder.encoder().vector_size());
        if c != vector {
            let fault = "model.encoder.pooling: the decoder starts from one vector; name one way of pooling";
            return Err(Error::Setting(fault.into()));
        }
        let decoder = network.decoder.build(c, *vocab_size, vb.pp("decoder"))?;
        Ok(Self { config, tokenizer, generation, parameters, encoder, decoder, start, end, device: device.clone() })
    }

    /// The tokens of a sentence to read, the end last.
    pub(super) fn read(&self, text: &str) -> Result<Vec<u32>> {
        let mut ids = self.tokenizer.encode(text)?;
        ids.push(self.end);
        Ok(ids)
    }

    /// The tokens of a sentence to write, start and end included.
    pub(super) fn written(&self, text: &str) -> Result<Vec<u32>> {
        let mut ids = vec![self.start];
        ids.extend(self.read(text)?);
        Ok(ids)
    }

    /// Rows of ids as (N, T), those behind a row's end being that end's.
    pub(super) fn padded(&self, rows: &[&[u32]]) -> Result<Tensor> {
        Ok(padded(rows, self.end, &self.device)?)
    }

    /// What the decoder keeps of sentences that are read (N, T), of row n the first `lengths[n]` tokens.
    pub(super) fn memory(&self, ids: &Tensor, lengths: &[usize], mode: &mut Mode) -> candle_core::Result<AnyMemory> {
        let Encoded { annotations, vector, .. } = self.encoder.encode(ids, lengths, mode)?;
        let longest = ids.dim(1)?;
        let all = lengths.iter().all(|&length| length == longest);
        let counts: Vec<u32> = lengths.iter().map(|&length| length as u32).collect();
        let counts = (!all).then(|| Counts::new(&counts, longest, &self.device)).transpose()?;
        self.decoder.memory(&Source::new(annotations, vector)?.with_counts(counts))
    }

    /// The best translation of each sentence.
    ///
    /// # Errors
    /// When a sentence is empty, or a setting makes no sense.
    pub fn translate(&self, texts: &[&str], generation: &GenerationConfig) -> Result<Vec<Translation>> {
        Ok(self.n_best(texts, generation)?.into_iter().filter_map(|found| found.into_iter().next()).collect())
    }

    /// The `num_return_sequences` best translations of each sentence, the best first.
    ///
    /// # Errors
    /// As [`Translator::translate`] says.
    pub fn n_best(&self, texts: &[&str], generation: &GenerationConfig) -> Result<Vec<Vec<Translation>>> {
        let generation = self.own_ends(generation);
        self.in_batches(texts, |ids, lengths| {
            let memory = self.memory(ids, lengths, &mut Mode::Eval)?;
            Ok(generate(&self.decoder, &memory, lengths.len(), &generation)?)
        })
    }

    /// The settings with this model's start and end.
    pub(super) fn own_ends(&self, generation: &GenerationConfig) -> GenerationConfig {
        with_ends(generation.clone(), self.start, self.end)
    }

    /// What `search` finds of the sentences, those of like length together, in their order.
    pub(super) fn in_batches(
        &self,
        texts: &[&str],
        mut search: impl FnMut(&Tensor, &[usize]) -> Result<Vec<Vec<Hypothesis>>>,
    ) -> Result<Vec<Vec<Translation>>> {
        if let Some(empty) = texts.iter().position(|text| text.trim().is_empty()) {
            return Err(Error::Setting(format!("sentence {} is empty; leave it out", empty + 1)));
        }
        let read = texts.iter().map(|text| self.read(text.trim())).collect::<Result<Vec<_>>>()?;
        let mut order: Vec<usize> = (0..read.len()).collect();
        order.sort_by_key(|&at| read[at].len());
        let mut found: Vec<Vec<Translation>> = vec![Vec::new(); read.len()];
        for places in order.chunks(BATCH) {
            let rows: Vec<&[u32]> = places.iter().map(|&at| read[at].as_slice()).collect();
            let lengths: Vec<usize> = rows.iter().map(|row| row.len()).collect();
            let all = search(&self.padded(&rows)?, &lengths)?;
            for (&place, hypotheses) in places.iter().zip(all) {
                let told = hypotheses.into_iter().map(|hypothesis| self.told(&read[place], hypothesis));
                found[place] = told.collect::<Result<_>>()?;
            }
        }
        Ok(found)
    }

    fn told(&self, read: &[u32], hypothesis: Hypothesis) -> Result<Translation> {
        let Hypothesis { words: ids, score, alpha, finished, .. } = hypothesis;
        let source = read.split_last().map_or(&[][..], |(_, sentence)| sentence);
        let (source, words) = (Words::of(&self.tokenizer, source)?.and(END), Words::of(&self.tokenizer, &ids)?);
        let alpha = if alpha.is_empty() { Vec::new() } else { alignment::of_words(&alpha, &words, &source) };
        let text = self.tokenizer.decode(&ids)?.trim().to_owned();
        Ok(Translation { text, score, words: words.words, source: source.words, alpha, finished })
    }

    /// How the model's own folder says that translations are searched for.
    pub fn generation(&self) -> &GenerationConfig {
        &self.generation
    }

    /// What it is made of.
    pub fn config(&self) -> &TranslatorConfig {
        &self.config
    }

    /// What cuts both languages into tokens.
    pub fn tokenizer(&self) -> &TextTokenizer {
        &self.tokenizer
    }

    /// Where it runs.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// How many numbers it has learned.
    pub fn parameter_count(&self) -> usize {
        self.parameters.count()
    }

    /// Writes the model folder; it must exist.
    ///
    /// # Errors
    /// When a file cannot be written; the message names it.
    pub fn save(&self, folder: &Path) -> Result<()> {
        self.save_settings(folder)?;
        Ok(self.parameters.save(folder.join(MODEL_FILE))?)
    }

    fn save_settings(&self, folder: &Path) -> Result<()> {
        write_json(&folder.join(CONFIG_FILE), &self.config)?;
        self.generation.save(folder.join(GENERATION))?;
        Ok(self.tokenizer.save(&folder.join(TOKENIZER))?)
    }
}

/// The settings of a search whose sentences begin and end so; the start is never written.
fn with_ends(mut generation: GenerationConfig, start: u32, end: u32) -> GenerationConfig {
    (generation.bos_token_id, generation.eos_token_id, generation.pad_token_id) = (Some(start), Some(end), end);
    if !generation.suppress_tokens.contains(&start) {
        generation.suppress_tokens.push(start);
    }
    generation
}

impl ModelFolder for Translator {
    const MODEL_TYPE: &'static str = MODEL_TYPE;

    fn from_folder(folder: &Path, device: &Device) -> Result<Self> {
        let config: TranslatorConfig = read_config(folder, MODEL_TYPE)?;
        let tokenizer = TextTokenizer::open(&folder.join(TOKENIZER))?;
        let generation = GenerationConfig::load(folder.join(GENERATION))?;
        let model = Self::assemble(config, tokenizer, generation, read_weights(folder)?, device)?;
        model.parameters.verify()?;
        Ok(model)
    }

    fn export(folder: &Path, into: &Path, how: &Export) -> Result<About> {
        let model = Self::from_folder(folder, &Device::Cpu)?;
        model.save_settings(into)?;
        write_weights(into, model.parameters.tensors(), how.dtype)?;
        let TranslatorConfig { source, target, vocab_size, network, .. } = &model.config;
        let NetworkConfig { encoder, decoder } = network;
        let (cell, way) = match decoder {
            DecoderConfig::Attention(config) => (&config.cell, "attends to what it read"),
            DecoderConfig::Vector(config) => (&config.cell, "sees what was read as one vector"),
        };
        let count = model.parameter_count();
        Ok(About {
            kind: "A translator",
            made_of: format!(
                "It reads {source} with {} and writes {target} with {cell}, which {way}; {vocab_size} tokens, {count} parameters in all.",
                encoder.cell
            ),
            limits: "It translates sentences like those that it learned from, one by one.".into(),
            pipeline_tag: "translation",
            tags: vec!["translation".into(), source.clone(), target.clone()],
            commands: vec!["candlewick translate 'Ein Hund läuft am Strand.' --model MODEL --beam 5"],
            code: "let translator = Translator::from_pretrained(\"MODEL\".as_ref(), &Device::Cpu)?;\n\
                   let told = translator.translate(&[\"Ein Hund läuft am Strand.\"], translator.generation())?;",
        })
    }
}
