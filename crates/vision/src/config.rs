//! Which encoder makes the annotations: a part of a model folder's `config.json`.

use candlewick_encoders::NetworkConfig;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Which network makes the annotations, and where its weights come from; keys that it does not know are passed over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
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
pub struct WeightsFile {
    /// Where it lay in training; looked for beside the model too.
    pub file: PathBuf,
    /// Its SHA-256 in hexadecimal.
    pub sha256: String,
}
