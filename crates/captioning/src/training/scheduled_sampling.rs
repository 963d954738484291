//! Scheduled sampling: while it learns, the decoder reads some of its own words instead of people's.
//!
//! Bengio et al. 2015, "Scheduled sampling for sequence prediction with recurrent neural networks".

use crate::Error;
use candle_core::{DType, Tensor};
use candlewick_generation::{Decoder, SelectRows as _};
use candlewick_kernels::softmax::softmax;
use candlewick_parameters::{Mode, Rng};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// With which probability ε a word that is read is the decoder's own: it grows by `increase` every `epochs` epochs up to `most`.
///
/// ε_e = min(most, increase · ⌊e / epochs⌋) in epoch e, counted from 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ScheduledSampling {
    /// By how much it grows each time.
    pub increase: f64,
    /// After how many epochs it grows.
    pub epochs: usize,
    /// The largest it becomes.
    pub most: f64,
}

impl Default for ScheduledSampling {
    fn default() -> Self {
        Self { increase: 0.05, epochs: 1, most: 0.25 }
    }
}

impl ScheduledSampling {
    /// ε in this epoch.
    pub fn probability(&self, epoch: usize) -> f64 {
        (self.increase * (epoch / self.epochs.max(1)) as f64).min(self.most)
    }

    /// # Errors
    /// When a number is no probability (0 to 1).
    pub(crate) fn validate(&self) -> Result<(), Error> {
        for (name, value) in [("increase", self.increase), ("most", self.most)] {
            if !(0.0..=1.0).contains(&value) {
                return Err(Error::Setting(format!("scheduled_sampling: {name} is {value}; wanted 0 to 1")));
            }
        }
        Ok(())
    }
}

/// The words (N, T) with each but the first mix_in_samples, with probability `epsilon`, by one drawn from what the decoder says there.
///
/// It reads what was mix_in_samples before: word t is drawn from p(y_t | ŷ_<t, a). No gradient goes through a draw. A draw of one of `special`,
/// such as the end, replaces nothing.
pub(crate) fn mix_in_samples<D: Decoder>(
    decoder: &D,
    words: &Tensor,
    memory: &D::Memory,
    (epsilon, special): (f64, &[u32]),
    rng: &mut Rng,
) -> candle_core::Result<Tensor> {
    let mut read = words.to_vec2::<u32>()?;
    let rows = Tensor::arange(0, read.len() as u32, words.device())?;
    let mut state = decoder.start(memory, &mut Mode::Eval)?;
    for t in 1..words.dim(1)? {
        let before: Vec<u32> = read.iter().map(|row| row[t - 1]).collect();
        let step = decoder.step(&Tensor::new(before, words.device())?, &state, memory, &mut Mode::Eval)?;
        // Chosen rows are cut from the graph, which nothing here needs.
        state = step.state.select(&rows)?;
        let told = softmax(&step.logits.detach(), 1)?.to_dtype(DType::F32)?.to_vec2::<f32>()?;
        for (row, probabilities) in read.iter_mut().zip(&told) {
            if rng.chance(epsilon) {
                let word = rng.categorical(probabilities) as u32;
                row[t] = if special.contains(&word) { row[t] } else { word };
            }
        }
    }
    Tensor::from_vec(read.concat(), words.shape(), words.device())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use candle_core::{Device, Result};
    use candlewick_generation::Step;

    /// Always says the word after the one that it read.
    struct Successor;

    impl Decoder for Successor {
        type Memory = ();
        type State = ();
        fn vocab_size(&self) -> usize {
            10
        }
        fn device(&self) -> &Device {
            &Device::Cpu
        }
        fn start(&self, _: &(), _: &mut Mode) -> Result<()> {
            Ok(())
        }
        fn step(&self, words: &Tensor, _: &(), _: &(), _: &mut Mode) -> Result<Step<()>> {
            let row = |word: u32| (0..10).map(|next| if next == word + 1 { 50f32 } else { 0.0 }).collect::<Vec<_>>();
            let rows: Vec<Vec<f32>> = words.to_vec1::<u32>()?.into_iter().map(row).collect();
            Ok(Step { logits: Tensor::new(rows, &Device::Cpu)?, alpha: None, state: () })
        }
        fn select_memory(&self, _: &(), _: &Tensor) -> Result<()> {
            Ok(())
        }
    }

    fn read(epsilon: f64, special: &[u32]) -> Vec<Vec<u32>> {
        let words = Tensor::new(&[[1u32, 7, 7, 7, 7], [3, 9, 9, 9, 9]], &Device::Cpu).unwrap();
        let mut rng = Rng::derive(1, "scheduled", 0);
        mix_in_samples(&Successor, &words, &(), (epsilon, special), &mut rng).unwrap().to_vec2().unwrap()
    }

    #[test]
    fn what_it_reads_are_its_own_words_after_its_own_words() {
        assert_eq!(read(0.0, &[]), [[1, 7, 7, 7, 7], [3, 9, 9, 9, 9]]);
        assert_eq!(read(1.0, &[]), [[1, 2, 3, 4, 5], [3, 4, 5, 6, 7]]);
        // A word that is never read stays people's, and the next follows it.
        assert_eq!(read(1.0, &[3]), [[1, 2, 7, 8, 9], [3, 4, 5, 6, 7]]);
    }

    #[test]
    fn about_as_many_words_are_replaced_as_epsilon_says() {
        let words = Tensor::full(5u32, (100, 11), &Device::Cpu).unwrap();
        let mut rng = Rng::derive(1, "scheduled", 0);
        let found = mix_in_samples(&Successor, &words, &(), (0.25, &[]), &mut rng).unwrap().to_vec2::<u32>().unwrap();
        let count = found.iter().flatten().filter(|&&word| word != 5).count();
        assert!((200..300).contains(&count), "{count} of 1,000");
    }

    #[test]
    fn what_is_no_probability_is_refused() {
        for (increase, most) in [(0.05, -1.0), (f64::NAN, 0.25), (0.05, 1.5)] {
            let schedule = ScheduledSampling { increase, most, epochs: 1 };
            assert!(schedule.validate().unwrap_err().to_string().contains("wanted 0 to 1"));
        }
        assert!(ScheduledSampling::default().validate().is_ok());
    }

    #[test]
    fn the_probability_grows_to_its_largest() {
        let schedule = ScheduledSampling { increase: 0.1, epochs: 2, most: 0.25 };
        let found: Vec<f64> = (0..8).map(|epoch| schedule.probability(epoch)).collect();
        assert_eq!(found, [0.0, 0.0, 0.1, 0.1, 0.2, 0.2, 0.25, 0.25]);
    }
}
