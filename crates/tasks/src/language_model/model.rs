//! A recurrent language model.
//!
//! ```text
//! x_t = E y_t                                      one_hot: x_t is 1 at y_t and 0 elsewhere
//! h_t = cell(x_t, h_{t−1})                         any stack of cells, h_0 = 0
//! p(y_{t+1} | y_1 … y_t) = softmax(W_o h_t + b)    tied: W_o = E
//! ```
//!
//! Mikolov et al. 2010, "Recurrent neural network based language model"; Graves 2013, "Generating sequences with recurrent neural
//! networks"; tied: Press and Wolf 2017, "Using the output embedding to improve language models".

use super::config::{InputKind, LanguageModelConfig, NetworkConfig};
use crate::{Error, Result};
use candle_core::{DType, Device, Module as _, Tensor};
use candlewick_data::tokens::TextTokenizer;
use candlewick_generation::{Decoder, GenerationConfig, Step, TeacherForced};
use candlewick_parameters::{Initial, Mode, ParameterBuilder as _, Parameters, SafetensorsFile, VarBuilder};
use candlewick_recurrent::{Embedding, LayerState, Linear, SequenceLayer, sequence_layer, variational_dropout};
use candlewick_training::model_folder::{
    CONFIG_FILE, parse_config, read_config, read_weights, write_json, write_weights,
};
use candlewick_training::{About, Export, MODEL_FILE, ModelFolder};
use std::path::Path;

/// The name of this model in `config.json`.
const MODEL_TYPE: &str = "language-model";
const TOKENIZER: &str = "tokenizer.json";
const GENERATION: &str = "generation_config.json";

/// The most tokens of which each can be a vector of as many values.
const MOST_ONE_HOT: usize = 4096;

/// Scores texts and writes them.
///
/// ```no_run
/// use candle_core::Device;
/// use candlewick_generation::GenerationConfig;
/// use candlewick_tasks::language_model::LanguageModel;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let model = LanguageModel::from_pretrained("runs/shakespeare".as_ref(), &Device::Cpu)?;
/// println!("{:.3} nats a character", model.score("To be, or not to be")?.nats_per_character());
/// for text in model.sample("ROMEO:", &GenerationConfig { max_new_tokens: 300, ..GenerationConfig::sample(0.8, 0, 1.0) })? {
///     print!("{}", text?);
/// }
/// # Ok(())
/// # }
/// ```
pub struct LanguageModel {
    pub(super) config: LanguageModelConfig,
    pub(super) tokenizer: TextTokenizer,
    pub(super) generation: GenerationConfig,
    pub(super) parameters: Parameters,
    input: Input,
    pub(super) layer: Box<dyn SequenceLayer>,
    output: Linear,
    device: Device,
}

enum Input {
    Embedding(Embedding),
    /// The unit matrix (V, V).
    OneHot(Tensor),
}

/// What a language model that is to be trained is made of.
pub struct LanguageModelInit {
    /// The network.
    pub network: NetworkConfig,
    /// What cuts texts into tokens.
    pub tokenizer: TextTokenizer,
    /// How texts are written.
    pub generation: GenerationConfig,
    /// What the initial values are drawn from.
    pub seed: u64,
}

impl LanguageModel {
    /// A model with fresh initial values, to be trained.
    ///
    /// # Errors
    /// When the network cannot be built so; the message names the setting.
    pub fn init(init: LanguageModelInit, device: &Device) -> Result<Self> {
        let LanguageModelInit { network, tokenizer, generation, seed } = init;
        let config = LanguageModelConfig { model_type: MODEL_TYPE.into(), network, vocab_size: tokenizer.vocab_size() };
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
        config: LanguageModelConfig,
        tokenizer: TextTokenizer,
        generation: GenerationConfig,
        parameters: Parameters,
        device: &Device,
    ) -> Result<Self> {
        let LanguageModelConfig { network, vocab_size, .. } = &config;
        if tokenizer.vocab_size() != *vocab_size {
            let found = tokenizer.vocab_size();
            let fault =
                format!("tokenizer.json has {found} tokens, config.json {vocab_size}; take both from one model");
            return Err(Error::Setting(fault));
        }
        let vb = parameters.builder(device);
        let (input, size) = input(network, *vocab_size, &vb)?;
        let layer = sequence_layer(&network.cell, size, network.hidden_size, &network.stack, vb.pp(&network.cell))?;
        check(network, layer.as_ref())?;
        let output = match (&input, network.tied) {
            (Input::Embedding(embedding), true) => {
                let bias = vb.pp("fc").parameter(*vocab_size, "bias", Initial::Constant(0.0))?;
                Linear::from_tensors(embedding.weight().clone(), Some(bias))
            }
            _ => Linear::new(layer.output_size(), *vocab_size, vb.pp("fc"))?,
        };
        Ok(Self { config, tokenizer, generation, parameters, input, layer, output, device: device.clone() })
    }

