//! A captioner as one folder that wants no other file.

use crate::Result;
use crate::config::CaptionerConfig;
use crate::folder::{ModelFiles, TextFiles};
use candle_core::{DType, Device};
use candlewick_training::{About, write_weights};
use serde_json::Value;
use std::path::Path;

impl ModelFiles {
    /// Writes the model, the weights of a frozen encoder among its own, in this type; the folder exists.
    ///
    /// # Errors
    /// When a weight is out of the type's range, or a file cannot be written; the message names it.
    pub(crate) fn export(self, into: &Path, dtype: DType) -> Result<About> {
        let Self { mut config, preprocessing, tokenizer, generation, model, encoder } = self;
        let names = model.names();
        let mut tensors =
            names.map(|name| Ok((name.to_owned(), model.tensor(name, &Device::Cpu)?))).collect::<Result<Vec<_>>>()?;
        if let Some(file) = encoder {
            tensors.extend(config.encoder.own_weights(file)?);
            config.encoder.weights = None;
        }
        write_weights(into, tensors, dtype)?;
        TextFiles { config: &config, preprocessing: &preprocessing, generation: &generation }
            .write(&tokenizer, into)?;
        Ok(about(&config))
    }
}

/// What its card says of a captioner.
fn about(config: &CaptionerConfig) -> About {
    let decoder = serde_json::to_value(&config.decoder).unwrap_or_default();
    let kind = decoder.get("kind").and_then(Value::as_str).unwrap_or("decoder").to_owned();
    let units = decoder.get("hidden_size").and_then(Value::as_u64);
    let units = units.map_or(String::new(), |units| format!(" of {units} units"));
    let (network, words) = (&config.encoder.network, config.vocab_size);
    let sees = match config.encoder.regions {
        Some(features) => format!("regions of {features} features, which an object detector saw"),
        None => format!("annotations of {} features by {network}", config.annotation_size),
    };
    let commands = match config.encoder.regions {
        Some(_) => "candlewick caption photo.jpg --model MODEL --regions FILE",
        None => "candlewick caption photo.jpg --model MODEL",
    };
    About {
        kind: "An image captioner",
        made_of: format!("A decoder ({kind}){units} over {sees}, with {words} words, trained with Candlewick."),
        limits: "It tells what is on a picture in the words of the captions that it learned from, and knows no other things. What it says may \
                 be wrong, and its probabilities are no measure of that on pictures unlike those that it learned from."
            .into(),
        pipeline_tag: "image-to-text",
        tags: vec!["image-captioning".into(), kind.replace('_', "-"), network.clone(), "candle".into()],
        commands: vec![commands],
        code: "let captioner = Captioner::from_pretrained(\"MODEL\", &Device::Cpu)?;\n\
               let caption = captioner.caption(&photo, captioner.generation())?;",
    }
}
