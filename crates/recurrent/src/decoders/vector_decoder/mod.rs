//! Decoders that see the source as one vector: a sentence as Sutskever et al. 2014 and Cho et al. 2014 do, a picture as Show and Tell
//! (Vinyals et al. 2015) and the lecture's recurrent captioner.
//!
//! With the source's vector v, the words y and any recurrent cell,
//!
//! ```text
//! h_t = cell([E y_{t−1}; v], h_{t−1})                       each_step: for a plain cell tanh(W_xh E y + W_ih v + W_hh h)
//! h_0 = cell(W_v v, 0),  h_t = cell(E y_{t−1}, h_{t−1})     first_word
//! h_0 = tanh(W_v v),     h_t = cell(E y_{t−1}, h_{t−1})     initial_state
//! logits_t = W_o h_t                                        tied: W_o = Eᵀ W_p, W_p only where E's and h's sizes differ
//! ```

#[cfg(test)]
mod tests;

use super::source::Source;
use super::source_decoder::SourceDecoder;
use crate::embedding::Embedding;
use crate::layer::{LayerState, SequenceLayer};
use crate::linear::Linear;
use crate::registry::{Settings, sequence_layer};
use crate::regularisation::variational::variational_dropout;
use candle_core::{Device, Result, Tensor};
use candle_nn::Module;
use candlewick_generation::{Decoder, Step, TeacherForced};
use candlewick_kernels::activation::tanh;
use candlewick_parameters::{Initial, Mode, ParameterBuilder as _, VarBuilder};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What can be chosen about a [`VectorDecoder`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct VectorDecoderConfig {
    /// The cell, as [`crate::sequence_layers`] lists them: `"rnn"`, `"lstm"`, `"gru"` and others.
    pub cell: String,
    /// Where the vector comes in; of captioners `picture` is the same.
    #[serde(alias = "picture")]
    pub vector: VectorInput,
    /// E, the size of a word's vector.
    pub embedding_size: usize,
    /// H, the size of the hidden state.
    pub hidden_size: usize,
    /// Whether the output layer's weights are the words' vectors (Press and Wolf 2017); where `hidden_size` is not `embedding_size`, a layer
    /// `projection` without bias brings h to their size.
    pub tied: bool,
    /// The probability of dropout on the words' vectors and before the output layer.
    pub dropout: f64,
    /// What else can be chosen about the cells: layers, regularisation, initial values.
    pub stack: Settings,
}

/// Where the source's vector comes into a [`VectorDecoder`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum VectorInput {
    /// As an input at every step, beside the word (Cho et al. 2014): the lecture's h = tanh(W_xh x + W_hh h + W_ih v).
    EachStep,
    /// As the word before the first, as Vinyals et al. found best.
    #[default]
    FirstWord,
    /// As the state before the first word (Sutskever et al. 2014).
    InitialState,
}

impl Default for VectorDecoderConfig {
    fn default() -> Self {
        Self {
            cell: "lstm".into(),
            vector: VectorInput::default(),
            embedding_size: 512,
            hidden_size: 512,
            tied: false,
            dropout: 0.5,
            stack: Settings::default(),
        }
    }
}

/// A decoder that sees the source as one vector v.
///
/// ```text
/// h_t = cell([E y_{t−1}; v], h_{t−1})                       each_step: for a plain cell tanh(W_xh E y + W_ih v + W_hh h)
/// h_0 = cell(W_v v, 0),  h_t = cell(E y_{t−1}, h_{t−1})     first_word
/// h_0 = tanh(W_v v),     h_t = cell(E y_{t−1}, h_{t−1})     initial_state
/// logits_t = W_o h_t                                        (N, T, V); tied: W_o = Eᵀ W_p, W_p only where E's and h's sizes differ
/// ```
///
/// Of a picture v is the mean of the annotations a_p, or a fully connected layer such as fc7; of a sentence what a recurrent network kept of it.
/// The layer W_v of first_word is called `picture`, as captioners' checkpoints have it.
///
/// Sutskever et al. 2014, "Sequence to sequence learning with neural networks"; Cho et al. 2014, "Learning phrase representations using RNN
/// encoder-decoder for statistical machine translation"; Vinyals et al. 2015, "Show and tell: a neural image caption generator"; Karpathy and Fei-Fei 2015, "Deep visual-semantic
/// alignments for generating image descriptions".
pub struct VectorDecoder {
    config: VectorDecoderConfig,
    vocab_size: usize,
    embedding: Embedding,
    layer: Box<dyn SequenceLayer>,
    vector: VectorLayers,
    /// W_p of tied weights.
    projection: Option<Linear>,
    fc: Linear,
    device: Device,
}

/// What makes of v what the cells are given.
enum VectorLayers {
    EachStep,
    FirstWord(Linear),
    /// A layer for each tensor of each cell's state.
    InitialState(Vec<Vec<Linear>>),
}

/// The sources as vectors, a source a row: v (N, C).
#[derive(Clone, Debug)]
pub struct SourceVector(Tensor);

