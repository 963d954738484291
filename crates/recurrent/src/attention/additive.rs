//! The additive score of attention: v · tanh(W_a a + W_h h + b).
//!
//! Bahdanau et al. 2015, "Neural machine translation by jointly learning to align and translate".

use super::{Attended, AttentionMemory};
use crate::linear::Linear;
use candle_core::{Module, Result, Tensor};
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
        Ok(AttentionMemory::new(values, keys))
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
