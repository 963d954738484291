//! What captioners minimise.

use candle_core::{D, Result, Tensor, bail};
use candlewick_generation::TeacherForced;
use candlewick_kernels::loss::{CrossEntropy, Reduction, cross_entropy};
use candlewick_kernels::softmax::log_softmax;
use candlewick_recurrent::decoders::TeacherForcedRead;
use candlewick_training::reinforce::reinforce;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The cross-entropy of captions and the doubly stochastic term of attention, averaged over words and positions:
///
/// ```text
/// L = −mean log p(y_t | y_<t, a) + λ mean_{n,p} (1 − Σ_t α_ntp)²
/// ```
///
/// logits (N, T, V), alpha (N, T, P), targets (N, T) with `pad` beyond each caption's end. Where pictures have annotations of different
/// number, the mean over p is over those that each has. Xu et al. 2015, equation 14.
///
/// # Errors
/// When shapes do not fit.
pub fn caption_loss(forced: &TeacherForced, targets: &Tensor, config: &LossConfig, pad: u32) -> Result<CaptionLoss> {
    let settings = CrossEntropy {
        ignore_index: Some(pad.into()),
        label_smoothing: config.label_smoothing,
        reduction: Reduction::Mean,
    };
    let words = cross_entropy(&forced.logits, targets, &settings, None)?;
    let loss = CaptionLoss::of_words(words);
    add_attention_penalty(loss, forced, targets, config, pad)
}

/// Adds the doubly stochastic term to the loss of the words.
pub(crate) fn add_attention_penalty(
    loss: CaptionLoss,
    forced: &TeacherForced,
    targets: &Tensor,
    config: &LossConfig,
    pad: u32,
) -> Result<CaptionLoss> {
    let Some(alpha) = forced.alpha.as_ref().filter(|_| config.doubly_stochastic > 0.0) else { return Ok(loss) };
    let counted = targets.ne(pad)?.to_dtype(alpha.dtype())?.unsqueeze(D::Minus1)?;
    let seen = alpha.broadcast_mul(&counted)?.sum(1)?;
    let missed = (1.0 - seen)?.sqr()?;
    let attention = match &forced.counts {
        None => missed.mean_all()?,
        Some(counts) => missed.mul(&counts.shares(missed.dim(0)?)?.to_dtype(missed.dtype())?)?.sum_all()?,
    };
    let total = (&loss.total + (&attention * config.doubly_stochastic)?)?;
    Ok(CaptionLoss { total, attention: Some(attention), ..loss })
}

/// Adds what teaches α from positions s_t that were drawn from it, averaged over words:
///
/// ```text
/// L + mean_t [ −λ_r A_t log α_t(s_t) − λ_e H(α_t) ],   A_t = Σ_{t'≥t} (log p(y_t' | y_<t', s, a) − b)
/// ```
///
/// b is the moving average of log p over the words of earlier batches; gives the mean over this one. As a position has no part in
/// the words before it, A_t counts those from t on, which has the expectation of the paper's Σ over the whole caption and less
/// variance. Xu et al. 2015, section 4.1; Williams 1992.
///
/// # Errors
/// When shapes do not fit.
pub(crate) fn add_reinforce(
    loss: CaptionLoss,
    read: &TeacherForcedRead,
    targets: &Tensor,
    (config, baseline): (&LossConfig, Option<f64>),
    pad: u32,
) -> Result<(CaptionLoss, Option<f64>)> {
    let Some(sampled) = &read.sampled else { return Ok((loss, None)) };
    let log_p = log_softmax(&read.forced.logits.detach(), D::Minus1)?;
    let log_p =
        log_p.gather(&targets.unsqueeze(2)?, 2)?.squeeze(2)?.to_dtype(candle_core::DType::F32)?.to_vec2::<f32>()?;
    let words = targets.to_vec2::<u32>()?;
    let count = words.iter().flatten().filter(|&&word| word != pad).count().max(1);
    let told = log_p.iter().flatten().zip(words.iter().flatten()).filter(|&(_, &word)| word != pad);
    let mean = told.map(|(&log_p, _)| f64::from(log_p)).sum::<f64>() / count as f64;
    let b = baseline.unwrap_or(mean);
    let mut advantages = Vec::new();
    for (log_p, words) in log_p.iter().zip(&words) {
        let mut to_go = 0.0;
        let mut row: Vec<f32> = (log_p.iter().zip(words).rev())
            .map(|(&log_p, &word)| {
                to_go += if word == pad { 0.0 } else { f64::from(log_p) - b };
                to_go as f32
            })
            .collect();
        row.reverse();
        advantages.extend(row);
    }
    let (device, shape) = (sampled.entropy.device(), sampled.entropy.shape());
    let (advantages, counted) = (Tensor::from_vec(advantages, shape, device)?, targets.ne(pad)?);
    let positions = (reinforce(&sampled.log_probability, &advantages, None, Some(&counted))? * config.reinforce)?;
    let entropy = ((&sampled.entropy * counted.to_dtype(sampled.entropy.dtype())?)?.sum_all()? / count as f64)?;
    let total = ((&loss.total + &positions)? - (&entropy * config.entropy)?)?;
    Ok((CaptionLoss { total, positions: Some(positions), entropy: Some(entropy), ..loss }, Some(mean)))
}

