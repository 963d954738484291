//! The top-down attention of Anderson et al. 2018: one LSTM looks, another tells.
//!
//! With the annotations a_p (regions of the picture, or positions of a map), their mean ā and the words y,
//!
//! ```text
//! h¹_t, c¹_t = LSTM¹([h²_{t−1}; ā; E y_{t−1}], h¹_{t−1}, c¹_{t−1})               (looks)
//! α_t = softmax_p(v · tanh(W_a a_p + U_a h¹_t)),  z_t = Σ_p α_tp a_p
//! h²_t, c²_t = LSTM²([z_t; h¹_t], h²_{t−1}, c²_{t−1})                            (tells)
//! logits_t = W_o h²_t
//! ```
//!
//! Any other cell can stand in for both LSTMs.

use candle_core::{Device, Result, Tensor};
use candle_nn::Module;
use candlewick_generation::{Decoder, SelectRows, Step, TeacherForced};
use candlewick_parameters::{Initial, Mode, VarBuilder};
use candlewick_recurrent::decoders::{Source, SourceDecoder};
use candlewick_recurrent::{AdditiveAttention, AttentionMemory, Cell, Embedding, Linear, Settings, recurrent_cell};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What can be chosen about a [`TopDown`] decoder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TopDownConfig {
    /// The cell that looks and the cell that tells, by a name of [`candlewick_recurrent::sequence_layers`].
    pub cell: String,
    /// E, the size of a word's vector.
    pub embedding_size: usize,
    /// H, the size of both hidden states.
    pub hidden_size: usize,
    /// A, the size of the space in which annotations and hidden state are compared.
    pub attention_size: usize,
    /// The probability of dropout on the words' vectors and before the output layer.
    pub dropout: f64,
}

impl Default for TopDownConfig {
    fn default() -> Self {
        Self { cell: "lstm".into(), embedding_size: 512, hidden_size: 512, attention_size: 512, dropout: 0.5 }
    }
}

/// The two-layer decoder of top-down attention.
///
/// ```text
/// h¹_t, c¹_t = LSTM¹([h²_{t−1}; ā; E y_{t−1}], h¹_{t−1}, c¹_{t−1})               (looks)
/// α_t = softmax_p(v · tanh(W_a a_p + U_a h¹_t)),  z_t = Σ_p α_tp a_p
/// h²_t, c²_t = LSTM²([z_t; h¹_t], h²_{t−1}, c²_{t−1})                            (tells)
/// logits_t = W_o h²_t
/// ```
///
/// a_p (N, P, C) are regions or positions, ā is their mean, logits are (N, T, V).
/// Anderson et al. 2018, "Bottom-up and top-down attention for image captioning and visual question answering".
#[derive(Clone, Debug)]
pub struct TopDown {
    config: TopDownConfig,
    vocab_size: usize,
    embedding: Embedding,
    looking: Box<dyn Cell>,
    attention: AdditiveAttention,
    telling: Box<dyn Cell>,
    fc: Linear,
    device: Device,
}

/// What [`TopDown`] looks at: annotations (N, P, C) with their keys, and their mean (N, C).
#[derive(Clone, Debug)]
pub struct TopDownMemory {
    annotations: AttentionMemory,
    /// Their mean for each row, (N, C).
    mean: Tensor,
}

/// The states of both cells, a sentence a row; h comes first.
#[derive(Clone, Debug)]
pub struct TopDownState {
    /// Of the one that looks.
    pub looking: Vec<Tensor>,
    /// Of the one that tells.
    pub telling: Vec<Tensor>,
}

impl SelectRows for TopDownState {
    fn select(&self, rows: &Tensor) -> Result<Self> {
        Ok(Self { looking: self.looking.select(rows)?, telling: self.telling.select(rows)? })
    }
}

