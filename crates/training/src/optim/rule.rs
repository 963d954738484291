//! The formulas of the optimisers, each as a loop over slices and as candle's operations.
//!
//! g is the gradient, p the parameter, η the learning rate, λ the weight decay, t the step counted from 1; moments start
//! at 0. Both forms are PyTorch's.

use super::{AdamConfig, AdamWConfig, OptimizerConfig, RmsPropConfig, SgdConfig};
use candle_core::{Result, Tensor};

/// A piece of a parameter with its gradient and its state; state that the rule does not have is empty.
pub(super) struct Chunk<'a> {
    pub parameter: &'a mut [f32],
    pub gradient: &'a [f32],
    pub first: &'a mut [f32],
    pub second: &'a mut [f32],
}

/// What is the same for a whole parameter at one step.
#[derive(Clone, Copy)]
pub(super) struct Now {
    pub learning_rate: f64,
    /// The step of this parameter, counted from 1.
    pub step: usize,
    /// The factor on the gradient, from clipping.
    pub scale: f64,
}

/// An optimiser's formula.
#[derive(Clone, Copy)]
pub(super) enum Rule {
    /// g += λp (Adam) or p −= ηλp (AdamW); m = β₁m + (1−β₁)g; v = β₂v + (1−β₂)g²;
    /// p −= η/(1−β₁ᵗ) · m / (√v/√(1−β₂ᵗ) + ε). Kingma and Ba 2015, "Adam: a method for stochastic optimization";
    /// Loshchilov and Hutter 2019, "Decoupled weight decay regularization".
    Adam { betas: (f64, f64), eps: f64, weight_decay: f64, decoupled: bool },
    /// g += λp; b = μb + g; p −= ηb, or with Nesterov's momentum p −= η(g + μb).
    /// Sutskever et al. 2013, "On the importance of initialization and momentum in deep learning".
    Sgd { momentum: f64, nesterov: bool, weight_decay: f64 },
    /// g += λp; s = αs + (1−α)g²; b = μb + g/(√s + ε); p −= ηb. Tieleman and Hinton 2012, lecture 6.5.
    RmsProp { alpha: f64, eps: f64, momentum: f64, weight_decay: f64 },
}

impl From<&OptimizerConfig> for Rule {
    fn from(config: &OptimizerConfig) -> Self {
        match *config {
            OptimizerConfig::Adam(AdamConfig { betas, eps, weight_decay, .. }) => {
                Rule::Adam { betas, eps, weight_decay, decoupled: false }
            }
            OptimizerConfig::AdamW(AdamWConfig { betas, eps, weight_decay, .. }) => {
                Rule::Adam { betas, eps, weight_decay, decoupled: true }
            }
            OptimizerConfig::Sgd(SgdConfig { momentum, nesterov, weight_decay, .. }) => {
                Rule::Sgd { momentum, nesterov, weight_decay }
            }
            OptimizerConfig::RmsProp(RmsPropConfig { alpha, eps, momentum, weight_decay, .. }) => {
                Rule::RmsProp { alpha, eps, momentum, weight_decay }
            }
        }
    }
}

