//! What a language model is made of: a recipe's `[model]` and the model folder's `config.json`.

use candlewick_recurrent::Settings;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a token comes into the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InputKind {
    /// As a vector of E values from a table that is learned.
    #[default]
    Embedding,
    /// As V values of which one is 1: times W_ih it picks a column, and so equals an embedding W_ihᵀ.
    OneHot,
}

/// The network of a language model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkConfig {
    /// How a token comes in.
    pub input: InputKind,
    /// E, the size of a token's vector.
    pub embedding_size: usize,
    /// The cell, as [`candlewick_recurrent::sequence_layers`] lists them.
    pub cell: String,
    /// H, the size of the hidden state.
    pub hidden_size: usize,
    /// Whether the output layer's matrix is the table of the tokens' vectors (Press and Wolf 2017), which wants E to be the outputs' size.
    pub tied: bool,
    /// The probability of dropout before the output layer; of the same units at all steps where `stack.variational` is set.
    pub dropout: f64,
    /// The probability with which a token is left out of a batch wherever it stands (Gal and Ghahramani 2016).
    pub word_dropout: f64,
    /// What else can be chosen about the cells: layers, regularisation, initial values.
    pub stack: Settings,
}

impl Default for NetworkConfig {
    fn default() -> Self {
        Self {
            input: InputKind::Embedding,
            embedding_size: 64,
            cell: "lstm".into(),
            hidden_size: 512,
            tied: false,
            dropout: 0.0,
            word_dropout: 0.0,
            stack: Settings::default(),
        }
    }
}

/// The content of a language model's `config.json`; keys that it does not know are passed over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LanguageModelConfig {
    /// Always `language-model`, so that a folder of another model is told apart.
    pub model_type: String,
    /// The network.
    pub network: NetworkConfig,
    /// V, the number of tokens.
    pub vocab_size: usize,
}
