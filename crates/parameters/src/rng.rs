//! Random number generators (ChaCha8), derived from the run's seed, a purpose and an index.

use candle_core::{DType, Device, Result, Shape, Tensor};
use rand::{Rng as _, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A seeded generator, derived from the run's seed, what it is for, and a step or sample index.
///
/// No generator is ever stored in a checkpoint: whoever needs random numbers derives a generator again from the same
/// three values and gets the same numbers, on every machine and with any number of threads.
#[derive(Clone, Debug)]
pub struct Rng(ChaCha8Rng);

impl Rng {
    /// The generator for `index` of `purpose` in the run with this `seed`.
    ///
    /// The purpose is a short phrase such as `"dropout"` or a parameter's name.
    pub fn derive(seed: u64, purpose: &str, index: u64) -> Self {
        // FNV-1a over the purpose keeps the derivation independent of the standard library's hashers.
        let hash = purpose
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        let mut key = [0u8; 32];
        for (slot, word) in key.chunks_exact_mut(8).zip([seed, hash, index, purpose.len() as u64]) {
            slot.copy_from_slice(&word.to_le_bytes());
        }
        Self(ChaCha8Rng::from_seed(key))
    }

    /// A number uniform in [0, 1).
    pub fn uniform(&mut self) -> f32 {
        self.0.random()
    }

    /// A number from the standard normal distribution (Box and Muller 1958).
    pub fn normal(&mut self) -> f32 {
        let radius = (-2.0 * f64::from(1.0 - self.uniform()).ln()).sqrt();
        (radius * (std::f64::consts::TAU * f64::from(self.uniform())).cos()) as f32
    }

    /// An index uniform in 0..n; 0 where n is 0.
    pub fn below(&mut self, n: usize) -> usize {
        if n == 0 { 0 } else { self.0.random_range(0..n as u64) as usize }
    }

    /// Whether an event of probability `p` happens.
    pub fn chance(&mut self, p: f64) -> bool {
        f64::from(self.uniform()) < p
    }

    /// An index drawn with probabilities in proportion to the weights, none of which is negative; 0 where there are none.
    pub fn categorical(&mut self, weights: &[f32]) -> usize {
        let mut left = self.uniform() * weights.iter().sum::<f32>();
        let found = weights.iter().position(|&weight| {
            left -= weight;
            left < 0.0
        });
        found.unwrap_or(weights.len().saturating_sub(1))
    }

    /// Puts the items into a uniformly random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }

    /// An f32 tensor of numbers uniform in [low, high).
    pub fn uniform_tensor(&mut self, low: f64, high: f64, shape: impl Into<Shape>, device: &Device) -> Result<Tensor> {
        self.tensor(shape.into(), device, |rng| (low + (high - low) * f64::from(rng.uniform())) as f32)
    }

    /// An f32 tensor of numbers from the normal distribution with this mean and standard deviation.
    pub fn normal_tensor(&mut self, mean: f64, std: f64, shape: impl Into<Shape>, device: &Device) -> Result<Tensor> {
        self.tensor(shape.into(), device, |rng| (mean + std * f64::from(rng.normal())) as f32)
    }

    /// The factors of inverted dropout: 0 with probability `p`, otherwise 1 / (1 − p).
    pub fn dropout_mask(&mut self, p: f64, shape: impl Into<Shape>, dtype: DType, device: &Device) -> Result<Tensor> {
        let keep = if p < 1.0 { (1.0 / (1.0 - p)) as f32 } else { 0.0 };
        self.tensor(shape.into(), device, |rng| if rng.chance(p) { 0.0 } else { keep })?.to_dtype(dtype)
    }

    fn tensor(&mut self, shape: Shape, device: &Device, mut draw: impl FnMut(&mut Self) -> f32) -> Result<Tensor> {
        let values: Vec<f32> = (0..shape.elem_count()).map(|_| draw(self)).collect();
        Tensor::from_vec(values, shape, device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_derivation_gives_the_same_numbers_and_another_gives_others() {
        let draw = |seed, purpose, index| Rng::derive(seed, purpose, index).uniform();
        assert_eq!(draw(1, "dropout", 5), draw(1, "dropout", 5));
        assert_ne!(draw(1, "dropout", 5), draw(2, "dropout", 5));
        assert_ne!(draw(1, "dropout", 5), draw(1, "dropout", 6));
        assert_ne!(draw(1, "dropout", 5), draw(1, "shuffle", 5));
    }

    #[test]
    fn numbers_are_the_same_on_every_machine() {
        let mut rng = Rng::derive(42, "words", 0);
        let drawn: Vec<usize> = (0..6).map(|_| rng.below(100)).collect();
        assert_eq!(drawn, [76, 62, 80, 4, 29, 74]);
    }

    #[test]
    fn normal_numbers_have_the_moments_of_the_normal_distribution() {
        let mut rng = Rng::derive(3, "normal", 0);
        let xs: Vec<f64> = (0..40_000).map(|_| f64::from(rng.normal())).collect();
        let mean = xs.iter().sum::<f64>() / xs.len() as f64;
        let variance = xs.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / xs.len() as f64;
        assert!(mean.abs() < 0.02, "{mean}");
        assert!((variance - 1.0).abs() < 0.03, "{variance}");
    }

    #[test]
    fn shuffling_keeps_every_item() {
        let mut items: Vec<usize> = (0..50).collect();
        Rng::derive(1, "shuffle", 0).shuffle(&mut items);
        assert_ne!(items, (0..50).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..50).collect::<Vec<_>>());
    }
}
