//! A classifier of sequences: many to one, or as many.
//!
//! ```text
//! a_1 … a_T, v = encoder(x_1 … x_T)    any sequence layer; v is pooled over its steps
//! p(class | x) = softmax(W v + b)      one; number: s = W v + b
//! p(class_t | x) = softmax(W a_t + b)  each; next: p(class_{t+1} | x_1 … x_t)
//! ```

use super::batch::{Sequences, View};
use super::classified::Classified;
use super::config::{InputKind, OutputKind, SequenceClassifierConfig};
use super::frame_encoder::{FrameEncoder, FrameEncoderConfig};
use super::inputs::{DataConfig, Input, SequencePreprocessing};
use crate::{Error, Result};
use candle_core::{D, Device, Module as _, Tensor};
use candle_nn::ops::softmax;
use candlewick_data::tokens::TextTokenizer;
use candlewick_parameters::{Mode, Parameters};
use candlewick_recurrent::{Encoded, Linear, SequenceEncoder, SequenceEncoderConfig, TextEncoder};
use candlewick_training::ModelFolder as _;
use std::collections::BTreeMap;
use std::path::Path;

/// The name of this model in `config.json`.
pub(super) const MODEL_TYPE: &str = "sequence-classifier";
pub(super) const TOKENIZER: &str = "tokenizer.json";

/// Under which it has what reads frames.
const FRAMES: &str = "frames.";

/// Tells of which class a whole sequence is.
///
/// ```no_run
/// use candle_core::Device;
/// use candlewick_tasks::sequence_classification::{Input, SequenceClassifier};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let classifier = SequenceClassifier::from_pretrained("runs/sst2".as_ref(), &Device::Cpu)?;
/// let told = &classifier.classify(&[Input::Words("a fine film".into())])?[0];
/// println!("{} {:.3}", told.labels[0], told.probabilities[0]);
/// # Ok(())
/// # }
/// ```
pub struct SequenceClassifier {
    pub(super) config: SequenceClassifierConfig,
    pub(super) tokenizer: Option<TextTokenizer>,
    pub(super) preprocessing: SequencePreprocessing,
    pub(super) parameters: Parameters,
    reader: Reader,
    output: Linear,
    /// Whether what reads frames stays what it is, so that each frame is read once.
    frozen: bool,
    device: Device,
}

enum Reader {
    Words(TextEncoder),
    Values(SequenceEncoder),
    Frames { frames: FrameEncoder, encoder: SequenceEncoder },
}

impl Reader {
    fn encoder(&self) -> &SequenceEncoder {
        match self {
            Self::Words(encoder) => encoder.encoder(),
            Self::Values(encoder) | Self::Frames { encoder, .. } => encoder,
        }
    }
}

/// What a model folder holds.
pub(super) struct Files {
    pub config: SequenceClassifierConfig,
    pub tokenizer: Option<TextTokenizer>,
    pub preprocessing: SequencePreprocessing,
    pub parameters: Parameters,
}

/// What a classifier that is to be trained is made of.
pub struct SequenceClassifierInit {
    /// The network.
    pub network: SequenceEncoderConfig,
    /// What the sequences are of.
    pub input: InputKind,
    /// What cuts texts into tokens; nothing where sequences are of something else.
    pub tokenizer: Option<TextTokenizer>,
    /// What reads each frame, where sequences are of frames.
    pub encoder: Option<FrameEncoderConfig>,
    /// D, how many numbers a step has; of texts and frames it is not looked at.
    pub width: usize,
    /// What is done to files of numbers or frames; of texts it is not looked at.
    pub preprocessing: SequencePreprocessing,
    /// What is told.
    pub output: OutputKind,
    /// After how many steps it is scored whether the class is told already.
    pub early: Vec<usize>,
    /// What labels are called in place of what data call them.
    pub label_names: BTreeMap<String, String>,
    /// The classes' names, two at least; none where a number is told.
    pub classes: Vec<String>,
    /// What the initial values are drawn from.
    pub seed: u64,
}

