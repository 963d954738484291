//! What can be chosen about the decoder that attends.

use super::super::hard_attention::{AttentionKind, HardAttention};
use crate::attention::Score;
use candle_core::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The cell that has kernels for whole sentences.
pub(super) const LSTM: &str = "lstm";

/// What can be chosen about a [attention decoder](super::AttentionDecoder).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AttentionDecoderConfig {
    /// The cell that writes, by a name of [`crate::sequence_layers`]. The LSTM has kernels for whole sentences; every other goes
    /// a word at a time.
    pub cell: String,
    /// E, the size of a word's vector.
    pub embedding_size: usize,
    /// H, the size of the hidden state.
    pub hidden_size: usize,
    /// A, the size of the space in which annotations and hidden state are compared.
    pub attention_size: usize,
    /// Whether the context is a mean of all annotations or one of them: `"soft"`, `"hard"`, or a table of [`HardAttention`] with
    /// `kind = "hard"`.
    pub attention: AttentionKind,
    /// How annotations are compared with the state: `"additive"`, `"general"` or `"dot"`. The first has kernels for whole sentences.
    pub score: Score,
    /// Whether a gate f_β weighs the context.
    pub gate: bool,
    /// Whether the words are told from h, ẑ and the last word together; without it from h alone.
    pub deep_output: bool,
    /// Whether what told the last word, s, is read beside it (Luong et al. 2015); it needs `deep_output`, and goes a word at a time.
    pub input_feeding: bool,
    /// Whether the output layer's weights are the words' vectors (Press and Wolf 2017); it needs `deep_output`.
    pub tied: bool,
    /// The probability of dropout on the words' vectors and before the output layer.
    pub dropout: f64,
}

impl Default for AttentionDecoderConfig {
    fn default() -> Self {
        Self {
            cell: LSTM.into(),
            embedding_size: 512,
            hidden_size: 512,
            attention_size: 512,
            attention: AttentionKind::Soft,
            score: Score::Additive,
            gate: true,
            deep_output: true,
            input_feeding: false,
            tied: false,
            dropout: 0.5,
        }
    }
}

impl AttentionDecoderConfig {
    pub(super) fn check(&self) -> Result<()> {
        if !(0.0..=1.0).contains(&self.dropout) {
            candle_core::bail!("decoder: dropout is {}; wanted 0 to 1", self.dropout)
        }
        for (name, set) in [("input_feeding", self.input_feeding), ("tied", self.tied)] {
            if set && !self.deep_output {
                candle_core::bail!("decoder: {name} needs deep_output = true; set it, or leave {name} out")
            }
        }
        self.attention.hard().map_or(Ok(()), HardAttention::check)
    }
}
