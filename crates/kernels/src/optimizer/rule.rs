//! The formulas of the optimisers.
//!
//! g is the gradient, p the parameter, η the learning rate, λ the weight decay, t the step counted from 1; moments start
//! at 0. All are PyTorch's.

/// What is the same for a whole parameter at one step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub learning_rate: f64,
    /// The step of this parameter, counted from 1.
    pub step: usize,
    /// The factor on the gradient, from clipping.
    pub scale: f64,
}

/// An optimiser's formula.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// g += λp (Adam) or p −= ηλp (AdamW); m = β₁m + (1−β₁)g; v = β₂v + (1−β₂)g²;
    /// p −= η/(1−β₁ᵗ) · m / (√v/√(1−β₂ᵗ) + ε). Kingma and Ba 2015, "Adam: a method for stochastic optimization";
    /// Loshchilov and Hutter 2019, "Decoupled weight decay regularization".
    Adam {
        /// β₁ and β₂.
        betas: (f64, f64),
        /// ε.
        eps: f64,
        /// λ.
        weight_decay: f64,
        /// Whether it is AdamW.
        decoupled: bool,
    },
    /// g += λp; b = μb + g; p −= ηb, or with Nesterov's momentum p −= η(g + μb).
    /// Sutskever et al. 2013, "On the importance of initialization and momentum in deep learning".
    Sgd {
        /// μ.
        momentum: f64,
        /// Whether the momentum is Nesterov's.
        nesterov: bool,
        /// λ.
        weight_decay: f64,
    },
    /// g += λp; s = αs + (1−α)g²; b = μb + g/(√s + ε); p −= ηb. Tieleman and Hinton 2012, lecture 6.5.
    RmsProp {
        /// α.
        alpha: f64,
        /// ε.
        eps: f64,
        /// μ.
        momentum: f64,
        /// λ.
        weight_decay: f64,
    },
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
}

/// η/(1−β₁ᵗ) and √(1−β₂ᵗ).
pub(super) fn adam_factors(betas: (f64, f64), now: Now) -> (f64, f64) {
    let t = now.step as i32;
    (now.learning_rate / (1.0 - betas.0.powi(t)), (1.0 - betas.1.powi(t)).sqrt())
}