impl VectorDecoder {
    /// A decoder of vectors of `vector_size` (C) that knows `vocab_size` (V) words.
    ///
    /// # Errors
    /// When the builder has no such parameters, or no such cell carries a state from word to word.
    pub fn new(vector_size: usize, vocab_size: usize, config: &VectorDecoderConfig, vb: VarBuilder) -> Result<Self> {
        let &VectorDecoderConfig { embedding_size, hidden_size, vector, .. } = config;
        let input_size =
            if vector == VectorInput::EachStep { embedding_size.saturating_add(vector_size) } else { embedding_size };
        let layer = sequence_layer(&config.cell, input_size, hidden_size, &config.stack, vb.pp(&config.cell))?;
        if config.stack.is_set("bidirectional") {
            candle_core::bail!("decoder: a sentence is written forwards; leave stack.bidirectional out")
        }
        let sizes = layer.state_sizes();
        if sizes.is_empty() {
            candle_core::bail!("decoder: {} carries no state from word to word; take a recurrent cell", config.cell)
        }
        // As large as a word's vector from the beginning, or the first words learn to do without the source.
        let initial = || Initial::Uniform(0.1);
        let linear = |name: String, size| Linear::with_initial(vector_size, size, initial(), vb.pp(name));
        let vector = match vector {
            VectorInput::EachStep => VectorLayers::EachStep,
            VectorInput::FirstWord => VectorLayers::FirstWord(linear("picture".into(), embedding_size)?),
            VectorInput::InitialState => {
                let of_cell = |(cell, sizes): (usize, &Vec<usize>)| {
                    sizes.iter().enumerate().map(|(at, &size)| linear(format!("initial.{cell}.{at}"), size)).collect()
                };
                VectorLayers::InitialState(sizes.iter().enumerate().map(of_cell).collect::<Result<_>>()?)
            }
        };
        let embedding = Embedding::with_initial(vocab_size, embedding_size, Initial::Uniform(0.1), vb.pp("embedding"))?;
        let told = layer.output_size();
        let projection = (config.tied && told != embedding_size)
            .then(|| Linear::without_bias(told, embedding_size, vb.pp("projection")))
            .transpose()?;
        let fc = if config.tied {
            let bias = vb.pp("fc").parameter(vocab_size, "bias", Initial::Constant(0.0))?;
            Linear::from_tensors(embedding.weight().clone(), Some(bias))
        } else {
            Linear::new(told, vocab_size, vb.pp("fc"))?
        };
        Ok(Self {
            config: config.clone(),
            vocab_size,
            embedding,
            projection,
            fc,
            layer,
            vector,
            device: vb.device().clone(),
        })
    }

    /// The cells' inputs (N, T, ·) for words (N, T).
    fn inputs(&self, words: &Tensor, memory: &SourceVector, mode: &mut Mode) -> Result<Tensor> {
        let embedded = self.drop(&self.embedding.forward(words)?, mode)?;
        let VectorLayers::EachStep = self.vector else { return Ok(embedded) };
        let (n, t) = words.dims2()?;
        let c = memory.0.dim(1)?;
        Tensor::cat(&[&embedded, &memory.0.unsqueeze(1)?.broadcast_as((n, t, c))?.contiguous()?], 2)
    }

    fn output(&self, hidden: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        let hidden = self.drop(hidden, mode)?;
        match &self.projection {
            Some(projection) => self.fc.forward(&projection.forward(&hidden)?),
            None => self.fc.forward(&hidden),
        }
    }

    /// Dropout of (…, T, ·), of the same units at all steps where the cells' is.
    fn drop(&self, xs: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        match self.config.stack.is_set("variational") && xs.rank() == 3 {
            true => variational_dropout(xs, self.config.dropout, mode),
            false => mode.dropout(xs, self.config.dropout),
        }
    }
}

impl Decoder for VectorDecoder {
    type Memory = SourceVector;
    type State = LayerState;

    fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    fn device(&self) -> &Device {
        &self.device
    }

    fn start(&self, memory: &SourceVector, mode: &mut Mode) -> Result<LayerState> {
        let v = &memory.0;
        match &self.vector {
            VectorLayers::EachStep => {
                let zeros = |&size: &usize| Tensor::zeros((v.dim(0)?, size), v.dtype(), v.device());
                let of_cell = |sizes: &Vec<usize>| sizes.iter().map(zeros).collect();
                self.layer.state_sizes().iter().map(of_cell).collect()
            }
            VectorLayers::FirstWord(linear) => {
                Ok(self.layer.forward(&linear.forward(v)?.unsqueeze(1)?, None, None, mode)?.1)
            }
            VectorLayers::InitialState(cells) => {
                let of_cell = |cell: &Vec<Linear>| cell.iter().map(|linear| tanh(&linear.forward(v)?)).collect();
                cells.iter().map(of_cell).collect()
            }
        }
    }

    fn step(
        &self,
        words: &Tensor,
        state: &LayerState,
        memory: &SourceVector,
        mode: &mut Mode,
    ) -> Result<Step<LayerState>> {
        let inputs = self.inputs(&words.unsqueeze(1)?, memory, mode)?;
        let (hidden, state) = self.layer.forward(&inputs, Some(state), None, mode)?;
        Ok(Step { logits: self.output(&hidden.squeeze(1)?, mode)?, alpha: None, state })
    }

    fn select_memory(&self, memory: &SourceVector, rows: &Tensor) -> Result<SourceVector> {
        Ok(SourceVector(memory.0.index_select(rows, 0)?))
    }

    /// The words are known in advance, so that all steps are one node of the graph and all logits one product.
    fn teacher_forced(
        &self,
        words: &Tensor,
        lengths: &[usize],
        memory: &SourceVector,
        mode: &mut Mode,
    ) -> Result<TeacherForced> {
        let inputs = self.inputs(words, memory, mode)?;
        let state = self.start(memory, mode)?;
        let (hidden, _) = self.layer.forward(&inputs, Some(&state), Some(lengths), mode)?;
        Ok(TeacherForced { logits: self.output(&hidden, mode)?, alpha: None, counts: None })
    }
}

impl SourceDecoder for VectorDecoder {
    fn memory(&self, source: &Source) -> Result<SourceVector> {
        Ok(SourceVector(source.vector().clone()))
    }
}
