//! What a translator is made of: a recipe's `[model]` and the model folder's `config.json`.

use candlewick_parameters::VarBuilder;
use candlewick_recurrent::decoders::{
    AnyDecoder, AttentionDecoder, AttentionDecoderConfig, VectorDecoder, VectorDecoderConfig,
};
use candlewick_recurrent::{Pooling, SequenceEncoderConfig, Settings};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What writes the translation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum DecoderConfig {
    /// It attends to the words of the source at each word (Bahdanau et al. 2015).
    Attention(AttentionDecoderConfig),
    /// It sees the source as one vector (Cho et al. 2014; Sutskever et al. 2014).
    Vector(VectorDecoderConfig),
}

impl DecoderConfig {
    /// The decoder over annotations and vectors of `annotation_size` (C) that knows `vocab_size` (V) words.
    ///
    /// # Errors
    /// When the builder has no such parameters, or a setting makes no sense.
    pub(super) fn build(
        &self,
        annotation_size: usize,
        vocab_size: usize,
        vb: VarBuilder,
    ) -> candle_core::Result<AnyDecoder> {
        let (c, v) = (annotation_size, vocab_size);
        Ok(match self {
            Self::Attention(config) => AnyDecoder::new(AttentionDecoder::new(c, v, config, vb)?),
            Self::Vector(config) => AnyDecoder::new(VectorDecoder::new(c, v, config, vb)?),
        })
    }

    /// E, H and A, where it has one, by their keys in a recipe.
    pub(super) fn sizes(&self) -> [(&'static str, usize); 3] {
        let (embedding, hidden, attention) = match self {
            Self::Attention(config) => (config.embedding_size, config.hidden_size, config.attention_size),
            Self::Vector(config) => (config.embedding_size, config.hidden_size, 1),
        };
        [
            ("model.decoder.embedding_size", embedding),
            ("model.decoder.hidden_size", hidden),
            ("model.decoder.attention_size", attention),
        ]
    }
}

/// The network of a translator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkConfig {
    /// What reads the source; of its poolings one, which gives the vector that the decoder starts from.
    pub encoder: SequenceEncoderConfig,
    /// What writes the translation.
    pub decoder: DecoderConfig,
}

impl Default for NetworkConfig {
    /// A both-way LSTM of 256 + 256, attended to by one of 512.
    fn default() -> Self {
        let encoder = SequenceEncoderConfig {
            embedding_size: 256,
            hidden_size: 256,
            pooling: vec![Pooling::Last],
            stack: Settings::default().with("bidirectional", true),
            ..SequenceEncoderConfig::default()
        };
        let decoder = AttentionDecoderConfig { embedding_size: 256, dropout: 0.0, ..AttentionDecoderConfig::default() };
        Self { encoder, decoder: DecoderConfig::Attention(decoder) }
    }
}

/// The content of a translator's `config.json`; keys that it does not know are passed over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TranslatorConfig {
    /// Always `translator`, so that a folder of another model is told apart.
    pub model_type: String,
    /// The language that is read, as the data's files end: `de`.
    pub source: String,
    /// The language that is written.
    pub target: String,
    /// V, the number of tokens of both languages, with start and end.
    pub vocab_size: usize,
    /// The network.
    pub network: NetworkConfig,
}