/// The parts of a caption's loss.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CaptionLoss {
    /// What is minimised.
    pub total: Tensor,
    /// The cross-entropy of a word, in nats.
    pub words: Tensor,
    /// The doubly stochastic term without its weight.
    pub attention: Option<Tensor>,
    /// What teaches α from drawn positions, with its weight, where any were drawn.
    pub positions: Option<Tensor>,
    /// The mean entropy of α where positions were drawn, in nats, without its weight.
    pub entropy: Option<Tensor>,
}

impl CaptionLoss {
    /// A loss of the words alone.
    pub(crate) fn of_words(words: Tensor) -> Self {
        Self { total: words.clone(), words, attention: None, positions: None, entropy: None }
    }
}

/// What can be chosen about the loss.
///
/// Hard attention adds mean_t [ −λ_r A_t log α_t(s_t) − λ_e H(α_t) ] with A_t = Σ_{t'≥t} (log p(y_t') − b), b the moving average of
/// log p (Xu et al. 2015, section 4.1; Williams 1992).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LossConfig {
    /// λ, the weight of the doubly stochastic term.
    pub doubly_stochastic: f64,
    /// The share of the target's probability that is spread over all words.
    pub label_smoothing: f64,
    /// λ_r, the weight of REINFORCE for positions that hard attention drew.
    pub reinforce: f64,
    /// λ_e, the weight of the entropy of α where positions were drawn; below 0 α becomes keener.
    pub entropy: f64,
}

impl Default for LossConfig {
    fn default() -> Self {
        Self { doubly_stochastic: 1.0, label_smoothing: 0.0, reinforce: 0.1, entropy: 0.002 }
    }
}