impl TopDown {
    /// A decoder over annotations of `annotation_size` (C) that knows `vocab_size` (V) words.
    ///
    /// # Errors
    /// When the builder has no such parameters.
    pub fn new(annotation_size: usize, vocab_size: usize, config: &TopDownConfig, vb: VarBuilder) -> Result<Self> {
        let &TopDownConfig { embedding_size, hidden_size, attention_size, .. } = config;
        let cell =
            |input_size, name| recurrent_cell(&config.cell, input_size, hidden_size, &Settings::default(), vb.pp(name));
        Ok(Self {
            config: config.clone(),
            vocab_size,
            embedding: Embedding::with_initial(vocab_size, embedding_size, Initial::Uniform(0.1), vb.pp("embedding"))?,
            looking: cell(hidden_size.saturating_add(annotation_size).saturating_add(embedding_size), "att_lstm")?,
            attention: AdditiveAttention::new(annotation_size, hidden_size, attention_size, vb.pp("attention"))?,
            telling: cell(annotation_size.saturating_add(hidden_size), "lang_lstm")?,
            fc: Linear::new(hidden_size, vocab_size, vb.pp("fc"))?,
            device: vb.device().clone(),
        })
    }

    /// The words' vectors, dropped out in training: (…) of u32 → (…, E).
    fn embed(&self, words: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        mode.dropout(&self.embedding.forward(words)?, self.config.dropout)
    }

    /// One step of both cells from the words' vectors (N, E): the new state and α (N, P).
    fn advance(
        &self,
        embedded: &Tensor,
        state: &TopDownState,
        memory: &TopDownMemory,
    ) -> Result<(TopDownState, Tensor)> {
        let seen = Tensor::cat(&[&state.telling[0], &memory.mean, embedded], 1)?;
        let looking = self.looking.fused_step(&seen, &state.looking)?;
        let attended = self.attention.attend(&memory.annotations, &looking[0])?;
        let told = Tensor::cat(&[&attended.context, &looking[0]], 1)?;
        let telling = self.telling.fused_step(&told, &state.telling)?;
        Ok((TopDownState { looking, telling }, attended.alpha))
    }

    fn output(&self, hidden: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        self.fc.forward(&mode.dropout(hidden, self.config.dropout)?)
    }
}

impl Decoder for TopDown {
    type Memory = TopDownMemory;
    type State = TopDownState;

    fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    fn device(&self) -> &Device {
        &self.device
    }

    fn start(&self, memory: &TopDownMemory, _: &mut Mode) -> Result<TopDownState> {
        let (n, dtype) = (memory.mean.dim(0)?, memory.mean.dtype());
        let zero = |cell: &dyn Cell| cell.zero_state(n, dtype, &self.device);
        Ok(TopDownState { looking: zero(self.looking.as_ref())?, telling: zero(self.telling.as_ref())? })
    }

    fn step(
        &self,
        words: &Tensor,
        state: &TopDownState,
        memory: &TopDownMemory,
        mode: &mut Mode,
    ) -> Result<Step<TopDownState>> {
        let (state, alpha) = self.advance(&self.embed(words, mode)?, state, memory)?;
        Ok(Step { logits: self.output(&state.telling[0], mode)?, alpha: Some(alpha), state })
    }

    fn select_memory(&self, memory: &TopDownMemory, rows: &Tensor) -> Result<TopDownMemory> {
        Ok(TopDownMemory { annotations: memory.annotations.select(rows)?, mean: memory.mean.index_select(rows, 0)? })
    }

    /// The words are known in advance, so that their vectors are looked up at once and all logits are one product.
    fn teacher_forced(
        &self,
        words: &Tensor,
        _: &[usize],
        memory: &TopDownMemory,
        mode: &mut Mode,
    ) -> Result<TeacherForced> {
        let embedded = self.embed(words, mode)?;
        let mut state = self.start(memory, mode)?;
        let (mut hidden, mut alphas) = (Vec::new(), Vec::new());
        for t in 0..words.dim(1)? {
            let (next, alpha) = self.advance(&embedded.narrow(1, t, 1)?.squeeze(1)?, &state, memory)?;
            hidden.push(next.telling[0].clone());
            alphas.push(alpha);
            state = next;
        }
        let logits = self.output(&Tensor::stack(&hidden, 1)?, mode)?;
        Ok(TeacherForced { logits, alpha: Some(Tensor::stack(&alphas, 1)?), counts: memory.annotations.counts()? })
    }
}

impl SourceDecoder for TopDown {
    fn memory(&self, source: &Source) -> Result<TopDownMemory> {
        let annotations = self.attention.memory(source.annotations())?.with_counts(source.counts().cloned());
        Ok(TopDownMemory { annotations, mean: source.vector().clone() })
    }
}
