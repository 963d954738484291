//! Hard attention: one position at each word, drawn from α (Xu et al. 2015, section 4.1).
//!
//! z_t = a_{s_t} with s_t ~ α_t while the decoder learns, and the likeliest position when it writes. A position is no
//! differentiable choice; α learns by REINFORCE (Williams 1992). The words that a decoder writes may be
//! those of several positions, p(y) = Σ_k α_k p(y | a_k) over the likeliest (Deng et al. 2018, "Latent alignment and variational
//! attention"), while its state goes on from the likeliest alone.

use crate::attention::{Attended, AttentionMemory};
use candle_core::{D, Device, Result, Tensor, bail};
use candle_nn::ops::log_softmax;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};
use std::borrow::Cow;

/// What the context is.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum AttentionKind {
    /// The mean of the annotations under α.
    #[default]
    Soft,
    /// The annotation of one position, drawn from α in training and the likeliest otherwise.
    Hard(HardAttention),
}

/// What can be chosen about hard attention.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HardAttention {
    /// The probability that a batch is read with soft attention instead, which teaches α directly.
    pub soft_probability: f64,
    /// g, the side of the window whose mean stands for a position's annotation: over the g × g positions around the chosen one, as far
    /// as the map goes, while α is that of the single annotations.
    pub window: usize,
    /// π, how much of the mean of all annotations is mixed in: z is (1 − π) times the window's mean plus π times that of all. 0 to 1.
    pub context_mix: f64,
    /// K, how many positions each word is written from: p(y) = Σ_k α_k p(y | a_k) over the K likeliest, while the state goes on from
    /// the likeliest. Each costs a step.
    pub num_positions: usize,
    /// τ, the temperature of α; below 1 α is keener, so that the mean of the annotations is closer to one of them.
    pub temperature: f64,
}

impl Default for HardAttention {
    fn default() -> Self {
        Self { soft_probability: 0.5, window: 1, context_mix: 0.0, num_positions: 1, temperature: 1.0 }
    }
}

impl AttentionKind {
    /// The settings of hard attention, where it is hard.
    pub fn hard(&self) -> Option<&HardAttention> {
        match self {
            Self::Soft => None,
            Self::Hard(hard) => Some(hard),
        }
    }
}

impl Serialize for AttentionKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            Self::Soft => serializer.serialize_str("soft"),
            Self::Hard(hard) => Table { kind: "hard".into(), of: hard.clone() }.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for AttentionKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let mut given = match Value::deserialize(deserializer)? {
            Value::String(kind) => Map::from_iter([("kind".to_owned(), kind.into())]),
            Value::Object(given) => given,
            other => {
                return Err(D::Error::custom(format!("attention is {other}; wanted \"soft\", \"hard\" or a table")));
            }
        };
        let kind = given.remove("kind").unwrap_or_default();
        match (kind.as_str(), given.keys().next()) {
            (Some("soft"), None) => Ok(Self::Soft),
            (Some("soft"), Some(key)) => {
                Err(D::Error::custom(format!("attention.{key} is for hard attention; leave it out")))
            }
            (Some("hard"), _) => serde_json::from_value(given.into()).map(Self::Hard).map_err(D::Error::custom),
            _ => Err(D::Error::custom(format!("attention has the kind {kind}; there are \"soft\" and \"hard\""))),
        }
    }
}

impl JsonSchema for AttentionKind {
    fn schema_name() -> Cow<'static, str> {
        "Attention".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut hard = HardAttention::json_schema(generator);
        if let Some(properties) = hard.get_mut("properties").and_then(Value::as_object_mut) {
            properties.insert("kind".into(), json!({ "const": "hard" }));
        }
        hard.insert("required".into(), json!(["kind"]));
        json_schema!({ "description": "What the context is.", "anyOf": [{ "enum": ["soft", "hard"] }, hard] })
    }
}

/// How settings of hard attention are written.
#[derive(Serialize)]
struct Table {
    kind: String,
    #[serde(flatten)]
    of: HardAttention,
}

impl HardAttention {
    /// Whether a position stands for its own annotation alone, which needs no map around it.
    pub fn is_one_annotation(&self) -> bool {
        self.window == 1 && self.context_mix == 0.0
    }

    pub(super) fn check(&self) -> Result<()> {
        if !(self.temperature.is_finite() && self.temperature > 0.0) {
            bail!("decoder: attention.temperature is {}; wanted more than 0", self.temperature)
        }
        for (name, number) in [("window", self.window), ("num_positions", self.num_positions)] {
            if number == 0 {
                bail!("decoder: attention.{name} is 0; wanted at least 1 position")
            }
        }
        for (name, value) in [("soft_probability", self.soft_probability), ("context_mix", self.context_mix)] {
            if !(0.0..=1.0).contains(&value) {
                bail!("decoder: attention.{name} is {value}; wanted 0 to 1")
            }
        }
        Ok(())
    }

