//! REINFORCE: what was drawn becomes likelier the more it is worth (Williams 1992, "Simple statistical gradient-following algorithms
//! for connectionist reinforcement learning").
//!
//! ```text
//! L = − Σ_nt m_nt (r_nt − b_nt) log p_nt / Σ_nt m_nt
//! ```
//!
//! is a scalar whose gradient is on average that of the mean expected reward, −∇ E(r): log p_nt is the logarithm of the probability of what
//! was drawn, r_nt what it is worth, m_nt 1 where it counts and 0 elsewhere. A baseline b_nt that does not depend on what was drawn leaves
//! that mean as it is and takes variance away: the [moving average](MovingAverage) of earlier rewards, a value that the network learns by
//! its [squared error](squared_error), or the [mean of other draws](mean_of_others).

use candle_core::{DType, Result, Tensor};
use serde_json::Value;

/// The loss of drawn choices, a scalar: L above.
///
/// `log_probability`, `reward`, `baseline` and `mask` are of one shape; the gradient flows to `log_probability` alone. Without a baseline b is
/// 0, without a mask all counts.
///
/// # Errors
/// When the shapes differ.
pub fn reinforce(
    log_probability: &Tensor,
    reward: &Tensor,
    baseline: Option<&Tensor>,
    mask: Option<&Tensor>,
) -> Result<Tensor> {
    let reward = reward.detach();
    let advantage = baseline.map_or(Ok(reward.clone()), |baseline| reward - baseline.detach())?;
    mean((log_probability * advantage)?.neg()?, mask)
}

/// What teaches a learned baseline: Σ m (b − r)² / Σ m, a scalar whose gradient flows to `baseline` alone.
///
/// # Errors
/// When the shapes differ.
pub fn squared_error(baseline: &Tensor, reward: &Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
    mean((baseline - reward.detach())?.sqr()?, mask)
}

/// The mean of what counts; 0 where nothing does.
fn mean(values: Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
    let Some(mask) = mask else { return values.mean_all() };
    // In f32, which counts far enough, and on the device, which then need not be waited for.
    let mask = mask.detach().to_dtype(DType::F32)?;
    let count = mask.sum_all()?.maximum(1.0)?;
    (values.to_dtype(DType::F32)? * mask)?.sum_all()?.div(&count)
}

/// For each reward the mean of all the others: the baseline of several draws of one item (Luo 2020, "A better variant of self-critical
/// sequence training"); of a single one 0.
pub fn mean_of_others(rewards: &[f64]) -> Vec<f64> {
    let sum: f64 = rewards.iter().sum();
    rewards.iter().map(|reward| (sum - reward) / (rewards.len().max(2) - 1) as f64).collect()
}

/// The moving average of the rewards of earlier batches, b ← d b + (1 − d) mean r; the first batch's own mean before there are any.
#[derive(Clone, Debug, PartialEq)]
pub struct MovingAverage {
    /// d, how much of the average stays, from 0 to 1.
    pub decay: f64,
    /// b, once there is one.
    value: Option<f64>,
}

impl MovingAverage {
    /// An average of nothing yet.
    pub fn new(decay: f64) -> Self {
        Self { decay, value: None }
    }

    /// b, once there is one.
    pub fn value(&self) -> Option<f64> {
        self.value
    }

    /// Takes in the mean reward of a batch.
    pub fn update(&mut self, mean: f64) {
        self.value = Some(self.value.map_or(mean, |before| self.decay * before + (1.0 - self.decay) * mean));
    }

    /// b, for [`crate::Task::state`].
    pub fn state(&self) -> Value {
        self.value.into()
    }