    /// Reads tokens (N, T) from a state and gives the logits (N, T, V) of the token after each, and the state after the last.
    ///
    /// # Errors
    /// When a token lies outside the vocabulary, or the state is of another network.
    pub fn logits(
        &self,
        tokens: &Tensor,
        state: Option<&[Vec<Tensor>]>,
        mode: &mut Mode,
    ) -> candle_core::Result<(Tensor, LayerState)> {
        let (hidden, state) = self.hidden(&self.inputs(tokens, mode)?, state, mode)?;
        Ok((self.scores(&hidden)?, state))
    }

    /// The network's inputs (N, T, ·) for tokens (N, T).
    pub(super) fn inputs(&self, tokens: &Tensor, mode: &mut Mode) -> candle_core::Result<Tensor> {
        match &self.input {
            Input::Embedding(embedding) => embedding.word_dropout(tokens, self.config.network.word_dropout, mode),
            Input::OneHot(unit) => {
                let (n, t) = tokens.dims2()?;
                unit.index_select(&tokens.flatten_all()?, 0)?.reshape((n, t, self.config.vocab_size))
            }
        }
    }

    /// The inputs (N, 1, ·) of a distribution (N, V) in a token's place: Σ_v p_v x_v.
    pub(super) fn expected_inputs(&self, probabilities: &Tensor) -> candle_core::Result<Tensor> {
        match &self.input {
            Input::Embedding(embedding) => probabilities.matmul(embedding.weight())?.unsqueeze(1),
            Input::OneHot(_) => probabilities.unsqueeze(1),
        }
    }

    pub(super) fn hidden(
        &self,
        inputs: &Tensor,
        state: Option<&[Vec<Tensor>]>,
        mode: &mut Mode,
    ) -> candle_core::Result<(Tensor, LayerState)> {
        let NetworkConfig { dropout, stack, .. } = &self.config.network;
        let (hidden, state) = self.layer.forward(inputs, state, None, mode)?;
        let hidden = match stack.is_set("variational") {
            true => variational_dropout(&hidden, *dropout, mode)?,
            false => mode.dropout(&hidden, *dropout)?,
        };
        Ok((hidden, state))
    }

    /// Logits (N, V) of the token after inputs (N, 1, ·).
    pub(super) fn next(
        &self,
        inputs: &Tensor,
        state: &LayerState,
        mode: &mut Mode,
    ) -> candle_core::Result<(Tensor, LayerState)> {
        let (hidden, state) = self.hidden(inputs, Some(state), mode)?;
        Ok((self.scores(&hidden.squeeze(1)?)?, state))
    }

    /// W_o h + b.
    pub(super) fn scores(&self, hidden: &Tensor) -> candle_core::Result<Tensor> {
        self.output.forward(hidden)
    }

    /// The state of zeros for N rows.
    pub(super) fn zero_state(&self, n: usize) -> candle_core::Result<LayerState> {
        let zeros = |&size: &usize| Tensor::zeros((n, size), DType::F32, &self.device);
        let cell = |sizes: &Vec<usize>| sizes.iter().map(zeros).collect();
        self.layer.state_sizes().iter().map(cell).collect()
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

    /// What it is made of.
    pub fn config(&self) -> &LanguageModelConfig {
        &self.config
    }

    /// What cuts texts into tokens.
    pub fn tokenizer(&self) -> &TextTokenizer {
        &self.tokenizer
    }

    /// How the model's own folder says that texts are written.
    pub fn generation(&self) -> &GenerationConfig {
        &self.generation
    }

    /// Its parameters by name.
    pub(crate) fn weights(&self) -> Vec<(String, Tensor)> {
        self.parameters.tensors()
    }

    /// How many numbers it has learned.
    pub fn parameter_count(&self) -> usize {
        self.parameters.count()
    }
}

/// What tokens come in by, and the size of what comes in.
fn input(network: &NetworkConfig, vocab_size: usize, vb: &VarBuilder) -> Result<(Input, usize)> {
    match network.input {
        InputKind::OneHot if vocab_size > MOST_ONE_HOT => Err(Error::Setting(format!(
            "model.input is one_hot, and there are {vocab_size} tokens; above {MOST_ONE_HOT} take embedding"
        ))),
        InputKind::OneHot => Ok((Input::OneHot(Tensor::eye(vocab_size, DType::F32, vb.device())?), vocab_size)),
        InputKind::Embedding => {
            let size = network.embedding_size;
            let initial = Initial::Uniform(if network.tied { 0.05 } else { 0.1 });
            Ok((Input::Embedding(Embedding::with_initial(vocab_size, size, initial, vb.pp("embedding"))?), size))
        }
    }
}

/// Refuses what no language model can be.
fn check(network: &NetworkConfig, layer: &dyn SequenceLayer) -> Result<()> {
    let NetworkConfig { cell, embedding_size, .. } = network;
    let fault = if network.stack.is_set("bidirectional") {
        "model.stack.bidirectional: a text is written forwards; leave it out".to_owned()
    } else if layer.state_sizes().is_empty() {
        format!("model.cell: {cell} carries no state from token to token; take a recurrent cell")
    } else if network.tied && network.input == InputKind::OneHot {
        "model.tied: there is no table of vectors to tie with one_hot; leave one of the two out".to_owned()
    } else if network.tied && *embedding_size != layer.output_size() {
        let outputs = layer.output_size();
        format!("model.tied: embedding_size is {embedding_size}, and the outputs have {outputs}; make them equal")
    } else {
        return Ok(());
    };
    Err(Error::Setting(fault))
}

/// N texts that have nothing but their own beginnings to go on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rows(pub usize);

impl Decoder for LanguageModel {
    type Memory = Rows;
    type State = LayerState;