    /// The matrix (P, P) from the annotations of a map of `height` × `width` = P positions to what stands for each: (1 − π) times the
    /// mean over its window, as far as the map goes, plus π times the mean over all.
    pub(super) fn window_matrix(&self, (height, width): (usize, usize), device: &Device) -> Result<Tensor> {
        let (p, reach) = (height * width, self.window / 2);
        let window = |at: usize, side: usize| at.saturating_sub(reach)..(at + self.window - reach).min(side);
        let mut weights = vec![(self.context_mix / p as f64) as f32; p * p];
        for (at, weights) in weights.chunks_exact_mut(p.max(1)).enumerate() {
            let (rows, columns) = (window(at / width, height), window(at % width, width));
            let share = ((1.0 - self.context_mix) / (rows.len() * columns.len()) as f64) as f32;
            rows.for_each(|row| weights[row * width..][columns.clone()].iter_mut().for_each(|weight| *weight += share));
        }
        Tensor::from_vec(weights, (p, p), device)
    }
}

/// Positions s_t that were drawn from α_t, one for each word that was read.
#[derive(Clone, Debug)]
pub struct SampledPositions {
    /// log α_t(s_t), (N, T).
    pub log_probability: Tensor,
    /// H(α_t) = −Σ_p α_tp log α_tp, (N, T), in nats.
    pub entropy: Tensor,
}

/// Selects one position of each row: alpha becomes 1 there and 0 elsewhere.
pub(super) fn select(positions: &Tensor, attended: &Attended, annotations: &AttentionMemory) -> Result<Attended> {
    Ok(Attended { context: annotations.gather_position(positions)?, alpha: one_hot(&attended.alpha, positions)? })
}

/// The `count` likeliest positions of each row, the likeliest first: (N, count), or (N, P) where there are fewer.
pub(super) fn top_k(alpha: &Tensor, count: usize) -> Result<Tensor> {
    match count {
        1 => alpha.argmax_keepdim(D::Minus1),
        _ => alpha.contiguous()?.arg_sort_last_dim(false)?.narrow(1, 0, count.min(alpha.dim(1)?))?.contiguous(),
    }
}

/// log Σ_k α_k p(y | a_k) (N, V), but for a constant of each row, from the `logits` (N, V) of each of K positions and the `weights` α_k (N, K).
pub(super) fn marginalise(logits: &[Tensor], weights: &Tensor) -> Result<Tensor> {
    let log_weights = (weights + 1e-20)?.log()?;
    let joint: Vec<Tensor> = (logits.iter().enumerate())
        .map(|(k, logits)| log_softmax(logits, D::Minus1)?.broadcast_add(&log_weights.narrow(1, k, 1)?))
        .collect::<Result<_>>()?;
    Tensor::stack(&joint, 0)?.log_sum_exp(0)
}

/// What is said of the positions (N, T) that were drawn from alpha (N, T, P).
pub(super) fn sampled(alpha: &Tensor, positions: &Tensor) -> Result<SampledPositions> {
    // Keeps the logarithm finite where a weight has underflowed, and beyond a caption's end.
    let log_alpha = (alpha + 1e-20)?.log()?;
    let log_probability = log_alpha.gather(&positions.unsqueeze(2)?, 2)?.squeeze(2)?;
    Ok(SampledPositions { log_probability, entropy: (alpha * &log_alpha)?.sum(2)?.neg()? })
}