impl LossConfig {
    /// # Errors
    /// When a weight makes no sense.
    pub(crate) fn validate(&self) -> Result<()> {
        if !(self.doubly_stochastic.is_finite() && self.doubly_stochastic >= 0.0) {
            bail!("loss: doubly_stochastic is {}; wanted at least 0", self.doubly_stochastic)
        }
        if !(0.0..1.0).contains(&self.label_smoothing) {
            bail!("loss: label_smoothing is {}; wanted 0 or more, below 1", self.label_smoothing)
        }
        for (name, value) in [("reinforce", self.reinforce), ("entropy", self.entropy)] {
            if !value.is_finite() {
                bail!("loss: {name} is {value}; wanted a number")
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::decoders::source;
    use crate::{Annotations, AttentionDecoder, AttentionDecoderConfig, AttentionKind, HardAttention};
    use candle_core::Device;
    use candlewick_generation::{Decoder as _, TeacherForced};
    use candlewick_kernels::additive_attention::Counts;
    use candlewick_parameters::{Mode, Parameters, Rng};
    use candlewick_recurrent::decoders::{SampledPositions, SourceDecoder as _};
    use candlewick_testing::flat;

    /// Each picture's annotations as it has them: those that fill its row change nothing.
    #[test]
    fn annotations_that_a_picture_lacks_have_no_part_in_the_doubly_stochastic_term() {
        let device = &Device::Cpu;
        let targets = Tensor::new(&[[1u32, 2]], device).unwrap();
        let config = LossConfig { doubly_stochastic: 1.0, ..LossConfig::default() };
        let attention = |alpha: Tensor, counts: Option<Counts>| {
            let rows = alpha.dim(0).unwrap();
            let logits = Tensor::zeros((rows, 2, 3), candle_core::DType::F32, device).unwrap();
            let targets = targets.broadcast_as((rows, 2)).unwrap().contiguous().unwrap();
            let loss =
                caption_loss(&TeacherForced { logits, alpha: Some(alpha), counts }, &targets, &config, 0).unwrap();
            loss.attention.unwrap().to_vec0::<f32>().unwrap()
        };
        let two = Tensor::new(&[[[0.75f32, 0.25], [0.5, 0.5]]], device).unwrap();
        let three = Tensor::new(&[[[0.5f32, 0.25, 0.25], [0.25, 0.25, 0.5]]], device).unwrap();
        let mean = (attention(two.clone(), None) + attention(three.clone(), None)) / 2.0;
        let both = Tensor::cat(&[two.pad_with_zeros(2, 0, 1).unwrap(), three], 0).unwrap();
        assert!((attention(both, Some(Counts::new(&[2, 3], 3, device).unwrap())) - mean).abs() < 1e-6);
    }

    #[test]
    fn positions_are_judged_by_the_words_that_come_after_them() {
        let device = &Device::Cpu;
        // log p of the two words: ln 0.5 each for the first row, ln 0.25 and padding for the second.
        let (half, quarter) = (vec![0f32; 2], vec![0f32, 3f32.ln()]);
        let logits = Tensor::new(vec![vec![half.clone(), half.clone()], vec![quarter, half]], device).unwrap();
        let log_probability = Tensor::new(&[[-1f32, -2.0], [-3.0, -4.0]], device).unwrap();
        let entropy = Tensor::new(&[[0.1f32, 0.2], [0.3, 0.4]], device).unwrap();
        let targets = Tensor::new(&[[0u32, 0], [0, 1]], device).unwrap();
        let read = TeacherForcedRead {
            forced: TeacherForced { logits, alpha: None, counts: None },
            sampled: Some(SampledPositions { log_probability, entropy }),
        };
        let loss = CaptionLoss::of_words(Tensor::new(0f32, device).unwrap());
        let config = LossConfig { reinforce: 0.5, entropy: 0.1, ..LossConfig::default() };
        let (loss, mean) = add_reinforce(loss, &read, &targets, (&config, Some(-1.0)), 1).unwrap();
        let (a, b) = (0.5f64.ln() + 1.0, 0.25f64.ln() + 1.0);
        let wanted = (-0.5 * (-(2.0 * a) - 2.0 * a - 3.0 * b) - 0.1 * (0.1 + 0.2 + 0.3)) / 3.0;
        assert!((f64::from(loss.total.to_vec0::<f32>().unwrap()) - wanted).abs() < 1e-6);
        assert!((mean.unwrap() - (2.0 * 0.5f64.ln() + 0.25f64.ln()) / 3.0).abs() < 1e-6);
    }

    /// The gradient that REINFORCE gives on the average of many draws is that of the expectation over all positions.
    #[test]
    fn on_average_the_gradient_is_that_of_the_expected_likelihood() {
        let device = &Device::Cpu;
        let parameters = Parameters::new(5);
        let config = AttentionDecoderConfig {
            embedding_size: 4,
            hidden_size: 4,
            attention_size: 3,
            attention: AttentionKind::Hard(HardAttention { soft_probability: 0.0, ..HardAttention::default() }),
            dropout: 0.0,
            ..Default::default()
        };
        let decoder = AttentionDecoder::new(3, 6, &config, parameters.builder(device)).unwrap();
        let annotations = Rng::derive(2, "annotations", 0).normal_tensor(0.0, 3.0, (1, 3, 3), device).unwrap();
        let (word, target) = (Tensor::new(&[[1u32]], device).unwrap(), Tensor::new(&[[4u32]], device).unwrap());
        let memory = decoder.memory(&source(&Annotations::set(annotations.clone()).unwrap()).unwrap()).unwrap();
        let alpha = {
            let soft = AttentionDecoderConfig { attention: AttentionKind::Soft, ..config.clone() };
            let soft = AttentionDecoder::new(3, 6, &soft, parameters.builder(device)).unwrap();
            soft.teacher_forced(&word, &[1], &memory, &mut Mode::Eval).unwrap().alpha.unwrap().flatten_all().unwrap()
        };
        // log p(y) when position p alone is seen: the position is the only one of the memory, but the state begins as before.
        let state = decoder.start(&memory, &mut Mode::Eval).unwrap();
        let told = |p: usize| {
            let alone = decoder
                .memory(&source(&Annotations::set(annotations.narrow(1, p, 1).unwrap()).unwrap()).unwrap())
                .unwrap();
            let step = decoder.step(&word.squeeze(1).unwrap(), &state, &alone, &mut Mode::Eval).unwrap();
            log_softmax(&step.logits, 1).unwrap().to_vec2::<f32>().unwrap()[0][4]
        };
        let values: Vec<f32> = (0..3).map(told).collect();
        let baseline = f64::from(values.iter().sum::<f32>() / 3.0);
        let values = Tensor::new(values, device).unwrap();
        let weight =
            parameters.trainable().into_iter().find(|(name, _)| name == "attention.full_att.weight").unwrap().1;
        let expected = (alpha * values).unwrap().sum_all().unwrap().backward().unwrap();
        let expected = flat(expected.get(weight.as_tensor()).unwrap());
        let settings = LossConfig { doubly_stochastic: 0.0, reinforce: 1.0, entropy: 0.0, ..LossConfig::default() };
        const DRAWS: u64 = 4000;
        let mut sum = vec![0f32; expected.len()];
        for draw in 0..DRAWS {
            let mut rng = Rng::derive(3, "draw", draw);
            let read = decoder.read(&word, &[1], &memory, &mut Mode::Train(&mut rng)).unwrap();
            let loss = CaptionLoss::of_words(Tensor::new(0f32, device).unwrap());
            let (loss, _) = add_reinforce(loss, &read, &target, (&settings, Some(baseline)), 0).unwrap();
            let gradients = loss.total.backward().unwrap();
            let found = flat(gradients.get(weight.as_tensor()).unwrap());
            sum.iter_mut().zip(found).for_each(|(sum, value)| *sum -= value / DRAWS as f32);
        }
        let largest = expected.iter().fold(0f32, |largest, value| largest.max(value.abs()));
        for (found, wanted) in sum.iter().zip(&expected) {
            assert!((found - wanted).abs() < 0.1 * largest, "{sum:?} {expected:?}");
        }
    }
}
