//! Whether a call trains or evaluates: an argument, never a flag that a layer stores.

use crate::Rng;
use candle_core::{DType, Device, Result, Tensor};

/// What a call is for: evaluation, or training with a generator for its random parts.
#[derive(Debug)]
pub enum Mode<'a> {
    /// Dropout does nothing, batch norm uses its running statistics.
    Eval,
    /// Dropout draws from the generator, batch norm uses and records the batch's statistics.
    Train(&'a mut Rng),
}

impl Mode<'_> {
    /// Whether the call trains.
    pub fn is_training(&self) -> bool {
        matches!(self, Mode::Train(_))
    }

    /// Inverted dropout: x ⊙ m / (1 − p) with m ~ Bernoulli(1 − p) in training, x itself in evaluation.
    ///
    /// Input and output have the same shape. Srivastava et al. 2014, "Dropout: a simple way to prevent neural networks
    /// from overfitting".
    ///
    /// # Errors
    /// When p lies outside [0, 1].
    pub fn dropout(&mut self, xs: &Tensor, p: f64) -> Result<Tensor> {
        if !(0.0..=1.0).contains(&p) {
            candle_core::bail!("dropout: the probability {p} lies outside [0, 1]")
        }
        match self {
            Mode::Train(rng) if p > 0.0 => xs * rng.dropout_mask(p, xs.shape(), xs.dtype(), xs.device())?,
            _ => Ok(xs.clone()),
        }
    }

    /// The factors m / (1 − p) of a residual branch, one m ~ Bernoulli(1 − p) for each of `n` items in training, so that each skips the
    /// branch with probability p; `None` in evaluation.
    ///
    /// Huang et al. 2016, "Deep networks with stochastic depth".
    ///
    /// # Errors
    /// When p lies outside [0, 1].
    pub fn stochastic_depth(&mut self, n: usize, p: f64) -> Result<Option<Vec<f32>>> {
        if !(0.0..=1.0).contains(&p) {
            candle_core::bail!("stochastic depth: the probability {p} lies outside [0, 1]")
        }
        match self {
            Mode::Train(rng) if p > 0.0 => rng.dropout_mask(p, n, DType::F32, &Device::Cpu)?.to_vec1().map(Some),
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn dropout_keeps_the_mean_in_training_and_everything_in_evaluation() {
        let xs = Tensor::ones(20_000, candle_core::DType::F32, &Device::Cpu).unwrap();
        let mut rng = Rng::derive(1, "dropout", 0);
        let dropped = Mode::Train(&mut rng).dropout(&xs, 0.25).unwrap();
        let values = dropped.to_vec1::<f32>().unwrap();
        assert!(values.iter().all(|&v| v == 0.0 || (v - 4.0 / 3.0).abs() < 1e-6));
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        assert!((mean - 1.0).abs() < 0.02, "{mean}");
        let kept = Mode::Eval.dropout(&xs, 0.25).unwrap().to_vec1::<f32>().unwrap();
        assert!(kept.iter().all(|&v| v == 1.0));
        assert!(Mode::Eval.dropout(&xs, 1.5).is_err());
    }

    #[test]
    fn stochastic_depth_keeps_or_leaves_out() {
        let mut rng = Rng::derive(1, "depth", 0);
        let factors = Mode::Train(&mut rng).stochastic_depth(2000, 0.2).unwrap().unwrap();
        let of = |wanted: f32| factors.iter().filter(|&&factor| factor == wanted).count();
        assert_eq!(of(1.25) + of(0.0), 2000);
        assert!((of(0.0) as f64 / 2000.0 - 0.2).abs() < 0.03, "{}", of(0.0));
        assert!(Mode::Eval.stochastic_depth(2000, 0.2).unwrap().is_none());
        assert!(Mode::Train(&mut rng).stochastic_depth(3, 1.5).is_err());
    }
}