impl SequenceClassifier {
    /// A classifier with fresh initial values, to be trained.
    ///
    /// # Errors
    /// When there are fewer than two classes, or the network cannot be built so; the message names the setting.
    pub fn init(init: SequenceClassifierInit, device: &Device) -> Result<Self> {
        let SequenceClassifierInit { network, input, tokenizer, encoder, width, preprocessing, output, .. } = init;
        let SequenceClassifierInit { early, label_names, classes, seed, .. } = init;
        let parameters = Parameters::new(seed);
        let settled = encoder.clone().map(FrameEncoderConfig::settled).transpose()?;
        let input_size = match (&tokenizer, &settled) {
            (Some(tokenizer), _) => tokenizer.vocab_size(),
            // The network that reads frames is built to find out how many numbers it gives.
            (None, Some(encoder)) => FrameEncoder::new(encoder, Parameters::new(seed).builder(device))?
                .vector_size(preprocessing.frames.size(), device)?,
            (None, None) => width,
        };
        encoder.as_ref().map_or(Ok(()), |encoder| encoder.freeze(&parameters, FRAMES))?;
        let id2label = classes.into_iter().enumerate().collect();
        let model_type = MODEL_TYPE.into();
        let config = SequenceClassifierConfig {
            model_type,
            input,
            output,
            input_size,
            early,
            encoder: settled,
            network,
            label_names,
            id2label,
        };
        let classifier = Self::assemble(Files { config, tokenizer, preprocessing, parameters }, device)?;
        match encoder {
            None => Ok(classifier),
            Some(encoder) => {
                encoder.load(&classifier.parameters, FRAMES)?;
                Ok(Self { frozen: encoder.is_frozen(), ..classifier })
            }
        }
    }

    /// Opens a model folder, or the best checkpoint of a run's folder.
    ///
    /// # Errors
    /// One line that names the file and the fault.
    pub fn from_pretrained(folder: &Path, device: &Device) -> Result<Self> {
        Self::open_folder(folder, device)
    }

    pub(super) fn assemble(files: Files, device: &Device) -> Result<Self> {
        let Files { config, tokenizer, preprocessing, parameters } = files;
        let SequenceClassifierConfig { input_size, output, network, id2label, .. } = &config;
        let numbers = *output == OutputKind::Number;
        if numbers && !id2label.is_empty() {
            let fault = format!("{} classes, where a number is to be told; leave them out", id2label.len());
            return Err(Error::Setting(fault));
        }
        if !numbers && id2label.len() < 2 || !id2label.keys().copied().eq(0..id2label.len()) {
            let fault = format!("{} classes to tell; wanted two at least, numbered from 0", id2label.len());
            return Err(Error::Setting(fault));
        }
        if let Some(found) = tokenizer.as_ref().map(TextTokenizer::vocab_size).filter(|found| found != input_size) {
            let fault =
                format!("tokenizer.json has {found} tokens, config.json {input_size}; take both from one model");
            return Err(Error::Setting(fault));
        }
        if config.input == InputKind::Values {
            preprocessing.check(*input_size)?;
        }
        let vb = parameters.builder(device);
        let reader = match (&tokenizer, &config.encoder) {
            (Some(_), _) => Reader::Words(TextEncoder::new(*input_size, network, vb.pp("encoder"))?),
            (None, Some(frames)) => Reader::Frames {
                frames: FrameEncoder::new(frames, vb.pp("frames"))?,
                encoder: SequenceEncoder::new(*input_size, network, vb.pp("encoder"))?,
            },
            (None, None) => Reader::Values(SequenceEncoder::new(*input_size, network, vb.pp("encoder"))?),
        };
        let encoder = reader.encoder();
        if encoder.sees_ahead() && (output.of_the_next() || !config.early.is_empty()) {
            let cell = &network.cell;
            let fault = match network.stack.is_set("bidirectional") {
                true => "model.stack.bidirectional: what reads both ways has seen what comes; leave it out".to_owned(),
                false => format!("model.cell: {cell} has seen what comes; take a recurrent cell"),
            };
            return Err(Error::Setting(fault));
        }
        let size = if output.of_steps() { encoder.annotation_size() } else { encoder.vector_size() };
        let told = if numbers { 1 } else { id2label.len() };
        let output = Linear::new(size, told, vb.pp("fc"))?;
        Ok(Self { config, tokenizer, preprocessing, parameters, reader, output, frozen: false, device: device.clone() })
    }

    /// Logits (N, K) of K classes, or (N, T, K) where something is told of each step, for inputs (N, T), (N, T, D) or (ΣT, 3, h, w), and what was
    /// read of them; of a number K is 1.
    pub(super) fn logits(
        &self,
        inputs: &Tensor,
        lengths: &[usize],
        mode: &mut Mode,
    ) -> candle_core::Result<(Tensor, Encoded)> {
        let encoded = match &self.reader {
            Reader::Words(encoder) => encoder.encode(inputs, lengths, mode)?,
            Reader::Values(encoder) => encoder.encode(inputs, lengths, mode)?,
            // Frames that were read before.
            Reader::Frames { encoder, .. } if inputs.rank() == 3 => encoder.encode(inputs, lengths, mode)?,
            Reader::Frames { frames, encoder } => {
                encoder.encode(&frames.encode(inputs, lengths, mode)?, lengths, mode)?
            }
        };
        let logits = match self.config.output.of_steps() {
            true => self.output.forward(&mode.dropout(&encoded.annotations, self.config.network.dropout)?)?,
            false => self.output.forward(&encoded.vector)?,
        };
        Ok((logits, encoded))
    }

