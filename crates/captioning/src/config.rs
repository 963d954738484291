//! What a captioner is made of: the model folder's `config.json`.

use crate::decoders::DecoderConfig;
use candlewick_vision::EncoderConfig;
use serde::{Deserialize, Serialize};

/// The content of a captioner's `config.json`; keys that it does not know are passed over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
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