    /// Takes back what [`Self::state`] gave; anything else is an average of nothing.
    pub fn restore(&mut self, state: &Value) {
        self.value = state.as_f64();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use candle_core::{D, Device, Var};
    use candlewick_kernels::softmax::{log_softmax, softmax};
    use candlewick_parameters::Rng;

    fn scalar(tensor: &Tensor) -> f64 {
        tensor.to_dtype(DType::F64).unwrap().to_scalar().unwrap()
    }

    #[test]
    fn the_loss_is_the_one_of_the_formula() {
        let tensor = |rows: [[f32; 2]; 2]| Tensor::new(&rows, &Device::Cpu).unwrap();
        let log_probability = tensor([[-1.0, -2.0], [-3.0, -4.0]]);
        let (reward, baseline) = (tensor([[1.0, 0.0], [0.5, 9.0]]), tensor([[0.5, 0.25], [0.0, 9.0]]));
        let mask = tensor([[1.0, 1.0], [1.0, 0.0]]);
        let found = reinforce(&log_probability, &reward, Some(&baseline), Some(&mask)).unwrap();
        assert!((scalar(&found) - (0.5 * 1.0 - 0.25 * 2.0 + 0.5 * 3.0) / 3.0).abs() < 1e-6);
        assert!(
            (scalar(&reinforce(&log_probability, &reward, None, None).unwrap()) - (1.0 + 1.5 + 36.0) / 4.0).abs()
                < 1e-6
        );
        let found = squared_error(&baseline, &reward, Some(&mask)).unwrap();
        assert!((scalar(&found) - (0.25 + 0.0625 + 0.25) / 3.0).abs() < 1e-6);
        let nothing = mask.zeros_like().unwrap();
        assert_eq!(scalar(&reinforce(&log_probability, &reward, None, Some(&nothing)).unwrap()), 0.0);
    }

    /// Over many draws the gradient is that of the expected reward, which three choices allow to be written out.
    #[test]
    fn on_average_the_gradient_is_that_of_the_expected_reward() {
        const DRAWS: usize = 20_000;
        let device = &Device::Cpu;
        let logits = Var::new(&[[0.3f32, -0.4, 0.9]], device).unwrap();
        let worth = [2.0f32, -1.0, 0.5];
        let expected = {
            let values = Tensor::new(&[worth], device).unwrap();
            let expected = (softmax(&logits, D::Minus1).unwrap() * values).unwrap().sum_all().unwrap();
            expected.backward().unwrap().get(logits.as_tensor()).unwrap().neg().unwrap().to_vec2::<f32>().unwrap()
        };
        let mut rng = Rng::derive(4, "draws", 0);
        let p = softmax(&logits, D::Minus1).unwrap().to_vec2::<f32>().unwrap();
        let drawn: Vec<u32> = (0..DRAWS).map(|_| rng.categorical(&p[0]) as u32).collect();
        let reward: Vec<f32> = drawn.iter().map(|&choice| worth[choice as usize]).collect();
        let log_p = log_softmax(&logits, D::Minus1).unwrap().broadcast_as((DRAWS, 3)).unwrap().contiguous().unwrap();
        let log_p = log_p.gather(&Tensor::from_vec(drawn, (DRAWS, 1), device).unwrap(), 1).unwrap();
        let reward = Tensor::from_vec(reward, (DRAWS, 1), device).unwrap();
        for baseline in [0f32, 0.7] {
            let baseline = Tensor::full(baseline, (DRAWS, 1), device).unwrap();
            let loss = reinforce(&log_p, &reward, Some(&baseline), None).unwrap();
            let found = loss.backward().unwrap().get(logits.as_tensor()).unwrap().to_vec2::<f32>().unwrap();
            for (found, wanted) in found[0].iter().zip(&expected[0]) {
                assert!((found - wanted).abs() < 0.02, "{found} instead of {wanted}");
            }
        }
    }

    #[test]
    fn neither_reward_nor_baseline_is_taught_by_the_choices() {
        let vars = [0.5f32, 1.5, 2.5].map(|value| Var::new(&[value], &Device::Cpu).unwrap());
        let [log_probability, reward, baseline] = vars.each_ref().map(Var::as_tensor);
        let gradients = reinforce(log_probability, reward, Some(baseline), None).unwrap().backward().unwrap();
        assert_eq!(gradients.get(log_probability).unwrap().to_vec1::<f32>().unwrap(), [1.0]);
        assert!(gradients.get(reward).is_none() && gradients.get(baseline).is_none());
        let gradients = squared_error(baseline, reward, None).unwrap().backward().unwrap();
        assert_eq!(gradients.get(baseline).unwrap().to_vec1::<f32>().unwrap(), [2.0]);
        assert!(gradients.get(reward).is_none());
    }

    #[test]
    fn baselines_are_means_of_what_else_there_is() {
        assert_eq!(mean_of_others(&[1.0, 2.0, 6.0]), [4.0, 3.5, 1.5]);
        assert_eq!(mean_of_others(&[3.0]), [0.0]);
        let mut average = MovingAverage::new(0.75);
        assert_eq!(average.value(), None);
        average.update(4.0);
        average.update(8.0);
        assert_eq!(average.value(), Some(5.0));
        let mut other = MovingAverage::new(0.75);
        other.restore(&average.state());
        assert_eq!(other, average);
        other.restore(&Value::Null);
        assert_eq!(other.value(), None);
    }
}
