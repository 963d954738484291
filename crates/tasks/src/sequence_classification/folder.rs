//! A classifier of sequences as a model folder.

use super::classifier::{Files, MODEL_TYPE, SequenceClassifier, TOKENIZER};
use super::config::{InputKind, OutputKind, SequenceClassifierConfig};
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
        let told = match output {
            OutputKind::One => format!("It tells the class of the whole: {labels}."),
            OutputKind::Each => format!("It tells the class of each step: {labels}."),
            OutputKind::Next => format!("It tells at each step the class of the next: {labels}."),
            OutputKind::Several => "It tells at each step which notes sound at the next.".into(),
            OutputKind::Number => "It tells a number for the whole.".into(),
        };
        Ok(About {
            kind: "A classifier of sequences",
            made_of: format!("{cell} with {hidden} hidden units that reads {of}, {count} parameters in all. {told}"),
            limits: "It takes every sequence for one of its classes.".into(),
            pipeline_tag: "text-classification",
            tags: vec!["sequence-classification".into(), cell.clone()],
            commands: vec!["candlewick classify --model MODEL --text 'a fine film'"],
            code: "let classifier = SequenceClassifier::from_pretrained(\"MODEL\".as_ref(), &Device::Cpu)?;\n\
                   let told = classifier.classify(&[Input::Words(\"a fine film\".into())])?;",
        })
    }
}
