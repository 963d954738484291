//! Self-critical training: the network draws captions, CIDEr judges them, and the better ones become likelier.
//!
//! Of a photo a, K captions y¹ … yᴷ are drawn from the network itself. With the reward r(y), CIDEr-D against the captions that
//! people wrote of the photo, and a baseline b that does not depend on the caption at hand,
//!
//! ```text
//! L = − Σ_k (r(yᵏ) − bᵏ) · Σ_t log p(yᵏ_t | yᵏ_<t, a) / Σ_k |yᵏ|
//! ```
//!
//! is a scalar whose gradient is REINFORCE's (Williams 1992); p is the network's softmax(logits / τ), from which
//! they were drawn. b is the reward of the likeliest caption (Rennie et al. 2017,
//! "Self-critical Sequence Training for Image Captioning") or the mean reward of the photo's other drawn captions (Luo 2020,
//! "A Better Variant of Self-Critical Sequence Training"). As in Luo's experiments the end of a caption counts as a word of it;
//! otherwise captions learn to break off after words such as "with a".

use super::batches::padded;
use crate::{Error, Result};
use candle_core::Tensor;
use candlewick_data::text::scripts::spaced;
use candlewick_data::text::words::{END, PAD, START, UNK, WordTokenizer};
use candlewick_generation::{Decoder, GenerationConfig, Hypothesis, TeacherForced, generate};
use candlewick_kernels::loss::{CrossEntropy, Reduction, cross_entropy};
use candlewick_metrics::caption::cider::{Cider, DocumentFrequency};
use candlewick_metrics::caption::tokenizer::tokenize;
use candlewick_parameters::{Mode, Rng};
use candlewick_training::reinforce::{mean_of_others, reinforce};
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What can be chosen about self-critical training: L = − Σ_k (r(yᵏ) − bᵏ) Σ_t log p(yᵏ_t | yᵏ_<t, a) / Σ_k |yᵏ| over K drawn captions of
/// each photo, r their CIDEr-D.
///
/// Rennie et al. 2017, "Self-critical sequence training for image captioning"; Luo 2020, "A better variant of self-critical sequence
/// training".
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SelfCritical {
    /// K, captions drawn of each picture.
    pub samples: usize,
    /// What a caption's reward is compared with.
    pub baseline: Baseline,
    /// Whether the loss is that of the network with dropout, as in the training before; captions are drawn without.
    pub dropout: bool,
    /// λ, the weight of the loss of people's captions, which keeps the network near their language; 0 leaves it out.
    pub likelihood: f64,
    /// τ: captions are drawn from softmax(logits / τ), and the loss is that distribution's. Below 1 they are nearer to the likeliest
    /// one, which a network that was trained with label smoothing seldom draws.
    pub temperature: f64,
}

/// What a caption's reward is compared with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Baseline {
    /// The mean reward of the picture's other captions (Luo 2020); it needs at least two of them.
    #[default]
    Samples,
    /// The reward of the likeliest caption (Rennie et al. 2017).
    Greedy,
}

impl Default for SelfCritical {
    fn default() -> Self {
        Self { samples: 5, baseline: Baseline::default(), dropout: true, likelihood: 0.0, temperature: 1.0 }
    }
}

/// CIDEr-D of captions of the training photos, against what people wrote of them.
pub(crate) struct Reward {
    /// The tokens of each photo's captions, the end of each among them.
    references: Vec<Vec<Vec<String>>>,
    frequency: DocumentFrequency,
}

/// The token that ends a caption where captions are judged; no tokenizer makes it of a text.
const ENDED: &str = "<end>";

impl Reward {
    /// The reward whose document frequencies are those of `captions`, a list a photo.
    pub fn new(captions: &[Vec<String>]) -> Self {
        let tokens = |caption: &String| ended(tokenize(&spaced(caption)), true);
        let references: Vec<Vec<Vec<String>>> =
            captions.par_iter().map(|captions| captions.iter().map(tokens).collect()).collect();
        let frequency = DocumentFrequency::from_references(references.iter().map(Vec::as_slice));
        Self { references, frequency }
    }

    /// The reward of a caption of this photo; `finished` where it came to its end. 0 … 10.
    fn of(&self, picture: usize, caption: &str, finished: bool) -> f64 {
        let references = self.references.get(picture).map(Vec::as_slice).unwrap_or_default();
        Cider::default().caption_score(&ended(tokenize(&spaced(caption)), finished), references, &self.frequency)
    }
}

/// No words of a caption: they are neither drawn nor have a part in the probabilities of those that are.
pub(crate) const NEVER_SAID: [u32; 3] = [PAD, START, UNK];

