//! Attention over the annotations of sources, such as the positions of a picture or the words of a sentence.
//!
//! ```text
//! α = softmax_p(score(a_p, h) / τ),  context = Σ_p α_p a_p
//! score(a, h) = v · tanh(W_a a + W_h h + b)    additive (Bahdanau et al. 2015)
//!             = hᵀ W_a a                       general  (Luong et al. 2015)
//!             = hᵀ a                           dot      (Luong et al. 2015)
//! ```
//!
//! Over pictures Xu et al. 2015, "Show, attend and tell".

mod additive;
mod multiplicative;

pub use additive::AdditiveAttention;
pub use multiplicative::MultiplicativeAttention;

use candle_core::{DType, Result, Tensor};
use candlewick_kernels::additive_attention::{self, Counts};
use candlewick_parameters::VarBuilder;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How an annotation a is compared with a state h.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Score {
    /// v · tanh(W_a a + W_h h + b) (Bahdanau et al. 2015).
    #[default]
    Additive,
    /// hᵀ W_a a (Luong et al. 2015).
    General,
    /// hᵀ a, of annotations as large as the state (Luong et al. 2015).
    Dot,
}

/// Annotations with their keys, for any number of rows: rows that attend to the same source share them.
#[derive(Clone, Debug)]
pub struct AttentionMemory {
    /// a (M, P, C).
    values: Tensor,
    /// What of each annotation is compared, (M, P, A), computed once for a source.
    keys: Tensor,
    /// The source of each row, (N) of u32; nothing where row n attends to source n.
    sources: Option<Tensor>,
    /// How many of its P annotations each source has; all where nothing is said.
    counts: Option<Counts>,
}

impl AttentionMemory {
    /// The annotations (M, P, C) of M sources with their keys (M, P, A), a source a row.
    fn new(values: &Tensor, keys: Tensor) -> Self {
        Self { values: values.clone(), keys, sources: None, counts: None }
    }

    /// Row m is what row `rows[m]` is; nothing is copied where the kernels can do without (f32 on the CPU).
    ///
    /// # Errors
    /// When there is no such row.
    pub fn select(&self, rows: &Tensor) -> Result<Self> {
        if !(self.values.device().is_cpu() && self.values.dtype() == DType::F32) {
            let (values, keys) = (self.values.index_select(rows, 0)?, self.keys.index_select(rows, 0)?);
            let counts = self.counts.as_ref().map(|counts| counts.select(rows)).transpose()?;
            return Ok(Self { values, keys, sources: None, counts });
        }
        let sources = match &self.sources {
            None => rows.clone(),
            Some(sources) => sources.index_select(rows, 0)?,
        };
        Ok(Self { sources: Some(sources), ..self.clone() })
    }

    /// How many annotations each source has: those after them are padding, and α is 0 there.
    pub fn with_counts(self, counts: Option<Counts>) -> Self {
        Self { counts, ..self }
    }

    /// Of a tensor with a row for each source, the source of each row.
    fn spread(&self, of_sources: &Tensor) -> Result<Tensor> {
        match &self.sources {
            None => Ok(of_sources.clone()),
            Some(sources) => of_sources.index_select(sources, 0),
        }
    }

    /// The same keys with other annotations, of the same shape, to take the mean of.
    ///
    /// # Errors
    /// When the shape is another.
    pub fn with_values(self, values: Tensor) -> Result<Self> {
        if values.dims() != self.values.dims() {
            let (found, wanted) = (values.dims(), self.values.dims());
            candle_core::bail!("attention: the annotations are {found:?}, those of the keys {wanted:?}")
        }
        Ok(Self { values, ..self })
    }

    /// The annotations (N, P, C), keys (N, P, A) and counts (N) of each row.
    ///
    /// # Errors
    /// When a row has no source.
    pub fn per_row(&self) -> Result<(Tensor, Tensor, Option<Counts>)> {
        Ok((self.spread(&self.values)?, self.spread(&self.keys)?, self.counts()?))
    }

    /// How many annotations each row's source has, where not all P.
    ///
    /// # Errors
    /// When a row has no source.
    pub fn counts(&self) -> Result<Option<Counts>> {
        match (&self.counts, &self.sources) {
            (Some(counts), Some(sources)) => Ok(Some(counts.select(sources)?)),
            (counts, _) => Ok(counts.clone()),
        }
    }

    /// P, how many positions there are to attend to.
    ///
    /// # Errors
    /// When the annotations have no positions.
    pub fn num_positions(&self) -> Result<usize> {
        self.values.dim(1)
    }

    /// The annotation (N, C) at one position of each row.
    ///
    /// # Errors
    /// When there is no such position.
    pub fn gather_position(&self, positions: &Tensor) -> Result<Tensor> {
        additive_attention::gather_position(&self.values, positions, self.sources.as_ref())
    }
}

/// What attention gives.
#[derive(Clone, Debug)]
pub struct Attended {
    /// The mean of the annotations under α (N, C).
    pub context: Tensor,
    /// The weight of each position (N, P), summing to 1.
    pub alpha: Tensor,
}

/// Attention by any [`Score`].
#[derive(Clone, Debug)]
pub enum Attention {
    /// By an additive score.
    Additive(AdditiveAttention),
    /// By a product.
    Multiplicative(MultiplicativeAttention),
}

impl Attention {
    /// Attention from states of `hidden_size` H over annotations of `annotation_size` C; only the additive score has the A units of
    /// `attention_size`.
    ///
    /// # Errors
    /// When the builder lacks a parameter, or the score is a dot of different sizes.
    pub fn new(
        score: Score,
        annotation_size: usize,
        hidden_size: usize,
        attention_size: usize,
        vb: VarBuilder,
    ) -> Result<Self> {
        Ok(match score {
            Score::Additive => {
                Self::Additive(AdditiveAttention::new(annotation_size, hidden_size, attention_size, vb)?)
            }
            Score::General => Self::Multiplicative(MultiplicativeAttention::general(annotation_size, hidden_size, vb)?),
            Score::Dot => Self::Multiplicative(MultiplicativeAttention::dot(annotation_size, hidden_size)?),
        })
    }

    /// The same attention with the temperature τ, 1 where nothing is said; below 1 α is keener.
    pub fn with_temperature(self, temperature: f64) -> Self {
        match self {
            Self::Additive(attention) => Self::Additive(attention.with_temperature(temperature)),
            Self::Multiplicative(attention) => Self::Multiplicative(attention.with_temperature(temperature)),
        }
    }

    /// The annotations a (M, P, C) of M sources, with their keys.
    ///
    /// # Errors
    /// When the annotations have another size.
    pub fn memory(&self, values: &Tensor) -> Result<AttentionMemory> {
        match self {
            Self::Additive(attention) => attention.memory(values),
            Self::Multiplicative(attention) => attention.memory(values),
        }
    }

    /// Attends from the states h (N, H) of rows to the annotations of their sources.
    ///
    /// # Errors
    /// When shapes do not fit together.
    pub fn attend(&self, memory: &AttentionMemory, hidden: &Tensor) -> Result<Attended> {
        match self {
            Self::Additive(attention) => attention.attend(memory, hidden),
            Self::Multiplicative(attention) => attention.attend(memory, hidden),
        }
    }
}
