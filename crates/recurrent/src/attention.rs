//! Additive attention over the annotations of sources, such as the positions of a picture or the words of a sentence.
//!
//! Bahdanau et al. 2015, "Neural machine translation by jointly learning to align and translate"; over pictures Xu et al.
//! 2015, "Show, attend and tell".

use crate::linear::Linear;
use candle_core::{DType, Module, Result, Tensor};
use candlewick_kernels::additive_attention::{self, Counts};
use candlewick_parameters::{Initial, ParameterBuilder, VarBuilder};

/// e_p = v · tanh(W_a a_p + W_h h + b), α = softmax(e / τ), context = Σ_p α_p a_p.
///
/// The layers `encoder_att` (W_a), `decoder_att` (W_h) and `full_att` (v) each have a bias. That of `full_att` is added to
/// every e and cannot change α, so its gradient is 0: it is kept for checkpoints and not optimised.
#[derive(Clone, Debug)]
pub struct AdditiveAttention {
    encoder_att: Linear,
    decoder_att: Linear,
    v: Tensor,
    temperature: f64,
}

/// Annotations with their keys, for any number of rows: rows that attend to the same source share them.
#[derive(Clone, Debug)]
pub struct AttentionMemory {
    /// a (M, P, C).
    values: Tensor,
    /// W_a a + b_a (M, P, A), computed once for a source.
    keys: Tensor,
    /// The source of each row, (N) of u32; nothing where row n attends to source n.
    sources: Option<Tensor>,
    /// How many of its P annotations each source has; all where nothing is said.
    counts: Option<Counts>,
}

impl AttentionMemory {
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

impl AdditiveAttention {
    /// Attention from states of `hidden_size` H over annotations of `annotation_size` C, through `attention_size` A units.
    ///
    /// # Errors
    /// When the builder lacks a parameter, or has one of another shape.
    pub fn new(annotation_size: usize, hidden_size: usize, attention_size: usize, vb: VarBuilder) -> Result<Self> {
        let encoder_att = Linear::new(annotation_size, attention_size, vb.pp("encoder_att"))?;
        let decoder_att = Linear::new(hidden_size, attention_size, vb.pp("decoder_att"))?;
        let full_att = vb.pp("full_att");
        let weight = full_att.parameter((1, attention_size), "weight", Initial::fan_in(attention_size))?;
        full_att.buffer(1, "bias", Initial::fan_in(attention_size))?;
        Ok(Self { encoder_att, decoder_att, v: weight.squeeze(0)?, temperature: 1.0 })
    }

    /// The annotations a (M, P, C) of M sources, with their keys W_a a + b_a (M, P, A).
    ///
    /// # Errors
    /// When the annotations have another size.
    pub fn memory(&self, values: &Tensor) -> Result<AttentionMemory> {
        let keys = self.encoder_att.forward(values)?;
        Ok(AttentionMemory { keys, values: values.clone(), sources: None, counts: None })
    }

    /// The layer that turns the state into the query W_h h + b, (A, H) and (A).
    pub fn query(&self) -> &Linear {
        &self.decoder_att
    }

    /// The same attention with the temperature τ, 1 where nothing is said; below 1 α is keener.
    pub fn with_temperature(self, temperature: f64) -> Self {
        Self { temperature, ..self }
    }

    /// v / τ (A).
    ///
    /// # Errors
    /// When v cannot be divided by τ in its type.
    pub fn v(&self) -> Result<Tensor> {
        if self.temperature == 1.0 { Ok(self.v.clone()) } else { &self.v / self.temperature }
    }

    /// Attends from the states h (N, H) of rows to the annotations of their sources.
    ///
    /// # Errors
    /// When shapes do not fit together.
    pub fn attend(&self, memory: &AttentionMemory, hidden: &Tensor) -> Result<Attended> {
        let AttentionMemory { values, keys, sources, counts } = memory;
        let (query, v) = (self.decoder_att.forward(hidden)?, self.v()?);
        let rows = additive_attention::Rows { source: sources.as_ref(), counts: counts.as_ref() };
        let (context, alpha) = additive_attention::additive_rows(keys, &query, &v, values, rows)?;
        Ok(Attended { context, alpha })
    }
}