fn ended(mut tokens: Vec<String>, finished: bool) -> Vec<String> {
    tokens.extend(finished.then(|| ENDED.to_owned()));
    tokens
}

/// What drawn captions are judged with.
#[derive(Clone, Copy)]
pub(crate) struct Judge<'a> {
    /// Turns ids into text.
    pub tokenizer: &'a WordTokenizer,
    /// What a caption is worth.
    pub reward: &'a Reward,
    /// The longest caption in words.
    pub longest: usize,
}

/// Captions that were drawn of a batch of pictures, with what they are worth.
pub(crate) struct SampledCaptions {
    /// The row of the batch that each caption is of.
    sources: Vec<u32>,
    /// The words of each, from the start on, the end included where it came.
    words: Vec<Vec<u32>>,
    /// r − b.
    advantages: Vec<f64>,
    /// τ, at which they were drawn.
    temperature: f64,
    /// The mean of r.
    pub reward: f64,
}

impl SelfCritical {
    /// # Errors
    /// When too few captions would be drawn to compare them.
    pub(crate) fn validate(&self) -> Result<()> {
        if !(self.likelihood.is_finite() && self.likelihood >= 0.0) {
            return Err(Error::Setting(format!("self_critical: likelihood is {}; wanted at least 0", self.likelihood)));
        }
        if !(self.temperature.is_finite() && self.temperature > 0.0) {
            return Err(Error::Setting(format!(
                "self_critical: temperature is {}; wanted more than 0",
                self.temperature
            )));
        }
        let least = if self.baseline == Baseline::Samples { 2 } else { 1 };
        if self.samples >= least {
            return Ok(());
        }
        Err(Error::Setting(format!("self_critical: samples is {}; this baseline wants at least {least}", self.samples)))
    }

    /// Draws captions of the rows of `memory` and judges them; `rows` are their pictures' places in the training set.
    pub(crate) fn draw<D: Decoder>(
        &self,
        decoder: &D,
        memory: &D::Memory,
        rows: &[usize],
        judge: Judge,
        rng: &mut Rng,
    ) -> Result<SampledCaptions> {
        let config = GenerationConfig {
            max_new_tokens: judge.longest,
            suppress_tokens: NEVER_SAID.to_vec(),
            num_return_sequences: self.samples,
            seed: rng.below(usize::MAX) as u64,
            ..GenerationConfig::sample(self.temperature, 0, 1.0)
        };
        let drawn = generate(decoder, memory, rows.len(), &config)?;
        let value = |row: usize, hypothesis: &Hypothesis| -> Result<f64> {
            Ok(judge.reward.of(row, &judge.tokenizer.decode(&hypothesis.words)?, hypothesis.finished))
        };
        let values: Vec<Vec<f64>> = rows
            .par_iter()
            .zip(&drawn)
            .map(|(&row, hypotheses)| hypotheses.iter().map(|hypothesis| value(row, hypothesis)).collect())
            .collect::<Result<_>>()?;
        let baselines: Vec<Vec<f64>> = match self.baseline {
            Baseline::Samples => values.iter().map(|values| mean_of_others(values)).collect(),
            Baseline::Greedy => {
                let config = GenerationConfig { do_sample: false, num_return_sequences: 1, ..config };
                let likeliest = generate(decoder, memory, rows.len(), &config)?;
                let values = rows.iter().zip(likeliest.iter().flatten()).map(|(&row, found)| value(row, found));
                values.map(|value| Ok(vec![value?; self.samples])).collect::<Result<_>>()?
            }
        };
        let (mut sources, mut words) = (Vec::new(), Vec::new());
        for (source, hypothesis) in
            (0u32..).zip(&drawn).flat_map(|(source, all)| all.iter().map(move |one| (source, one)))
        {
            sources.push(source);
            let end = hypothesis.finished.then_some(END);
            words.push([START].into_iter().chain(hypothesis.words.iter().copied()).chain(end).collect());
        }
        let values = values.concat();
        let advantages = values.iter().zip(baselines.concat()).map(|(value, baseline)| value - baseline).collect();
        let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
        Ok(SampledCaptions { sources, words, advantages, temperature: self.temperature, reward: mean })
    }
}

