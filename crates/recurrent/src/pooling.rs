//! Pooling over steps: one vector of a row's annotations, of the steps that it has.
//!
//! ```text
//! last        h_T                                  h_T forwards beside h_1 backwards where a layer reads both ways
//! mean        1/T Σ_t h_t
//! max         max_t h_t, value by value            of equal values the first
//! attention   Σ_t α_t h_t, α = softmax_t(q · h_t)  with a learned query q
//! ```
//!
//! Max: Collobert et al. 2011, "Natural language processing (almost) from scratch"; attention: Yang et al. 2016, "Hierarchical attention
//! networks for document classification", there with a layer between h and q.

use candle_core::{D, Result, Tensor};
use candlewick_kernels::softmax::softmax;
use candlewick_parameters::{Initial, ParameterBuilder as _, VarBuilder};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the annotations of a row become one vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Pooling {
    /// The last step's; of a layer that reads both ways the last one of each direction.
    Last,
    /// Their mean.
    Mean,
    /// The largest of each value.
    Max,
    /// Their mean under the weights α that a learned query gives them.
    Attention,
}

/// What pooling gives.
#[derive(Clone, Debug)]
pub struct Pooled {
    /// (N, C), or (N, K·C) of K poolings side by side.
    pub vector: Tensor,
    /// The weights (N, T) of attention, which sum to 1 over the steps that a row has; nothing where there is no attention.
    pub alpha: Option<Tensor>,
}

/// Pools annotations (N, T, C) to (N, C); of row n its `lengths[n]` first steps count, whatever stands behind them. A row without steps
/// gives zeros.
///
/// The query (C) is attention's.
///
/// # Errors
/// When there are more or fewer lengths than rows, a length exceeds T, or attention has no query.
pub fn pool(
    annotations: &Tensor,
    lengths: Option<&[usize]>,
    pooling: Pooling,
    query: Option<&Tensor>,
) -> Result<Pooled> {
    Steps::new(annotations, lengths)?.pool(pooling, query)
}

/// One or several poolings side by side, as a layer: its parameter is attention's `query` (C).
#[derive(Clone, Debug)]
pub struct Pool {
    poolings: Vec<Pooling>,
    query: Option<Tensor>,
    size: usize,
    /// 2 where the second half of each annotation was read backwards.
    directions: usize,
}

impl Pool {
    /// Pools annotations of `size` C, whose halves are those of two `directions` where the layer below reads both ways.
    ///
    /// # Errors
    /// When there is no pooling or one comes twice, C cannot be halved, or the builder has no `query`.
    pub fn new(size: usize, poolings: &[Pooling], directions: usize, vb: VarBuilder) -> Result<Self> {
        if poolings.is_empty() {
            candle_core::bail!("pooling: none is given; give last, mean, max, attention or several of them")
        }
        if let Some(twice) = poolings.iter().enumerate().find(|(at, own)| poolings[..*at].contains(own)) {
            candle_core::bail!("pooling: {:?} comes twice; leave one out", twice.1)
        }
        if !(directions == 1 || directions == 2 && size.is_multiple_of(2)) {
            candle_core::bail!("pooling: {directions} directions do not share annotations of {size} values")
        }
        let attends = poolings.contains(&Pooling::Attention);
        let query = attends.then(|| vb.parameter(size, "query", Initial::fan_in(size))).transpose()?;
        Ok(Self { poolings: poolings.to_vec(), query, size, directions })
    }

    /// The size of the vector.
    pub fn output_size(&self) -> usize {
        self.size * self.poolings.len()
    }

    /// Annotations (N, T, C) to a vector (N, K·C), as [`pool`] does.
    ///
    /// # Errors
    /// As [`pool`].
    pub fn forward(&self, annotations: &Tensor, lengths: Option<&[usize]>) -> Result<Pooled> {
        let steps = Steps::new(annotations, lengths)?;
        let (mut vectors, mut alpha) = (Vec::with_capacity(self.poolings.len()), None);
        for &pooling in &self.poolings {
            let pooled = match pooling {
                Pooling::Last if self.directions == 2 => steps.last_of_both()?,
                pooling => steps.pool(pooling, self.query.as_ref())?,
            };
            vectors.push(pooled.vector);
            alpha = alpha.or(pooled.alpha);
        }
        Ok(Pooled { vector: Tensor::cat(&vectors, D::Minus1)?, alpha })
    }
}

/// Annotations, and which of them count.
struct Steps {
    /// (N, T, C), 0 where a row has no step.
    values: Tensor,
    /// (N, T), 1 where a row has a step; nothing where all have.
    mask: Option<Tensor>,
    lengths: Vec<usize>,
}

