//! Self-attention over a sequence with sinusoidal positions: the encoder of the transformer.
//!
//! x ← W_in x + b + PE, PE(t, 2i) = sin(t / 10000^(2i/H)), PE(t, 2i+1) = cos(t / 10000^(2i/H)); then for each layer
//! x ← LN(x + Attention(x)), x ← LN(x + W₂ relu(W₁ x + b₁) + b₂), where each head's attention is softmax(q kᵀ / √(H/heads)) v.
//!
//! Vaswani et al. 2017, "Attention is all you need".

use super::steps::{check_stateless, mask_of, masked};
use crate::gradient_flow::GradientFlow;
use crate::layer::{LayerState, SequenceLayer, check};
use crate::linear::{Linear, project};
use crate::regularisation::variational::dropout;
use candle_core::{D, DType, Device, Module, Result, Tensor};
use candlewick_kernels::norm::layer_norm;
use candlewick_kernels::softmax::softmax;
use candlewick_parameters::{Initial, Mode, ParameterBuilder, VarBuilder};
use serde::{Deserialize, Serialize};

/// How a [`SelfAttention`] is built.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SelfAttentionConfig {
    /// L, at least 1.
    pub num_layers: usize,
    /// How many heads attend side by side; they divide H.
    pub num_heads: usize,
    /// Whether a step also sees those after it.
    pub bidirectional: bool,
    /// The probability of dropout on what each half of a layer adds.
    pub dropout: f64,
    /// The probability of dropout on the inputs.
    pub input_dropout: f64,
    /// Whether dropout takes the same units at all steps.
    pub variational: bool,
}

impl Default for SelfAttentionConfig {
    fn default() -> Self {
        Self { num_layers: 1, num_heads: 1, bidirectional: false, dropout: 0.0, input_dropout: 0.0, variational: false }
    }
}

/// What is added to a score that must not count: e to its power is 0 in every type of float, yet it is a number in each.
const NEVER: f64 = -1e4;

/// Layers named and built as torch.nn.TransformerEncoder's, `layers.{k}.self_attn.in_proj_weight` and so on, with 4H units within;
/// before them `input` leads from D to H.
#[derive(Clone, Debug)]
pub struct SelfAttention {
    input: Linear,
    layers: Vec<Layer>,
    config: SelfAttentionConfig,
}

#[derive(Clone, Debug)]
struct Layer {
    /// W_q, W_k and W_v (3H, H), and their biases (3H).
    projections: Linear,
    output: Linear,
    inner: Linear,
    outer: Linear,
    norms: [(Tensor, Tensor); 2],
}

impl Layer {
    fn new(hidden_size: usize, vb: &VarBuilder) -> Result<Self> {
        let (h, attention) = (hidden_size, vb.pp("self_attn"));
        // Xavier's bound for the three together and biases of zero, as torch.nn.MultiheadAttention begins.
        let bound = (6.0 / (4.0 * h as f64)).sqrt();
        let weight = attention.parameter((h.saturating_mul(3), h), "in_proj_weight", Initial::Uniform(bound))?;
        let bias = attention.parameter(h.saturating_mul(3), "in_proj_bias", Initial::Constant(0.0))?;
        let weight_out = attention.parameter((h, h), "out_proj.weight", Initial::fan_in(h))?;
        let bias_out = attention.parameter(h, "out_proj.bias", Initial::Constant(0.0))?;
        let norm = |name: &str| {
            let vb = vb.pp(name);
            let weight = vb.parameter(h, "weight", Initial::Constant(1.0))?;
            Result::Ok((weight, vb.parameter(h, "bias", Initial::Constant(0.0))?))
        };
        Ok(Self {
            projections: Linear::from_tensors(weight, Some(bias)),
            output: Linear::from_tensors(weight_out, Some(bias_out)),
            inner: Linear::new(h, h.saturating_mul(4), vb.pp("linear1"))?,
            outer: Linear::new(h.saturating_mul(4), h, vb.pp("linear2"))?,
            norms: [norm("norm1")?, norm("norm2")?],
        })
    }

    /// Every step's look at the steps that `scores` (N or 1, 1, T or 1, T) lets it see; xs and result are (N, T, H).
    fn attend(&self, xs: &Tensor, heads: usize, scores: Option<&Tensor>) -> Result<Tensor> {
        let (n, t, h) = xs.dims3()?;
        let all = self.projections.forward(xs)?.reshape((n, t, 3, heads, h / heads))?.permute((2, 0, 3, 1, 4))?;
        let part = |k: usize| all.narrow(0, k, 1)?.squeeze(0)?.contiguous();
        let keys = part(1)?.t()?.contiguous()?;
        let mut energies = part(0)?.matmul(&keys)?.affine(1.0 / ((h / heads) as f64).sqrt(), 0.0)?;
        if let Some(scores) = scores {
            energies = energies.broadcast_add(scores)?;
        }
        let seen = softmax(&energies, D::Minus1)?.matmul(&part(2)?)?;
        self.output.forward(&seen.transpose(1, 2)?.reshape((n, t, h))?)
    }

