//! A classifier of sequences as a model folder.

use super::classifier::{Files, MODEL_TYPE, SequenceClassifier, TOKENIZER};
use super::config::{InputKind, OutputKind, SequenceClassifierConfig};
use super::inputs::ValuesConfig;
use crate::Result;
use candle_core::Device;
use candlewick_data::tokens::TextTokenizer;
use candlewick_training::model_folder::{
    CONFIG_FILE, PREPROCESSOR_FILE, read_config, read_json, read_weights, write_json, write_weights,
};
use candlewick_training::{About, Export, MODEL_FILE, ModelFolder};
use std::path::Path;

impl SequenceClassifier {
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
        match &self.tokenizer {
            Some(tokenizer) => Ok(tokenizer.save(&folder.join(TOKENIZER))?),
            None => write_json(&folder.join(PREPROCESSOR_FILE), &self.preprocessing),
        }
    }
}

impl ModelFolder for SequenceClassifier {
    const MODEL_TYPE: &'static str = MODEL_TYPE;

    fn from_folder(folder: &Path, device: &Device) -> Result<Self> {
        let config: SequenceClassifierConfig = read_config(folder, MODEL_TYPE)?;
        let (tokenizer, preprocessing) = match config.input {
            InputKind::Words => (Some(TextTokenizer::open(&folder.join(TOKENIZER))?), Default::default()),
            InputKind::Values | InputKind::Frames => (None, read_json(&folder.join(PREPROCESSOR_FILE))?),
        };
        let files = Files { config, tokenizer, preprocessing, parameters: read_weights(folder)? };
        let model = Self::assemble(files, device)?;
        model.parameters.verify()?;
        Ok(model)
    }

    fn export(folder: &Path, into: &Path, how: &Export) -> Result<About> {
        let model = Self::from_folder(folder, &Device::Cpu)?;
        model.save_settings(into)?;
        write_weights(into, model.parameters.tensors(), how.dtype)?;
        let SequenceClassifierConfig { input, output, input_size, network, id2label, .. } = &model.config;
        let (cell, hidden, count) = (&network.cell, network.hidden_size, model.parameter_count());
        let of = match input {
            InputKind::Words => format!("texts over {input_size} tokens"),
            InputKind::Values => format!("sequences of {input_size} numbers a step"),
            InputKind::Frames => {
                let (height, width) = model.preprocessing.frames.size();
                format!("clips of {width}×{height} pixels, {input_size} numbers a frame")
            }
        };
        let labels = id2label.values().map(String::as_str).collect::<Vec<_>>().join(", ");
        let (told, limits) = match output {
            OutputKind::One => (format!("the class of the whole: {labels}."), CLASSES),
            OutputKind::Each => (format!("the class of each step: {labels}."), CLASSES),
            OutputKind::Next => (format!("at each step the class of the next: {labels}."), CLASSES),
            OutputKind::Several => ("at each step which notes sound at the next.".into(), NUMBERS),
            OutputKind::Number => ("a number for the whole.".into(), NUMBERS),
        };
        let Use { pipeline_tag, command, code } = model.how();
        let reads = format!("{cell} with {hidden} hidden units that reads {of}, {count} parameters in all");
        Ok(About {
            kind: "A classifier of sequences",
            made_of: format!("{reads}. It tells {told}"),
            limits: limits.into(),
            pipeline_tag,
            tags: vec!["sequence-classification".into(), cell.clone()],
            commands: vec![command],
            code,
        })
    }
}

/// What it does with sequences of another kind.
const CLASSES: &str = "It takes every sequence for one of its classes.";
const NUMBERS: &str = "It tells something of every sequence, also of those that are like none of which it learned.";

/// How a model is used, for its card.
struct Use {
    pipeline_tag: &'static str,
    command: &'static str,
    code: &'static str,
}

impl SequenceClassifier {
    fn how(&self) -> Use {
        if self.config.input == InputKind::Words {
            return Use {
                pipeline_tag: "text-classification",
                command: "candlewick classify --model MODEL --text 'a fine film'",
                code: "let classifier = SequenceClassifier::from_pretrained(\"MODEL\".as_ref(), &Device::Cpu)?;\n\
                       let told = classifier.classify(&[Input::Words(\"a fine film\".into())])?;",
            };
        }
        let (pipeline_tag, command) = match (self.config.input, &self.preprocessing.values) {
            (InputKind::Frames, _) => {
                ("video-classification", "candlewick classify clip.gif --model MODEL --plot strips")
            }
            (_, ValuesConfig::Sound(_)) => ("audio-classification", "candlewick classify sound.wav --model MODEL"),
            (_, ValuesConfig::Rows | ValuesConfig::Pixels) => {
                ("image-classification", "candlewick classify picture.png --model MODEL")
            }
            (_, ValuesConfig::Notes) => ("other", "candlewick classify piece.json --model MODEL --plot rolls"),
            (_, ValuesConfig::Tables | ValuesConfig::Adding(_)) => {
                ("other", "candlewick classify numbers.csv --model MODEL")
            }
        };
        Use {
            pipeline_tag,
            command,
            code: "let classifier = SequenceClassifier::from_pretrained(\"MODEL\".as_ref(), &Device::Cpu)?;\n\
                   let read = classifier.read(\"FILE\".as_ref())?;\n\
                   let told = classifier.classify(&read.into_iter().map(|one| one.input).collect::<Vec<_>>())?;",
        }
    }
}
