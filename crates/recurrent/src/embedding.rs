//! The table of embeddings.

use candle_core::{Module, Result, Tensor};
use candlewick_parameters::{Initial, ParameterBuilder, VarBuilder};

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

    /// The table (V, E).
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }
}

impl Module for Embedding {
    /// Ids (..) of type u32 to vectors (.., E); an id of V or more is an error.
    fn forward(&self, ids: &Tensor) -> Result<Tensor> {
        let shape = [ids.dims(), &[self.weight.dim(1)?]].concat();
        // candle's kernel for CUDA reads the ids as if they lay one after another, which a column of words does not.
        self.weight.index_select(&ids.flatten_all()?.contiguous()?, 0)?.reshape(shape)
    }
}