    fn vocab_size(&self) -> usize {
        self.config.vocab_size
    }

    fn device(&self) -> &Device {
        &self.device
    }

    fn start(&self, memory: &Rows, _: &mut Mode) -> candle_core::Result<LayerState> {
        self.zero_state(memory.0)
    }

    fn step(
        &self,
        words: &Tensor,
        state: &LayerState,
        _: &Rows,
        mode: &mut Mode,
    ) -> candle_core::Result<Step<LayerState>> {
        let (logits, state) = self.next(&self.inputs(&words.unsqueeze(1)?, mode)?, state, mode)?;
        Ok(Step { logits, alpha: None, state })
    }

    fn select_memory(&self, _: &Rows, rows: &Tensor) -> candle_core::Result<Rows> {
        Ok(Rows(rows.dim(0)?))
    }

    /// All steps are one node of the graph and all logits one product; the state of a shorter row is that after its own last token.
    fn read_on(
        &self,
        words: &Tensor,
        lengths: &[usize],
        state: &LayerState,
        _: &Rows,
        mode: &mut Mode,
    ) -> candle_core::Result<(TeacherForced, LayerState)> {
        let inputs = self.inputs(words, mode)?;
        let full = lengths.iter().all(|&length| length == words.dims()[1]);
        let (hidden, state) = match full {
            true => self.hidden(&inputs, Some(state), mode)?,
            false => self.layer.forward(&inputs, Some(state), Some(lengths), mode)?,
        };
        Ok((TeacherForced { logits: self.scores(&hidden)?, alpha: None, counts: None }, state))
    }
}

impl ModelFolder for LanguageModel {
    const MODEL_TYPE: &'static str = MODEL_TYPE;

    fn from_folder(folder: &Path, device: &Device) -> Result<Self> {
        let config = read_config(folder, MODEL_TYPE)?;
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
        let NetworkConfig { cell, hidden_size, .. } = &model.config.network;
        let (count, tokens) = (model.parameter_count(), model.config.vocab_size);
        Ok(About {
            kind: "A language model",
            made_of: format!("{cell} with {hidden_size} hidden units over {tokens} tokens, {count} parameters in all."),
            limits: "It writes text like that which it learned from, and knows nothing else.".into(),
            pipeline_tag: "text-generation",
            tags: vec!["language-model".into(), cell.clone()],
            commands: vec!["candlewick sample --model MODEL --length 500 --temperature 0.8"],
            code: "let model = LanguageModel::from_pretrained(\"MODEL\".as_ref(), &Device::Cpu)?;\nprintln!(\"{:.3}\", model.score(\"some text\")?.nats_per_character());",
        })
    }
}

/// The content of a model folder's files, for a program that carries a model in itself.
#[derive(Clone, Copy, Debug)]
pub struct EmbeddedFiles<'a> {
    /// `config.json`.
    pub config: &'a str,
    /// `tokenizer.json`.
    pub tokenizer: &'a str,
    /// `generation_config.json`.
    pub generation: &'a str,
    /// `model.safetensors`.
    pub model: &'a [u8],
}

impl LanguageModel {
    /// The model of files that lie in memory.
    ///
    /// # Errors
    /// When they do not fit together.
    pub fn embedded(files: &EmbeddedFiles<'_>, device: &Device) -> Result<Self> {
        let config = parse_config(CONFIG_FILE.as_ref(), files.config, MODEL_TYPE)?;
        let parameters = Parameters::from_file(SafetensorsFile::from_bytes(MODEL_FILE, files.model.to_vec())?);
        parameters.freeze("");
        let generation = GenerationConfig::from_json(files.generation)?;
        let model = Self::assemble(config, TextTokenizer::parse(files.tokenizer)?, generation, parameters, device)?;
        model.parameters.verify()?;
        Ok(model)
    }
}
