//! The long short-term memory with layer normalisation.
//!
//! i, f, g, o = the four blocks of LN₁(W_ih x) + LN₂(W_hh h); c' = σ(f) ⊙ c + σ(i) ⊙ tanh(g);
//! h' = σ(o) ⊙ tanh(LN₃(c')), where LN(a) = α ⊙ (a − mean) / √(variance + ε) + β over all of a row, ε = 1e-5.
//!
//! Ba et al. 2016, "Layer normalization". The paper's bias b is added to β₁ and β₂ and is one of them here.

use super::weights::{ForgetBias, bias_initial, recurrent_initial};
use crate::cell::{BuildCell, Cell, SuffixedBuilder, dropped, state_of};
use crate::linear::project;
use candle_core::{D, Result, Tensor};
use candle_nn::ops::sigmoid;
use candlewick_kernels::norm::layer_norm;
use candlewick_parameters::Initial;
use serde::{Deserialize, Serialize};

/// PyTorch's ε.
const EPS: f64 = 1e-5;

/// What can be chosen about a [`LayerNormLstmCell`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LayerNormLstmConfig {
    /// Whether there is β.
    pub bias: bool,
    /// What the forget gate's β₁ and β₂ sum to at the start, instead of 0.
    pub forget_bias: Option<f64>,
    /// Whether each gate's part of `weight_hh` starts orthogonal instead of uniform.
    pub orthogonal: bool,
}

impl Default for LayerNormLstmConfig {
    fn default() -> Self {
        Self { bias: true, forget_bias: None, orthogonal: false }
    }
}

/// The cell of Ba et al. 2016: `weight_ih` (4H, D) and `weight_hh` (4H, H) with the gates in the order i, f, g, o; its state is h and c as
/// [`super::lstm`] has them.
///
/// α and β are `weight_ln_ih`, `bias_ln_ih`, `weight_ln_hh`, `bias_ln_hh` (4H), `weight_ln_c` and `bias_ln_c` (H); without `bias`
/// there is no β.
#[derive(Clone, Debug)]
pub struct LayerNormLstmCell {
    weight_ih: Tensor,
    weight_hh: Tensor,
    ln_ih: Norm,
    ln_hh: Norm,
    ln_c: Norm,
}

/// α and β of one normalisation.
#[derive(Clone, Debug)]
struct Norm {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Norm {
    fn apply(&self, xs: &Tensor) -> Result<Tensor> {
        layer_norm(xs, Some(&self.weight), self.bias.as_ref(), EPS)
    }

    fn parameters_mut(&mut self) -> impl Iterator<Item = &mut Tensor> {
        std::iter::once(&mut self.weight).chain(&mut self.bias)
    }
}

impl BuildCell for LayerNormLstmCell {
    type Config = LayerNormLstmConfig;

    fn named(
        input_size: usize,
        hidden_size: usize,
        config: &LayerNormLstmConfig,
        vb: &SuffixedBuilder,
    ) -> Result<Self> {
        let rows = hidden_size.saturating_mul(4);
        let forget = ForgetBias::new("layer-normalised lstm", 1, config.forget_bias, config.bias)?;
        let weight_ih = vb.parameter((rows, input_size), "weight_ih", Initial::fan_in(hidden_size))?;
        let recurrent = recurrent_initial(config.orthogonal, 4, hidden_size);
        let weight_hh = vb.parameter((rows, hidden_size), "weight_hh", recurrent)?;
        let norm = |of: &str, size: usize, forget| {
            let weight = vb.parameter(size, &format!("weight_ln_{of}"), Initial::Constant(1.0))?;
            let initial = bias_initial(&Initial::Constant(0.0), 4, forget);
            let bias = config.bias.then(|| vb.parameter(size, &format!("bias_ln_{of}"), initial)).transpose()?;
            Result::Ok(Norm { weight, bias })
        };
        // β₁ and β₂ are always added, so one of them carries the wanted sum.
        let (ln_ih, ln_hh, ln_c) = (norm("ih", rows, forget)?, norm("hh", rows, None)?, norm("c", hidden_size, None)?);
        Ok(Self { weight_ih, weight_hh, ln_ih, ln_hh, ln_c })
    }
}

impl Cell for LayerNormLstmCell {
    fn state_sizes(&self) -> Vec<usize> {
        vec![self.weight_hh.dims().last().copied().unwrap_or(0); 2]
    }

    fn step(&self, x: &Tensor, state: &[Tensor]) -> Result<Vec<Tensor>> {
        self.step_projected(&self.project_input(x)?, state, None)
    }

    /// LN₁(W_ih x).
    fn project_input(&self, xs: &Tensor) -> Result<Tensor> {
        self.ln_ih.apply(&project(xs, &self.weight_ih, None)?)
    }

    fn step_projected(&self, from_x: &Tensor, state: &[Tensor], mask: Option<&Tensor>) -> Result<Vec<Tensor>> {
        let [h, c] = state_of("layer-normalised lstm", state)?;
        let from_h = self.ln_hh.apply(&project(&dropped(h, mask)?, &self.weight_hh, None)?)?;
        let gates = (from_x + from_h)?.chunk(4, D::Minus1)?;
        let (i, f) = (sigmoid(&gates[0])?, sigmoid(&gates[1])?);
        let (g, o) = (gates[2].tanh()?, sigmoid(&gates[3])?);
        let c = ((f * c)? + (i * g)?)?;
        let h = (o * self.ln_c.apply(&c)?.tanh()?)?;
        Ok(vec![h, c])
    }

    fn parameters_mut(&mut self) -> Vec<&mut Tensor> {
        let Self { weight_ih, weight_hh, ln_ih, ln_hh, ln_c } = self;
        let norms = [ln_ih, ln_hh, ln_c].into_iter().flat_map(Norm::parameters_mut);
        [weight_ih, weight_hh].into_iter().chain(norms).collect()
    }

    fn recurrent_weights(&self) -> Vec<usize> {
        vec![1]
    }
}