/// 1 at the position of each row and 0 elsewhere, in the shape of alpha (N, P).
fn one_hot(alpha: &Tensor, positions: &Tensor) -> Result<Tensor> {
    let ones = Tensor::ones((alpha.dim(0)?, 1), alpha.dtype(), alpha.device())?;
    alpha.zeros_like()?.scatter_add(&positions.unsqueeze(1)?.contiguous()?, &ones, 1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::attention::AdditiveAttention;
    use candlewick_parameters::Parameters;

    fn attended() -> (Attended, Tensor) {
        let annotations = Tensor::arange(0f32, 12., &Device::Cpu).unwrap().reshape((2, 3, 2)).unwrap();
        let alpha = Tensor::new(&[[0.2f32, 0.5, 0.3], [0.7, 0.1, 0.2]], &Device::Cpu).unwrap();
        (Attended { context: annotations.mean(1).unwrap(), alpha }, annotations)
    }

    #[test]
    fn the_likeliest_position_is_selected() {
        let (attended, annotations) = attended();
        let attention = AdditiveAttention::new(2, 1, 1, Parameters::new(1).builder(&Device::Cpu)).unwrap();
        let annotations = attention.memory(&annotations).unwrap();
        let likeliest = |attended: &Attended| top_k(&attended.alpha, 1).unwrap().squeeze(1).unwrap();
        let found = select(&likeliest(&attended), &attended, &annotations).unwrap();
        assert_eq!(found.alpha.to_vec2::<f32>().unwrap(), [[0., 1., 0.], [1., 0., 0.]]);
        assert_eq!(found.context.to_vec2::<f32>().unwrap(), [[2., 3.], [6., 7.]]);
        // Rows of another order, both of the second picture.
        let both = annotations.select(&Tensor::new(&[1u32, 1], &Device::Cpu).unwrap()).unwrap();
        let found = select(&likeliest(&attended), &attended, &both).unwrap();
        assert_eq!(found.context.to_vec2::<f32>().unwrap(), [[8., 9.], [6., 7.]]);
    }

    #[test]
    fn the_likeliest_come_first_and_count_by_their_weights() {
        let alpha = attended().0.alpha;
        assert_eq!(top_k(&alpha, 2).unwrap().to_vec2::<u32>().unwrap(), [[1, 2], [0, 2]]);
        assert_eq!(top_k(&alpha, 9).unwrap().to_vec2::<u32>().unwrap(), [[1, 2, 0], [0, 2, 1]]);
        // p(y | a) of two words is 1/2, 1/2 of one position and 1/4, 3/4 of the other, which weigh 0.2 and 0.6.
        let logits = [[0f32, 0.0], [5.0, 5.0 + 3f32.ln()]].map(|row| Tensor::new(&[row], &Device::Cpu).unwrap());
        let weights = Tensor::new(&[[0.2f32, 0.6]], &Device::Cpu).unwrap();
        let p = marginalise(&logits, &weights).unwrap().exp().unwrap().to_vec2::<f32>().unwrap();
        assert!((p[0][0] - (0.1 + 0.15)).abs() < 1e-6 && (p[0][1] - (0.1 + 0.45)).abs() < 1e-6, "{p:?}");
    }

    fn window_matrix(map: (usize, usize), window: usize, context_mix: f64) -> Vec<Vec<f32>> {
        let hard = HardAttention { window, context_mix, ..HardAttention::default() };
        hard.window_matrix(map, &Device::Cpu).unwrap().to_vec2().unwrap()
    }

    #[test]
    fn a_window_is_the_mean_of_what_lies_around() {
        let found = window_matrix((3, 3), 3, 0.0);
        let (third, quarter, sixth) = (1.0 / 9.0, 0.25, 1.0 / 6.0);
        assert_eq!(found[4], [third; 9]);
        assert_eq!(found[0], [quarter, quarter, 0., quarter, quarter, 0., 0., 0., 0.]);
        assert_eq!(found[5], [0., sixth, sixth, 0., sixth, sixth, 0., sixth, sixth]);
        let wide = window_matrix((2, 3), 3, 0.0);
        assert_eq!(wide[0], [quarter, quarter, 0., quarter, quarter, 0.]);
        assert_eq!(wide[4], [sixth; 6]);
    }

    #[test]
    fn the_mean_of_the_whole_map_is_mixed_in() {
        let found = window_matrix((1, 4), 1, 0.5);
        assert_eq!(found[1], [0.125, 0.625, 0.125, 0.125]);
        let all = window_matrix((2, 3), 3, 1.0);
        assert_eq!(all, vec![vec![1.0 / 6.0; 6]; 6]);
    }

    #[test]
    fn what_was_sampled_has_its_probability_and_the_entropy() {
        let alpha = attended().0.alpha.unsqueeze(0).unwrap();
        let found = sampled(&alpha, &Tensor::new(&[[1u32, 0]], &Device::Cpu).unwrap()).unwrap();
        let log_probability = found.log_probability.to_vec2::<f32>().unwrap();
        let entropy = -(0.2f32 * 0.2f32.ln() + 0.5 * 0.5f32.ln() + 0.3 * 0.3f32.ln());
        assert!((log_probability[0][0] - 0.5f32.ln()).abs() < 1e-6);
        assert!((log_probability[0][1] - 0.7f32.ln()).abs() < 1e-6);
        assert!((found.entropy.to_vec2::<f32>().unwrap()[0][0] - entropy).abs() < 1e-6);
    }

    #[test]
    fn attention_is_a_word_or_a_table() {
        let read = |text: &str| serde_json::from_str::<AttentionKind>(text);
        assert_eq!(read("\"soft\"").unwrap(), AttentionKind::Soft);
        assert_eq!(read("\"hard\"").unwrap(), AttentionKind::Hard(HardAttention::default()));
        let hard = AttentionKind::Hard(HardAttention { window: 3, ..HardAttention::default() });
        assert_eq!(read(r#"{"kind": "hard", "window": 3}"#).unwrap(), hard);
        for attention in [AttentionKind::Soft, hard] {
            assert_eq!(read(&serde_json::to_string(&attention).unwrap()).unwrap(), attention);
        }
        for (text, part) in [
            (r#"{"kind": "soft", "window": 3}"#, "attention.window is for hard attention"),
            (r#"{"kind": "hard", "glance": 3}"#, "unknown field `glance`"),
            ("\"firm\"", "attention has the kind \"firm\""),
            ("3", "attention is 3"),
        ] {
            assert!(read(text).unwrap_err().to_string().contains(part), "{text}");
        }
    }
}