impl SampledCaptions {
    /// The loss at the top of the module, the words that it is over, what the decoder gave and the targets (N·K, T).
    pub fn loss<D: Decoder>(&self, decoder: &D, memory: &D::Memory, mode: &mut Mode) -> Result<Judged> {
        let device = decoder.device();
        let read: Vec<&[u32]> =
            self.words.iter().map(|words| words.split_last().map_or(&[][..], |(_, read)| read)).collect();
        let told: Vec<&[u32]> = self.words.iter().map(|words| words.get(1..).unwrap_or_default()).collect();
        let lengths: Vec<usize> = told.iter().map(|words| words.len()).collect();
        let count: usize = lengths.iter().sum();
        let targets = padded(&told, device)?;
        let memory = decoder.select_memory(memory, &Tensor::new(self.sources.as_slice(), device)?)?;
        let forced = decoder.teacher_forced(&padded(&read, device)?, &lengths, &memory, mode)?;
        let advantages: Vec<f32> = self.advantages.iter().map(|&advantage| advantage as f32).collect();
        let advantages = Tensor::from_vec(advantages, (lengths.len(), 1), device)?.broadcast_as(targets.shape())?;
        let settings =
            CrossEntropy { ignore_index: Some(PAD.into()), reduction: Reduction::None, ..CrossEntropy::default() };
        // Captions were drawn from the words that can be said; were the others left in, they would take up what is pushed away
        // from captions that are worse, and nothing would ever push back.
        let v = decoder.vocab_size() as u32;
        let said: Vec<f32> = (0..v).map(|word| if NEVER_SAID.contains(&word) { -1e4 } else { 0.0 }).collect();
        let logits = forced.logits.broadcast_add(&Tensor::new(said, device)?)?;
        let logits = if self.temperature == 1.0 { logits } else { (logits / self.temperature)? };
        let log_probability = cross_entropy(&logits, &targets, &settings, None)?.neg()?;
        let value = reinforce(&log_probability, &advantages, None, Some(&targets.ne(PAD)?))?;
        Ok(Judged { value, count, forced, targets })
    }
}

/// The loss of drawn captions.
pub(crate) struct Judged {
    /// The loss, a scalar.
    pub value: Tensor,
    /// Over how many words.
    pub count: usize,
    /// What the decoder gave when it read the captions.
    pub forced: TeacherForced,
    /// The words of the captions, padding beyond their ends.
    pub targets: Tensor,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::decoders::source;
    use crate::{Annotations, AttentionDecoder, AttentionDecoderConfig};
    use candle_core::{D, Device};
    use candle_nn::ops::log_softmax;
    use candlewick_kernels::node::backward;
    use candlewick_parameters::Parameters;
    use candlewick_recurrent::decoders::{DecoderMemory, SourceDecoder as _};

    /// Two photos, what people said of each, a decoder that knows the words, and the parameters of the decoder.
    struct Small {
        tokenizer: WordTokenizer,
        reward: Reward,
        seen: Annotations,
        decoder: AttentionDecoder,
        parameters: Parameters,
    }

    fn small() -> Small {
        let captions = [["A dog runs.", "A dog is running."], ["A cat sits.", "The cat is sitting."]]
            .map(|captions| captions.map(str::to_owned).to_vec());
        let tokenizer = WordTokenizer::train(captions.iter().flatten(), 1).unwrap();
        let parameters = Parameters::new(3);
        let config =
            AttentionDecoderConfig { embedding_size: 16, hidden_size: 16, attention_size: 8, ..Default::default() };
        let vb = parameters.builder(&Device::Cpu);
        let decoder = AttentionDecoder::new(6, tokenizer.vocab_size(), &config, vb).unwrap();
        let annotations = Rng::derive(1, "annotations", 0).normal_tensor(0.0, 1.0, (2, 4, 6), &Device::Cpu).unwrap();
        let seen = Annotations::set(annotations).unwrap();
        Small { tokenizer, reward: Reward::new(&captions), seen, decoder, parameters }
    }

    impl Small {
        fn draw(&self, memory: &DecoderMemory, drawing: &SelfCritical, (seed, step): (u64, u64)) -> SampledCaptions {
            let judge = Judge { tokenizer: &self.tokenizer, reward: &self.reward, longest: 8 };
            drawing.draw(&self.decoder, memory, &[0, 1], judge, &mut Rng::derive(seed, "draw", step)).unwrap()
        }

