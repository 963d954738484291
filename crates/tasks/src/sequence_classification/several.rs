//! Several things that may be there at once, each told by itself: notes that sound together (Boulanger-Lewandowski et al. 2012, "Modeling
//! temporal dependencies in high-dimensional sequences").
//!
//! ```text
//! p(x_{t+1} | x_1 … x_t) = Π_k σ(z_k)^{x_k} (1 − σ(z_k))^{1 − x_k}
//! −ln p = Σ_k max(z_k, 0) − z_k x_k + ln(1 + e^{−|z_k|})              nats of a step
//! accuracy = hits / (hits + false alarms + misses) at σ(z_k) > 1/2    (Bay et al. 2009)
//! ```

use candle_core::{Result, Tensor};
use candlewick_kernels::activation::softplus;
use candlewick_training::Scores;

/// In the place of a thing where there is no step to tell of.
pub(super) const NOTHING: f32 = -1.0;

/// The nats of all steps, divided by their number `count`, for logits (N, T, K) and targets (N, T, K) of 0 and 1, or [`NOTHING`].
pub(super) fn loss(logits: &Tensor, targets: &Tensor, count: usize) -> Result<Tensor> {
    let there = targets.ge(0f32)?.to_dtype(logits.dtype())?;
    let nats = (softplus(logits)? - (logits * targets)?)?;
    (nats * there)?.sum_all()? / count.max(1) as f64
}

/// What is counted over steps.
#[derive(Default)]
pub(super) struct SetScores {
    nats: f64,
    steps: usize,
    hits: usize,
    wrong: usize,
}

impl SetScores {
    /// Counts a step with these logits, of which `there` says with 1 which things were there.
    pub fn add(&mut self, logits: &[f32], there: &[f32]) {
        self.steps += 1;
        for (&z, &x) in logits.iter().zip(there) {
            let (z, is_there) = (f64::from(z), x > 0.5);
            self.nats += z.max(0.0) - z * f64::from(x) + (-z.abs()).exp().ln_1p();
            self.hits += usize::from(is_there && z > 0.0);
            self.wrong += usize::from(is_there != (z > 0.0));
        }
    }

    pub fn scores(&self) -> Scores {
        let accuracy = self.hits as f64 / (self.hits + self.wrong).max(1) as f64;
        Scores::from_iter([("accuracy", accuracy), ("nats_per_step", self.nats / self.steps.max(1) as f64)])
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use candle_core::{Device, Var};

    #[test]
    fn nats_and_their_gradient_are_those_of_the_formula() {
        let z = [0.5f32, -2.0, 90.0, -90.0, 3.0, 0.0];
        let x = [1.0f32, 0.0, 1.0, 0.0, NOTHING, NOTHING];
        let logits = Var::from_slice(&z, (1, 3, 2), &Device::Cpu).unwrap();
        let targets = Tensor::from_slice(&x, (1, 3, 2), &Device::Cpu).unwrap();
        let loss = loss(&logits, &targets, 2).unwrap();
        let sigma = |z: f32| 1.0 / (1.0 + (-z).exp());
        let wanted = -(sigma(0.5).ln() + (1.0 - sigma(-2.0)).ln()) / 2.0;
        assert!((loss.to_scalar::<f32>().unwrap() - wanted).abs() < 1e-6);
        let gradients = loss.backward().unwrap();
        let found = gradients.get(&logits).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let wanted = [(sigma(0.5) - 1.0) / 2.0, sigma(-2.0) / 2.0, 0.0, 0.0, 0.0, 0.0];
        assert!(found.iter().zip(wanted).all(|(found, wanted)| (found - wanted).abs() < 1e-6), "{found:?}");
        let mut counted = SetScores::default();
        counted.add(&z[..2], &x[..2]);
        counted.add(&[-1.0, 1.0, 2.0], &[1.0, 0.0, 1.0]);
        let scores = counted.scores();
        // Two hits, a miss and a false alarm.
        assert_eq!(scores.get("accuracy"), Some(0.5));
        let second = -(sigma(-1.0).ln() + (1.0 - sigma(1.0)).ln() + sigma(2.0).ln());
        let nats = scores.get("nats_per_step").unwrap();
        let first = -(sigma(0.5).ln() + (1.0 - sigma(-2.0)).ln());
        assert!((nats - f64::from(first + second) / 2.0).abs() < 1e-6);
    }
}