impl Rule {
    /// The names of the state tensors, as PyTorch's optimisers call them.
    pub fn state_names(&self) -> &'static [&'static str] {
        match self {
            Rule::Adam { .. } => &["exp_avg", "exp_avg_sq"],
            Rule::Sgd { momentum, .. } if *momentum > 0.0 => &["momentum_buffer"],
            Rule::Sgd { .. } => &[],
            Rule::RmsProp { momentum, .. } if *momentum > 0.0 => &["square_avg", "momentum_buffer"],
            Rule::RmsProp { .. } => &["square_avg"],
        }
    }

    /// One step over a piece, in place.
    pub fn step(&self, chunk: Chunk, now: Now) {
        let Chunk { parameter, gradient, first, second } = chunk;
        let (scale, lr) = (now.scale as f32, now.learning_rate as f32);
        match *self {
            Rule::Adam { betas, eps, weight_decay, decoupled } => {
                let shrink = if decoupled { (1.0 - now.learning_rate * weight_decay) as f32 } else { 1.0 };
                let decay = if decoupled { 0.0 } else { weight_decay as f32 };
                let (rate1, beta2, rate2) = ((1.0 - betas.0) as f32, betas.1 as f32, (1.0 - betas.1) as f32);
                let (size, root) = adam_factors(betas, now);
                let (size, root, eps) = (size as f32, root as f32, eps as f32);
                for (((p, &g), m), v) in parameter.iter_mut().zip(gradient).zip(first).zip(second) {
                    *p *= shrink;
                    let g = g * scale + decay * *p;
                    *m += rate1 * (g - *m);
                    *v = beta2 * *v + rate2 * g * g;
                    *p -= size * *m / (v.sqrt() / root + eps);
                }
            }
            Rule::Sgd { momentum, nesterov, weight_decay } => {
                let (momentum, decay) = (momentum as f32, weight_decay as f32);
                if momentum == 0.0 {
                    for (p, &g) in parameter.iter_mut().zip(gradient) {
                        *p -= lr * (g * scale + decay * *p);
                    }
                    return;
                }
                for ((p, &g), b) in parameter.iter_mut().zip(gradient).zip(first) {
                    let g = g * scale + decay * *p;
                    *b = momentum * *b + g;
                    *p -= lr * if nesterov { g + momentum * *b } else { *b };
                }
            }
            Rule::RmsProp { alpha, eps, momentum, weight_decay } => {
                let (rate, alpha, eps) = ((1.0 - alpha) as f32, alpha as f32, eps as f32);
                let (momentum, decay) = (momentum as f32, weight_decay as f32);
                let mut buffer = second.iter_mut();
                for ((p, &g), s) in parameter.iter_mut().zip(gradient).zip(first) {
                    let g = g * scale + decay * *p;
                    *s = alpha * *s + rate * g * g;
                    let mut direction = g / (s.sqrt() + eps);
                    if let Some(b) = buffer.next() {
                        *b = momentum * *b + direction;
                        direction = *b;
                    }
                    *p -= lr * direction;
                }
            }
        }
    }

    /// One step with candle's operations, on any device and type: the new parameter and the new state.
    pub fn reference(&self, p: &Tensor, g: &Tensor, state: &[Tensor], now: Now) -> Result<(Tensor, Vec<Tensor>)> {
        let g = if now.scale == 1.0 { g.clone() } else { (g * now.scale)? };
        let decayed = |g: Tensor, decay: f64| if decay == 0.0 { Ok(g) } else { g + (p * decay)? };
        match (*self, state) {
            (Rule::Adam { betas, eps, weight_decay, decoupled }, [m, v]) => {
                let shrink = if decoupled { 1.0 - now.learning_rate * weight_decay } else { 1.0 };
                let g = decayed(g, if decoupled { 0.0 } else { weight_decay })?;
                let m = ((m * betas.0)? + (&g * (1.0 - betas.0))?)?;
                let v = ((v * betas.1)? + (g.sqr()? * (1.0 - betas.1))?)?;
                let (size, root) = adam_factors(betas, now);
                let change = ((&m * size)? / ((v.sqrt()? / root)? + eps)?)?;
                Ok((((p * shrink)? - change)?, vec![m, v]))
            }
            (Rule::Sgd { weight_decay, .. }, []) => {
                Ok(((p - (decayed(g, weight_decay)? * now.learning_rate)?)?, vec![]))
            }
            (Rule::Sgd { momentum, nesterov, weight_decay }, [b]) => {
                let g = decayed(g, weight_decay)?;
                let b = ((b * momentum)? + &g)?;
                let direction = if nesterov { (g + (&b * momentum)?)? } else { b.clone() };
                Ok(((p - (direction * now.learning_rate)?)?, vec![b]))
            }
            (Rule::RmsProp { alpha, eps, momentum, weight_decay }, [s, rest @ ..]) => {
                let g = decayed(g, weight_decay)?;
                let s = ((s * alpha)? + (g.sqr()? * (1.0 - alpha))?)?;
                let mut direction = (g / (s.sqrt()? + eps)?)?;
                let mut state = vec![s];
                if let [b] = rest {
                    direction = ((b * momentum)? + direction)?;
                    state.push(direction.clone());
                }
                Ok(((p - (direction * now.learning_rate)?)?, state))
            }
            _ => candle_core::bail!("the optimizer's state is not this optimizer's"),
        }
    }
}

/// η/(1−β₁ᵗ) and √(1−β₂ᵗ).
fn adam_factors(betas: (f64, f64), now: Now) -> (f64, f64) {
    let t = now.step as i32;
    (now.learning_rate / (1.0 - betas.0.powi(t)), (1.0 - betas.1.powi(t)).sqrt())
}