        /// The mean reward of the likeliest captions after so many steps of gradient descent on drawn ones.
        fn learned(&self, drawing: &SelfCritical, seed: u64, steps: u64) -> f64 {
            for step in 0..steps {
                let memory = self.decoder.memory(&source(&self.seen).unwrap()).unwrap();
                let drawn = self.draw(&memory, drawing, (seed, step));
                let loss = drawn.loss(&self.decoder, &memory, &mut Mode::Eval).unwrap().value;
                let gradients = backward(&loss).unwrap();
                for (_, var) in self.parameters.trainable() {
                    let Some(gradient) = gradients.get(var.as_tensor()) else { continue };
                    var.set(&(var.as_tensor() - gradient).unwrap().detach()).unwrap();
                }
            }
            let memory = self.decoder.memory(&source(&self.seen).unwrap()).unwrap();
            let likeliest = generate(&self.decoder, &memory, 2, &GenerationConfig::greedy()).unwrap();
            let value = |(photo, found): (usize, &Hypothesis)| {
                self.reward.of(photo, &self.tokenizer.decode(&found.words).unwrap(), found.finished)
            };
            likeliest.iter().flatten().enumerate().map(value).sum::<f64>() / 2.0
        }
    }

    #[test]
    fn the_loss_is_the_one_of_the_formula() {
        for temperature in [1.0, 0.5] {
            loss_is_the_one_of_the_formula(&SelfCritical { samples: 3, temperature, ..Default::default() });
        }
    }

    fn loss_is_the_one_of_the_formula(drawing: &SelfCritical) {
        let small = small();
        let memory = small.decoder.memory(&source(&small.seen).unwrap()).unwrap();
        let drawn = small.draw(&memory, drawing, (1, 0));
        let judged = drawn.loss(&small.decoder, &memory, &mut Mode::Eval).unwrap();
        let (mut sum, mut count) = (0.0, 0);
        for (row, (words, advantage)) in drawn.words.iter().zip(&drawn.advantages).enumerate() {
            let logits = judged.forced.logits.get(row).unwrap();
            // The words from the end on; those before it and the unknown one are never said.
            let (end, rest) =
                (logits.narrow(1, 2, 1).unwrap(), logits.narrow(1, 4, logits.dim(1).unwrap() - 4).unwrap());
            let said = (Tensor::cat(&[end, rest], 1).unwrap() / drawing.temperature).unwrap();
            let log_p = log_softmax(&said, D::Minus1).unwrap().to_vec2::<f32>().unwrap();
            let place = |word: u32| if word == END { 0 } else { word as usize - 3 };
            let said: f32 = words[1..].iter().zip(&log_p).map(|(&word, log_p)| log_p[place(word)]).sum();
            sum -= advantage * f64::from(said);
            count += words.len() - 1;
        }
        let found = f64::from(judged.value.to_vec0::<f32>().unwrap());
        assert_eq!(judged.count, count);
        assert!(sum.abs() > 1e-3 && (found - sum / count as f64).abs() < 1e-5, "{found} {sum}");
    }

    #[test]
    fn captions_become_better_with_either_baseline() {
        for baseline in [Baseline::Samples, Baseline::Greedy] {
            let drawing = SelfCritical { samples: 8, baseline, ..Default::default() };
            // What is drawn decides whether a photo's best caption is found, so that one course proves little.
            let mean = |steps| (1..=4).map(|seed| small().learned(&drawing, seed, steps)).sum::<f64>() / 4.0;
            let (before, after) = (mean(0), mean(600));
            assert!(before < 1.0 && after > 4.0, "{baseline:?}: {before} became {after}");
        }
    }

    #[test]
    fn one_caption_cannot_be_compared_with_others() {
        let alone = SelfCritical { samples: 1, ..Default::default() };
        assert!(alone.validate().unwrap_err().to_string().contains("samples is 1"));
        assert!(SelfCritical { baseline: Baseline::Greedy, ..alone }.validate().is_ok());
        let frozen = SelfCritical { temperature: 0.0, ..Default::default() };
        assert!(frozen.validate().unwrap_err().to_string().contains("temperature is 0"));
    }

    #[test]
    fn below_a_temperature_of_one_likely_captions_are_drawn_more_often() {
        let small = small();
        let memory = small.decoder.memory(&source(&small.seen).unwrap()).unwrap();
        let kinds = |temperature| {
            let drawing = SelfCritical { samples: 16, temperature, ..Default::default() };
            small.draw(&memory, &drawing, (1, 0)).words.into_iter().collect::<std::collections::HashSet<_>>().len()
        };
        assert!(2 * kinds(0.02) < kinds(1.0), "{} of {}", kinds(0.02), kinds(1.0));
    }

    #[test]
    fn a_caption_that_breaks_off_is_worth_less() {
        let reward = small().reward;
        assert!(reward.of(0, "a dog runs", true) > reward.of(0, "a dog runs", false));
        assert!(reward.of(0, "a dog runs", false) > reward.of(1, "a dog runs", false));
    }
}
