//! Additive attention over annotations.
//!
//! Bahdanau et al. 2015, "Neural machine translation by jointly learning to align and translate"; for pictures Xu et al.
//! 2015, "Show, attend and tell".

use crate::linear::Linear;
use candle_core::{Module, Result, Tensor};
use candlewick_kernels::attend;
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

    /// The projected annotations W_a a + b_a: (N, P, C) to (N, P, A), once for a picture.
    ///
    /// # Errors
    /// When the annotations have another size.
    pub fn keys(&self, annotations: &Tensor) -> Result<Tensor> {
        self.encoder_att.forward(annotations)
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

    /// Attends from the states `hidden` (N, H) to the annotations (N, P, C), whose [`Self::keys`] are `keys` (N, P, A).
    ///
    /// # Errors
    /// When shapes do not fit together.
    pub fn attend(&self, keys: &Tensor, hidden: &Tensor, annotations: &Tensor) -> Result<Attended> {
        let (context, alpha) = attend::additive(keys, &self.decoder_att.forward(hidden)?, &self.v()?, annotations)?;
        Ok(Attended { context, alpha })
    }
}
