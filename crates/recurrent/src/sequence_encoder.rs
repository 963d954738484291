//! Sequences read by any sequence layer: annotations, a vector for each step, and one vector of the whole.
//!
//! ```text
//! x_t = E w_t                          of texts; other sequences bring their x
//! a_1 … a_T = layer(x_1 … x_T)         forwards or both ways
//! v = pool(a_1 … a_T)
//! ```

use crate::embedding::Embedding;
use crate::layer::SequenceLayer;
use crate::pooling::{Pool, Pooled, Pooling};
use crate::registry::{Settings, sequence_layer};
use candle_core::{Result, Tensor};
use candlewick_parameters::{Initial, Mode, VarBuilder};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What reads sequences.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SequenceEncoderConfig {
    /// E, the size of a word's vector; of texts only.
    pub embedding_size: usize,
    /// The probability with which a word is left out of a batch wherever it stands (Gal and Ghahramani 2016); of texts only.
    pub word_dropout: f64,
    /// The layer, as [`crate::sequence_layers`] lists them.
    pub cell: String,
    /// H, the size of the hidden state.
    pub hidden_size: usize,
    /// How the steps become one vector; several stand side by side.
    pub pooling: Vec<Pooling>,
    /// The probability of dropout on the vector.
    pub dropout: f64,
    /// What else can be chosen about the layer: how many, both ways, regularisation, initial values.
    pub stack: Settings,
}

impl Default for SequenceEncoderConfig {
    fn default() -> Self {
        Self {
            embedding_size: 128,
            word_dropout: 0.0,
            cell: "lstm".into(),
            hidden_size: 128,
            pooling: vec![Pooling::Last],
            dropout: 0.0,
            stack: Settings::default(),
        }
    }
}

/// What is read of sequences.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// (N, T, C), 0 where a row has no step.
    pub annotations: Tensor,
    /// (N, K·C) of K poolings.
    pub vector: Tensor,
    /// The weights (N, T) by which attention pools, where it does.
    pub alpha: Option<Tensor>,
}

/// Reads sequences of vectors (N, T, D).
pub struct SequenceEncoder {
    layer: Box<dyn SequenceLayer>,
    pool: Pool,
    dropout: f64,
    sees_ahead: bool,
}

impl SequenceEncoder {
    /// An encoder of vectors of `input_size` D.
    ///
    /// The parameters are those of the layer under the cell's name, and attention's `pool.query`.
    ///
    /// # Errors
    /// When the layer or the pooling cannot be built so, a probability lies outside [0, 1], or the builder lacks a parameter.
    pub fn new(input_size: usize, config: &SequenceEncoderConfig, vb: VarBuilder) -> Result<Self> {
        let SequenceEncoderConfig { cell, hidden_size, pooling, dropout, stack, .. } = config;
        check("dropout", *dropout)?;
        let layer = sequence_layer(cell, input_size, *hidden_size, stack, vb.pp(cell))?;
        // What carries no state sees both sides at once.
        let (both_ways, stateless) = (stack.is_set("bidirectional"), layer.state_sizes().is_empty());
        let directions = if both_ways && !stateless { 2 } else { 1 };
        let pool = Pool::new(layer.output_size(), pooling, directions, vb.pp("pool"))?;
        Ok(Self { layer, pool, dropout: *dropout, sees_ahead: both_ways || stateless })
    }

    /// Whether an annotation depends on the steps behind its own: of what reads both ways, and of what carries no state from step to step.
    pub fn sees_ahead(&self) -> bool {
        self.sees_ahead
    }

    /// C, the size of an annotation.
    pub fn annotation_size(&self) -> usize {
        self.layer.output_size()
    }

    /// The size of the vector.
    pub fn vector_size(&self) -> usize {
        self.pool.output_size()
    }

    /// Reads xs (N, T, D), of row n the first `lengths[n]` steps; a row without steps gives zeros.
    ///
    /// # Errors
    /// When shapes do not fit together, or a length exceeds T.
    pub fn encode(&self, xs: &Tensor, lengths: &[usize], mode: &mut Mode) -> Result<Encoded> {
        let (n, t, _) = xs.dims3()?;
        let lengths = (lengths.len() != n || lengths.iter().any(|&length| length != t)).then_some(lengths);
        let (annotations, _) = self.layer.forward(xs, None, lengths, mode)?;
        let Pooled { vector, alpha } = self.pool.forward(&annotations, lengths)?;
        Ok(Encoded { vector: mode.dropout(&vector, self.dropout)?, annotations, alpha })
    }
}

/// Reads texts: an [`Embedding`] before a [`SequenceEncoder`].
pub struct TextEncoder {
    embedding: Embedding,
    word_dropout: f64,
    encoder: SequenceEncoder,
}

impl TextEncoder {
    /// An encoder of texts in a vocabulary of V words.
    ///
    /// Its parameters are `embedding.weight` (V, E), fresh in ±0.1, and those of [`SequenceEncoder::new`].
    ///
    /// # Errors
    /// As [`SequenceEncoder::new`].
    pub fn new(vocab_size: usize, config: &SequenceEncoderConfig, vb: VarBuilder) -> Result<Self> {
        let &SequenceEncoderConfig { embedding_size, word_dropout, .. } = config;
        check("word_dropout", word_dropout)?;
        let table = vb.pp("embedding");
        let embedding = Embedding::with_initial(vocab_size, embedding_size, Initial::Uniform(0.1), table)?;
        Ok(Self { embedding, word_dropout, encoder: SequenceEncoder::new(embedding_size, config, vb)? })
    }

    /// Reads ids (N, T) of words, of row n the first `lengths[n]`; what stands behind them must be ids, too.
    ///
    /// # Errors
    /// As [`SequenceEncoder::encode`], and when an id is V or more.
    pub fn encode(&self, ids: &Tensor, lengths: &[usize], mode: &mut Mode) -> Result<Encoded> {
        let xs = self.embedding.word_dropout(ids, self.word_dropout, mode)?;
        self.encoder.encode(&xs, lengths, mode)
    }

    /// What reads the words' vectors.
    pub fn encoder(&self) -> &SequenceEncoder {
        &self.encoder
    }

    /// The words' vectors.
    pub fn embedding(&self) -> &Embedding {
        &self.embedding
    }
}

fn check(name: &str, p: f64) -> Result<()> {
    match (0.0..=1.0).contains(&p) {
        true => Ok(()),
        false => candle_core::bail!("{name} is {p}, wants a probability in [0, 1]"),
    }
}