    /// Of which class each sequence is; sequences of like length are read together.
    ///
    /// # Errors
    /// When a sequence has no steps, or as the network's kind of input says.
    pub fn classify(&self, inputs: &[Input]) -> Result<Vec<Classified>> {
        let sequences = self.sequences(inputs)?;
        let lengths = sequences.lengths();
        if let Some(empty) = lengths.iter().position(|&length| length == 0) {
            let what = match inputs.get(empty) {
                Some(Input::Words(text)) => format!("{text:?}: has no words; give some"),
                _ => format!("sequence {}: has no steps; give some", empty + 1),
            };
            return Err(Error::Setting(what));
        }
        let mut told: Vec<Option<Classified>> = vec![None; lengths.len()];
        for places in in_order_of_length(&lengths).chunks(self.batch()) {
            let Answers { rows, alpha } = self.answers(&sequences, places)?;
            for (at, (&place, row)) in places.iter().zip(rows).enumerate() {
                let alpha = alpha.as_ref().and_then(|alpha| alpha.get(at)?.get(..lengths[place]));
                told[place] = Some(Classified::of(&self.config, &row, alpha));
            }
        }
        Ok(told.into_iter().flatten().collect())
    }

    /// What reads frames, where it stays what it is.
    pub(super) fn frozen_frames(&self) -> Option<&FrameEncoder> {
        match &self.reader {
            Reader::Frames { frames, .. } if self.frozen => Some(frames),
            _ => None,
        }
    }

    /// Sequences that are classified at a time; of clips there are few, for they are large.
    pub(super) fn batch(&self) -> usize {
        if self.config.input == InputKind::Frames { 4 } else { 64 }
    }

    /// The answers for the sequences at these places.
    pub(super) fn answers(&self, sequences: &Sequences, places: &[usize]) -> Result<Answers> {
        let lengths: Vec<usize> = places.iter().map(|&place| sequences.length(place)).collect();
        let views: Vec<View> =
            places.iter().zip(&lengths).map(|(&place, &length)| View::whole(place, length)).collect();
        let inputs = sequences.padded(&views, &self.device)?;
        let (logits, encoded) = self.logits(&inputs, &lengths, &mut Mode::Eval)?;
        let told = match self.config.output {
            OutputKind::Number | OutputKind::Several => logits,
            _ => softmax(&logits, D::Minus1)?,
        };
        let mut rows = told.flatten_from(1)?.to_vec2::<f32>()?;
        if self.config.output.of_steps() {
            let classes = self.config.id2label.len();
            rows.iter_mut().zip(&lengths).for_each(|(row, &length)| row.truncate(length * classes));
        }
        if rows.iter().flatten().any(|told| !told.is_finite()) {
            let fault = "the network's logits hold NaN or an infinity; its weights are broken";
            return Err(Error::NotNumbers(fault.into()));
        }
        // Where each step is told of, nothing was pooled.
        let alpha = encoded.alpha.filter(|_| !self.config.output.of_steps());
        Ok(Answers { alpha: alpha.map(|alpha| alpha.to_vec2::<f32>()).transpose()?, rows })
    }

    /// What it is made of.
    pub fn config(&self) -> &SequenceClassifierConfig {
        &self.config
    }

    /// How data are read that it is to be scored on: as those were that it learned from, which cannot be said of encoding and shares.
    pub fn data_config(&self) -> DataConfig {
        DataConfig {
            input: self.config.input,
            values: self.preprocessing.values.clone(),
            frames: self.preprocessing.frames.clone(),
            output: self.config.output,
            label_names: self.config.label_names.clone(),
            ..DataConfig::default()
        }
    }

    /// What is done to files of numbers before it reads them.
    pub fn preprocessing(&self) -> &SequencePreprocessing {
        &self.preprocessing
    }

    /// What cuts texts into tokens, where it reads texts.
    pub fn tokenizer(&self) -> Option<&TextTokenizer> {
        self.tokenizer.as_ref()
    }

    /// Where it runs.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// How many numbers it has learned.
    pub fn parameter_count(&self) -> usize {
        self.parameters.count()
    }
}

/// What the network says of a batch.
pub(super) struct Answers {
    /// softmax(logits), K numbers a row, or a step of the steps that it has; of a number that number, of several things their logits.
    pub rows: Vec<Vec<f32>>,
    /// Attention's weights (N, T), where there are some.
    alpha: Option<Vec<Vec<f32>>>,
}

/// The places of sequences, the shortest first.
pub(super) fn in_order_of_length(lengths: &[usize]) -> Vec<usize> {
    let mut places: Vec<usize> = (0..lengths.len()).collect();
    places.sort_by_key(|&place| lengths.get(place).copied());
    places
}
