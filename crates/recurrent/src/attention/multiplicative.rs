//! The scores of attention that are products: hᵀ W_a a and hᵀ a.
//!
//! Luong et al. 2015, "Effective approaches to attention-based neural machine translation".

use super::{Attended, AttentionMemory};
use crate::linear::Linear;
use candle_core::{D, Module, Result, Tensor};
use candle_nn::ops::softmax;
use candlewick_parameters::VarBuilder;

/// e_p = hᵀ W_a a_p, or hᵀ a_p; α = softmax(e / τ), context = Σ_p α_p a_p.
///
/// The layer `encoder_att` (W_a) has no bias, which could not change α.
#[derive(Clone, Debug)]
pub struct MultiplicativeAttention {
    encoder_att: Option<Linear>,
    temperature: f64,
}

impl MultiplicativeAttention {
    /// hᵀ W_a a for states of `hidden_size` H and annotations of `annotation_size` C.
    ///
    /// # Errors
    /// When the builder lacks the weight (H, C).
    pub fn general(annotation_size: usize, hidden_size: usize, vb: VarBuilder) -> Result<Self> {
        let encoder_att = Linear::without_bias(annotation_size, hidden_size, vb.pp("encoder_att"))?;
        Ok(Self { encoder_att: Some(encoder_att), temperature: 1.0 })
    }

    /// hᵀ a, without parameters.
    ///
    /// # Errors
    /// When C is not H.
    pub fn dot(annotation_size: usize, hidden_size: usize) -> Result<Self> {
        if annotation_size != hidden_size {
            candle_core::bail!(
                "attention: score \"dot\" compares states of size {hidden_size} with annotations of size \
                 {annotation_size}; make them alike, or take \"general\""
            )
        }
        Ok(Self { encoder_att: None, temperature: 1.0 })
    }

    /// The same attention with the temperature τ, 1 where nothing is said; below 1 α is keener.
    pub fn with_temperature(self, temperature: f64) -> Self {
        Self { temperature, ..self }
    }

    /// The annotations a (M, P, C) of M sources, with their keys W_a a, or a, (M, P, H).
    ///
    /// # Errors
    /// When the annotations have another size.
    pub fn memory(&self, values: &Tensor) -> Result<AttentionMemory> {
        let keys = self.encoder_att.as_ref().map_or_else(|| Ok(values.clone()), |layer| layer.forward(values))?;
        Ok(AttentionMemory::new(values, keys))
    }

    /// Attends from the states h (N, H) of rows to the annotations of their sources.
    ///
    /// # Errors
    /// When shapes do not fit together.
    pub fn attend(&self, memory: &AttentionMemory, hidden: &Tensor) -> Result<Attended> {
        let (values, keys, counts) = memory.per_row()?;
        let scores = (keys.matmul(&hidden.unsqueeze(2)?)?.squeeze(2)? / self.temperature)?;
        let scores = match &counts {
            None => scores,
            Some(counts) => {
                let never = Tensor::new(f32::NEG_INFINITY, scores.device())?.to_dtype(scores.dtype())?;
                counts.mask().where_cond(&scores, &never.broadcast_as(scores.shape())?)?
            }
        };
        let alpha = softmax(&scores, D::Minus1)?;
        let context = alpha.unsqueeze(1)?.matmul(&values.contiguous()?)?.squeeze(1)?;
        Ok(Attended { context, alpha })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use candle_core::Device;
    use candlewick_kernels::additive_attention::Counts;
    use candlewick_parameters::Parameters;
    use candlewick_testing::flat;

    /// Two sources of three annotations of size 2, of which the second has two.
    fn memory(attention: &MultiplicativeAttention) -> AttentionMemory {
        let device = &Device::Cpu;
        let values = [[[1f32, 0.0], [0.0, 1.0], [2.0, -1.0]], [[0.5, 0.5], [1.0, -1.0], [9.0, 9.0]]];
        let counts = Counts::new(&[3, 2], 3, device).unwrap();
        attention.memory(&Tensor::new(&values, device).unwrap()).unwrap().with_counts(Some(counts))
    }

    fn softmax(scores: &[f32]) -> Vec<f32> {
        let sum: f32 = scores.iter().map(|score| score.exp()).sum();
        scores.iter().map(|score| score.exp() / sum).collect()
    }

    fn close(found: &Tensor, wanted: &[f32]) {
        let found = flat(found);
        assert!(found.iter().zip(wanted).all(|(found, wanted)| (found - wanted).abs() < 1e-6), "{found:?} {wanted:?}");
    }

    #[test]
    fn a_dot_weighs_the_annotations_that_a_source_has() {
        let attention = MultiplicativeAttention::dot(2, 2).unwrap();
        let h = Tensor::new(&[[1f32, 2.0], [-1.0, 0.5]], &Device::Cpu).unwrap();
        let Attended { context, alpha } = attention.attend(&memory(&attention), &h).unwrap();
        let (first, second) = (softmax(&[1.0, 2.0, 0.0]), softmax(&[-0.25, -1.5]));
        close(&alpha, &[first[0], first[1], first[2], second[0], second[1], 0.0]);
        let mean =
            [first[0] + 2.0 * first[2], first[1] - first[2], 0.5 * second[0] + second[1], 0.5 * second[0] - second[1]];
        close(&context, &mean);
        // Rows of another order, keener.
        let rows = Tensor::new(&[1u32, 1, 0], &Device::Cpu).unwrap();
        let h = Tensor::new(&[[-1f32, 0.5], [0.0, 0.0], [1.0, 2.0]], &Device::Cpu).unwrap();
        let keen = attention.with_temperature(0.5);
        let alpha = keen.attend(&memory(&keen).select(&rows).unwrap(), &h).unwrap().alpha;
        let (last, first) = (softmax(&[2.0, 4.0, 0.0]), softmax(&[-0.5, -3.0]));
        close(&alpha, &[first[0], first[1], 0.0, 0.5, 0.5, 0.0, last[0], last[1], last[2]]);
    }

    #[test]
    fn general_is_a_dot_with_a_matrix_between() {
        let parameters = Parameters::new(1);
        let attention = MultiplicativeAttention::general(2, 3, parameters.builder(&Device::Cpu)).unwrap();
        let w = flat(&parameters.trainable()[0].1);
        let h = Tensor::new(&[[1f32, 2.0, -1.0], [0.5, 0.0, 1.0]], &Device::Cpu).unwrap();
        let alpha = attention.attend(&memory(&attention), &h).unwrap().alpha;
        let score = |h: [f32; 3], a: [f32; 2]| -> f32 {
            (0..3).map(|row| h[row] * (w[2 * row] * a[0] + w[2 * row + 1] * a[1])).sum()
        };
        let first = softmax(&[[1.0, 0.0], [0.0, 1.0], [2.0, -1.0]].map(|a| score([1.0, 2.0, -1.0], a)));
        let second = softmax(&[[0.5, 0.5], [1.0, -1.0]].map(|a| score([0.5, 0.0, 1.0], a)));
        close(&alpha, &[first[0], first[1], first[2], second[0], second[1], 0.0]);
        let fault = MultiplicativeAttention::dot(2, 3).unwrap_err().to_string();
        assert!(fault.contains("states of size 3 with annotations of size 2"), "{fault}");
    }
}