impl Steps {
    fn new(annotations: &Tensor, lengths: Option<&[usize]>) -> Result<Self> {
        let (n, t, _) = annotations.dims3()?;
        let lengths = lengths.map_or_else(|| vec![t; n], <[usize]>::to_vec);
        if lengths.len() != n {
            candle_core::bail!("pooling: {} lengths for {n} rows; give one for each", lengths.len())
        }
        if let Some(length) = lengths.iter().find(|&&length| length > t) {
            candle_core::bail!("pooling: a length is {length} where there are {t} steps")
        }
        if lengths.iter().all(|&length| length == t) {
            return Ok(Self { values: annotations.clone(), mask: None, lengths });
        }
        let mask: Vec<u8> =
            lengths.iter().flat_map(|&length| (0..t).map(move |step| u8::from(step < length))).collect();
        let mask = Tensor::from_vec(mask, (n, t), annotations.device())?;
        let values = chosen(&mask.unsqueeze(2)?, annotations, 0.0)?;
        Ok(Self { values, mask: Some(mask), lengths })
    }

    fn pool(&self, pooling: Pooling, query: Option<&Tensor>) -> Result<Pooled> {
        let (n, t, c) = self.values.dims3()?;
        if t == 0 {
            let zeros = |size: usize| Tensor::zeros((n, size), self.values.dtype(), self.values.device());
            let alpha = (pooling == Pooling::Attention).then(|| zeros(0)).transpose()?;
            return Ok(Pooled { vector: zeros(c)?, alpha });
        }
        let vector = match (pooling, query) {
            (Pooling::Last, _) => self.last(&self.values)?,
            (Pooling::Mean, _) => self.mean()?,
            (Pooling::Max, _) => self.max()?,
            (Pooling::Attention, Some(query)) => return self.attention(query),
            (Pooling::Attention, None) => candle_core::bail!("pooling: attention has no query; give one"),
        };
        Ok(Pooled { vector, alpha: None })
    }

    /// Of values (N, T, ·), 0 where a row has no step, each row's last.
    fn last(&self, values: &Tensor) -> Result<Tensor> {
        let (n, t, c) = values.dims3()?;
        let place = |(row, &length): (usize, &usize)| (row * t + length.saturating_sub(1)) as u32;
        let places: Vec<u32> = self.lengths.iter().enumerate().map(place).collect();
        let places = Tensor::from_vec(places, n, values.device())?;
        values.contiguous()?.reshape((n * t, c))?.index_select(&places, 0)
    }

    /// The last step of the half that was read forwards beside the first of the other, which is that one's last.
    fn last_of_both(&self) -> Result<Pooled> {
        let (_, t, c) = self.values.dims3()?;
        if t == 0 {
            return self.pool(Pooling::Last, None);
        }
        let forwards = self.last(&self.values.narrow(2, 0, c / 2)?)?;
        let backwards = self.values.narrow(1, 0, 1)?.squeeze(1)?.narrow(1, c / 2, c / 2)?;
        Ok(Pooled { vector: Tensor::cat(&[forwards, backwards], 1)?, alpha: None })
    }

    fn mean(&self) -> Result<Tensor> {
        let counts: Vec<f32> = self.lengths.iter().map(|&length| length.max(1) as f32).collect();
        let counts = Tensor::from_vec(counts, (self.lengths.len(), 1), self.values.device())?;
        self.values.sum(1)?.broadcast_div(&counts.to_dtype(self.values.dtype())?)
    }

    /// By the place of the largest, so that the gradient goes to one step even where several are equal.
    fn max(&self) -> Result<Tensor> {
        let values = self.values.detach();
        let places = match &self.mask {
            Some(mask) => chosen(&mask.unsqueeze(2)?, &values, f32::NEG_INFINITY)?,
            None => values,
        };
        let places = places.contiguous()?.argmax_keepdim(1)?;
        self.values.contiguous()?.gather(&places, 1)?.squeeze(1)
    }

    fn attention(&self, query: &Tensor) -> Result<Pooled> {
        let (n, t, c) = self.values.dims3()?;
        if query.dims() != [c] {
            candle_core::bail!("pooling: the query is {:?}, the annotations have {c} values", query.dims())
        }
        let scores = self.values.contiguous()?.reshape((n * t, c))?.matmul(&query.unsqueeze(1)?)?.reshape((n, t))?;
        let alpha = match &self.mask {
            // A finite number, so that a row without steps has no NaN; f16 has it too.
            Some(mask) => chosen(mask, &softmax(&chosen(mask, &scores, -6e4)?, 1)?, 0.0)?,
            None => softmax(&scores, 1)?,
        };
        let vector = alpha.unsqueeze(1)?.matmul(&self.values.contiguous()?)?.squeeze(1)?;
        Ok(Pooled { vector, alpha: Some(alpha) })
    }
}

/// `values` where the mask is 1, `other` elsewhere; what is not chosen may be NaN and has the gradient 0.
fn chosen(mask: &Tensor, values: &Tensor, other: f32) -> Result<Tensor> {
    let other = Tensor::full(other, values.shape(), values.device())?.to_dtype(values.dtype())?;
    mask.broadcast_as(values.shape())?.contiguous()?.where_cond(values, &other)
}