    fn normalise(&self, which: usize, xs: &Tensor) -> Result<Tensor> {
        let (weight, bias) = &self.norms[which];
        layer_norm(xs, Some(weight), Some(bias), 1e-5)
    }
}

impl SelfAttention {
    /// Layers from inputs of size D to H.
    ///
    /// # Errors
    /// When there is no layer, the heads do not divide H, a probability lies outside [0, 1], or the builder lacks a parameter or has one
    /// of another shape.
    pub fn new(input_size: usize, hidden_size: usize, config: &SelfAttentionConfig, vb: VarBuilder) -> Result<Self> {
        check(config.num_layers, &[("dropout", config.dropout), ("input_dropout", config.input_dropout)])?;
        let heads = config.num_heads;
        if heads == 0 || !hidden_size.is_multiple_of(heads) {
            candle_core::bail!("self_attention: num_heads is {heads}, which does not divide the size {hidden_size}")
        }
        let input = Linear::new(input_size, hidden_size, vb.pp("input"))?;
        let layer = |k: usize| Layer::new(hidden_size, &vb.pp(format!("layers.{k}")));
        Ok(Self { input, layers: (0..config.num_layers).map(layer).collect::<Result<_>>()?, config: config.clone() })
    }

    /// What to add to the scores: [`NEVER`] where a key lies beyond its row's length, or after the step that asks.
    fn scores(&self, xs: &Tensor, mask: Option<&Tensor>) -> Result<Option<Tensor>> {
        let (n, t, _) = xs.dims3()?;
        let beyond = match mask {
            Some(mask) => Some(mask.affine(-NEVER, NEVER)?.reshape((n, 1, 1, t))?),
            None => None,
        };
        if self.config.bidirectional {
            return Ok(beyond);
        }
        let value = |i: usize| if i % t > i / t { NEVER as f32 } else { 0.0 };
        let after = Tensor::from_vec((0..t * t).map(value).collect::<Vec<_>>(), (1, 1, t, t), xs.device())?;
        let after = after.to_dtype(xs.dtype())?;
        beyond.map_or(Ok(after.clone()), |beyond| after.broadcast_add(&beyond)).map(Some)
    }
}

/// PE (T, H): sine and cosine of the position at wavelengths from 2π to 10000 · 2π.
///
/// # Errors
/// When the device knows no such type.
pub fn sinusoidal_positions(steps: usize, hidden_size: usize, dtype: DType, device: &Device) -> Result<Tensor> {
    let value = |t: usize, unit: usize| {
        let angle = t as f64 / 10_000f64.powf((unit - unit % 2) as f64 / hidden_size as f64);
        (if unit.is_multiple_of(2) { angle.sin() } else { angle.cos() }) as f32
    };
    let values: Vec<f32> = (0..steps).flat_map(|t| (0..hidden_size).map(move |unit| value(t, unit))).collect();
    Tensor::from_vec(values, (steps, hidden_size), device)?.to_dtype(dtype)
}

impl SequenceLayer for SelfAttention {
    fn output_size(&self) -> usize {
        self.input.weight().dims().first().copied().unwrap_or(0)
    }

    fn state_sizes(&self) -> Vec<Vec<usize>> {
        vec![]
    }

    fn forward(
        &self,
        xs: &Tensor,
        state: Option<&[Vec<Tensor>]>,
        lengths: Option<&[usize]>,
        mode: &mut Mode,
    ) -> Result<(Tensor, LayerState)> {
        check_stateless("self_attention", xs, state, lengths)?;
        if xs.elem_count() == 0 {
            // candle has no softmax over nothing.
            let (n, t, _) = xs.dims3()?;
            return Ok((Tensor::zeros((n, t, self.output_size()), xs.dtype(), xs.device())?, vec![]));
        }
        let mask = mask_of(xs, lengths)?;
        let scores = self.scores(xs, mask.as_ref())?;
        let config = &self.config;
        let mut drop = |xs: &Tensor, p| dropout(xs, p, config.variational, mode);
        let xs = drop(xs, config.input_dropout)?;
        let positions = sinusoidal_positions(xs.dim(1)?, self.output_size(), xs.dtype(), xs.device())?;
        let mut ys = project(&xs, self.input.weight(), self.input.bias())?.broadcast_add(&positions)?;
        for layer in &self.layers {
            let seen = drop(&layer.attend(&ys, config.num_heads, scores.as_ref())?, config.dropout)?;
            ys = layer.normalise(0, &(ys + seen)?)?;
            let more = layer.outer.forward(&layer.inner.forward(&ys)?.relu()?)?;
            ys = layer.normalise(1, &(&ys + drop(&more, config.dropout)?)?)?;
        }
        Ok((masked(&ys, mask.as_ref())?, vec![]))
    }

    fn gradient_flow(&self, _: &Tensor, _: Option<f64>) -> Result<Vec<GradientFlow>> {
        Ok(vec![])
    }
}
