//! The table of embeddings.

use candle_core::{Module, Result, Tensor};
use candlewick_kernels::embedding::embedding;
use candlewick_parameters::{Initial, Mode, ParameterBuilder, VarBuilder};

/// One vector of E values for each of V words: `weight` (V, E) as torch.nn.Embedding has it.
#[derive(Clone, Debug)]
pub struct Embedding {
    weight: Tensor,
}

impl Embedding {
    /// A table whose fresh values are standard normal, PyTorch's default.
    ///
    /// # Errors
    /// When the builder has no `weight`, or one of another shape.
    pub fn new(vocab_size: usize, embedding_size: usize, vb: VarBuilder) -> Result<Self> {
        Self::with_initial(vocab_size, embedding_size, Initial::Normal(1.0), vb)
    }

    /// A table whose fresh values are drawn as told, such as `Initial::Uniform(0.1)`.
    ///
    /// # Errors
    /// When the builder has no `weight`, or one of another shape.
    pub fn with_initial(vocab_size: usize, embedding_size: usize, initial: Initial, vb: VarBuilder) -> Result<Self> {
        Ok(Self { weight: vb.parameter((vocab_size, embedding_size), "weight", initial)? })
    }

    /// The vectors (.., E) of ids (..) with whole words dropped: E_w ⊙ m_w / (1 − p) with one m_w ~ Bernoulli(1 − p) for each of the V
    /// words, drawn once a call, so that a word is there or missing at all steps and in all rows; in evaluation [`Module::forward`].
    ///
    /// Gal and Ghahramani 2016, "A theoretically grounded application of dropout in recurrent neural networks"; with one mask for
    /// all rows Merity et al. 2018, "Regularizing and optimizing LSTM language models" (AWD-LSTM).
    ///
    /// # Errors
    /// When p lies outside [0, 1], or an id is V or more.
    pub fn word_dropout(&self, ids: &Tensor, p: f64, mode: &mut Mode) -> Result<Tensor> {
        let vectors = self.forward(ids)?;
        if p == 0.0 || !mode.is_training() {
            return mode.dropout(&vectors, p);
        }
        let words = mode.dropout(&Tensor::ones((self.weight.dim(0)?, 1), vectors.dtype(), vectors.device())?, p)?;
        vectors.broadcast_mul(&Self { weight: words }.forward(ids)?)
    }

    /// The table (V, E).
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }
}

impl Module for Embedding {
    /// Ids (..) of type u32 or i64 to vectors (.., E); an id of V or more is an error, or gives NaN on CUDA.
    fn forward(&self, ids: &Tensor) -> Result<Tensor> {
        embedding(&self.weight, ids)
    }
}
