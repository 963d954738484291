//! What a captioner is made of: the model folder's `config.json`.

use crate::decoder::DecoderConfig;
use crate::{Error, Result};
use candlewick_encoders::NetworkConfig;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The content of a captioner's `config.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaptionerConfig {
    /// Always `captioner`, so that a folder of another model is told apart.
    pub model_type: String,
    /// The encoder.
    pub encoder: EncoderConfig,
    /// The decoder.
    pub decoder: DecoderConfig,
    /// C, the size of an annotation.
    pub annotation_size: usize,
    /// V, the number of words.
    pub vocab_size: usize,
}

/// The name of this crate's model in `config.json`.
pub(crate) const MODEL_TYPE: &str = "captioner";

/// What it was called when there was only one decoder.
const FORMER_MODEL_TYPE: &str = "show-attend-tell";

/// Which network makes the annotations, and where its weights come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EncoderConfig {
    /// The network's name, as `candlewick_encoders::networks` lists it.
    pub network: String,
    /// The layer whose map is read; the last one by default.
    pub layer: Option<String>,
    /// Whether each annotation ends with its position, x and y from −1 to 1 (Liu et al. 2018, "CoordConv").
    pub coordinates: bool,
    /// What can be chosen about the network.
    #[serde(skip_serializing_if = "is_default")]
    pub config: NetworkConfig,
    /// The pretrained weights of a frozen encoder, which are not in the model's own file.
    pub weights: Option<WeightsFile>,
    /// C, where annotations are regions from a file, of C features each, and no network sees the pictures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regions: Option<usize>,
}

fn is_default(config: &NetworkConfig) -> bool {
    *config == NetworkConfig::default()
}

impl Default for EncoderConfig {
    fn default() -> Self {
        Self {
            network: "resnet50".into(),
            layer: None,
            coordinates: false,
            config: NetworkConfig::default(),
            weights: None,
            regions: None,
        }
    }
}

/// A file of weights by name and content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightsFile {
    /// Where it lay in training; looked for beside the model too.
    pub file: PathBuf,
    /// Its SHA-256 in hexadecimal.
    pub sha256: String,
}

impl CaptionerConfig {
    /// Reads the text of a `config.json`; `name` is what messages call it.
    ///
    /// # Errors
    /// One line that names the file and the fault.
    pub fn from_json(name: &str, text: &str) -> Result<Self> {
        let fault = |fault: String| Error::Config(format!("{name}: {fault}"));
        let no_config = |error: serde_json::Error| fault(format!("not the config.json of a captioner: {error}"));
        let whole: serde_json::Value = serde_json::from_str(text).map_err(no_config)?;
        match whole.get("model_type").and_then(serde_json::Value::as_str) {
            Some(MODEL_TYPE | FORMER_MODEL_TYPE) => {}
            Some("image-classifier") => return Err(fault("is a classifier's; candlewick classify uses it".into())),
            found => {
                let found = found.unwrap_or("missing");
                return Err(fault(format!("model_type is {found}; a captioner's is {MODEL_TYPE}")));
            }
        }
        let mut config: Self = serde_json::from_str(text).map_err(no_config)?;
        config.model_type = MODEL_TYPE.into();
        Ok(config)
    }
}
