//! Additive attention over annotations.
//!
//! Bahdanau et al. 2015, "Neural machine translation by jointly learning to align and translate"; for pictures Xu et al.
//! 2015, "Show, attend and tell".

use crate::linear::Linear;
use candle_core::{DType, Module, Result, Tensor};
use candlewick_kernels::additive_attention;
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

/// The annotations of pictures as [`AdditiveAttention`] looks at them: rows of sentences share those of the picture that they are of.
#[derive(Clone, Debug)]
pub struct Annotations {
    /// a (M, P, C).
    values: Tensor,
    /// W_a a + b_a (M, P, A), computed once for a picture.
    keys: Tensor,
    /// The picture of each row; nothing where row n is of picture n.
    pictures: Option<Vec<u32>>,
    /// How many of its P annotations each picture has; all where nothing is said.
    counts: Option<Vec<u32>>,
}

impl Annotations {
    /// Row m is what row `rows[m]` is; nothing is copied where the kernels can do without (f32 on the CPU).
    ///
    /// # Errors
    /// When there is no such row.
    pub fn select(&self, rows: &Tensor) -> Result<Self> {
        if !(self.values.device().is_cpu() && self.values.dtype() == DType::F32) {
            let (values, keys) = (self.values.index_select(rows, 0)?, self.keys.index_select(rows, 0)?);
            let counts = self.counts.as_ref().map(|counts| chosen(counts, &rows.to_vec1()?)).transpose()?;
            return Ok(Self { values, keys, pictures: None, counts });
        }
        let rows = rows.to_vec1::<u32>()?;
        let pictures = match &self.pictures {
            None => rows,
            Some(pictures) => chosen(pictures, &rows)?,
        };
        Ok(Self { pictures: Some(pictures), ..self.clone() })
    }

    /// How many annotations each picture has, from 1 to P: those after them only fill its row, and are not looked at.
    pub fn with_counts(self, counts: Option<Vec<u32>>) -> Self {
        Self { counts, ..self }
    }

    /// Of a tensor with a row for each picture, the row of the picture that each sentence is of.
    fn spread(&self, of_pictures: Tensor) -> Result<Tensor> {
        match &self.pictures {
            None => Ok(of_pictures),
            Some(pictures) => of_pictures.index_select(&Tensor::new(pictures.as_slice(), of_pictures.device())?, 0),
        }
    }

    /// The same keys with other annotations, of the same shape, to be seen.
    ///
    /// # Errors
    /// When the shape is another.
    pub fn with_values(self, values: Tensor) -> Result<Self> {
        if values.dims() != self.values.dims() {
            let (found, wanted) = (values.dims(), self.values.dims());
            candle_core::bail!("annotations: the ones to be seen are {found:?}, those of the keys {wanted:?}")
        }
        Ok(Self { values, ..self })
    }

    /// The annotations (N, P, C), keys (N, P, A) and counts (N) with a row for each sentence.
    ///
    /// # Errors
    /// When the device has no memory for them.
    pub fn apart(&self) -> Result<(Tensor, Tensor, Option<Vec<u32>>)> {
        Ok((self.spread(self.values.clone())?, self.spread(self.keys.clone())?, self.counts()?))
    }

    /// How many annotations each sentence's picture has, where not all P.
    ///
    /// # Errors
    /// When a sentence is of no picture.
    pub fn counts(&self) -> Result<Option<Vec<u32>>> {
        match (&self.counts, &self.pictures) {
            (Some(counts), Some(pictures)) => Ok(Some(chosen(counts, pictures)?)),
            (counts, _) => Ok(counts.clone()),
        }
    }

    /// The annotation (N, C) at one position of each row.
    ///
    /// # Errors
    /// When there is no such position.
    pub fn at(&self, positions: &Tensor) -> Result<Tensor> {
        additive_attention::gather_position(&self.values, positions, self.pictures.as_deref())
    }
}

/// The numbers in these rows.
fn chosen(numbers: &[u32], rows: &[u32]) -> Result<Vec<u32>> {
    let missing = || candle_core::Error::Msg(format!("annotations: no such row among {}", numbers.len()));
    rows.iter().map(|&row| numbers.get(row as usize).copied()).collect::<Option<_>>().ok_or_else(missing)
}

/// What a look at the annotations gave.
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

    /// The annotations a (N, P, C) of pictures, and their projections W_a a + b_a (N, P, A), once for a picture.
    ///
    /// # Errors
    /// When the annotations have another size.
    pub fn annotations(&self, values: &Tensor) -> Result<Annotations> {
        let keys = self.encoder_att.forward(values)?;
        Ok(Annotations { keys, values: values.clone(), pictures: None, counts: None })
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
    /// When the device has no memory for it.
    pub fn v(&self) -> Result<Tensor> {
        if self.temperature == 1.0 { Ok(self.v.clone()) } else { &self.v / self.temperature }
    }

    /// Attends from the states `hidden` (N, H) of rows to the annotations of their pictures.
    ///
    /// # Errors
    /// When shapes do not fit together.
    pub fn attend(&self, annotations: &Annotations, hidden: &Tensor) -> Result<Attended> {
        let Annotations { values, keys, pictures, counts } = annotations;
        let (query, v) = (self.decoder_att.forward(hidden)?, self.v()?);
        let rows = additive_attention::Rows { source: pictures.as_deref(), counts: counts.as_deref() };
        let (context, alpha) = additive_attention::additive_rows(keys, &query, &v, values, rows)?;
        Ok(Attended { context, alpha })
    }
}
