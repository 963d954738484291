//! The three units that a search by mutation found to do as well as the LSTM and the GRU, or better.
//!
//! h' = z ⊙ tanh(W_hh (r ⊙ h) + a + b_h) + (1 − z) ⊙ h, where with x̂ = x, or P x where x is not as large as h,
//!
//! | unit | z | r | a |
//! | --- | --- | --- | --- |
//! | MUT1 | σ(W_xz x + b_z) | σ(W_xr x + W_hr h + b_r) | tanh(x̂) |
//! | MUT2 | σ(W_xz x + W_hz h + b_z) | σ(x̂ + W_hr h + b_r) | W_xh x |
//! | MUT3 | σ(W_xz x + W_hz tanh(h) + b_z) | σ(W_xr x + W_hr h + b_r) | W_xh x |
//!
//! Jozefowicz et al. 2015, "An empirical exploration of recurrent network architectures". The paper adds x to h's units as it is;
//! P is what makes that possible for inputs of any size.

use super::weights::{block, recurrent_initial};
use crate::cell::{BuildCell, Cell, SuffixedBuilder, dropped, state_of};
use crate::linear::project;
use candle_core::{D, Result, Tensor};
use candle_nn::ops::sigmoid;
use candlewick_parameters::Initial;
use serde::{Deserialize, Serialize};

/// One of the three units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mutant {
    /// Without a path from h to z.
    #[default]
    Mut1,
    /// With x itself in r.
    Mut2,
    /// With tanh(h) in z.
    Mut3,
}

impl Mutant {
    /// How many blocks W_ih has, of z, r, h: MUT1 has none for h, MUT2 none for r.
    fn input_blocks(self) -> usize {
        if self == Self::Mut3 { 3 } else { 2 }
    }

    /// How many blocks W_hh has, of z, r, h: MUT1 has none for z.
    fn state_blocks(self) -> usize {
        if self == Self::Mut1 { 2 } else { 3 }
    }
}

/// What can be chosen about a [`JozefowiczCell`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JozefowiczConfig {
    /// Which of the three units it is.
    pub mutant: Mutant,
    /// Whether there is `bias`.
    pub bias: bool,
    /// Whether each block of `weight_hh` starts orthogonal instead of uniform.
    pub orthogonal: bool,
}

impl Default for JozefowiczConfig {
    fn default() -> Self {
        Self { mutant: Mutant::Mut1, bias: true, orthogonal: false }
    }
}

/// The cell of MUT1, MUT2 or MUT3; its state is h (N, H).
///
/// `weight_ih` and `weight_hh` hold the blocks that the unit has in the order z, r, h; `bias` (3H) has all three. Where D is not H, MUT1
/// and MUT2 have P as `weight_x` (H, D).
#[derive(Clone, Debug)]
pub struct JozefowiczCell {
    mutant: Mutant,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias: Option<Tensor>,
    /// P (H, D).
    weight_x: Option<Tensor>,
}

impl BuildCell for JozefowiczCell {
    type Config = JozefowiczConfig;

    fn named(input_size: usize, hidden_size: usize, config: &JozefowiczConfig, vb: &SuffixedBuilder) -> Result<Self> {
        let &JozefowiczConfig { mutant, bias, orthogonal } = config;
        let (uniform, size) = (Initial::fan_in(hidden_size), hidden_size);
        let rows = size.saturating_mul(mutant.input_blocks());
        let weight_ih = vb.parameter((rows, input_size), "weight_ih", uniform.clone())?;
        let recurrent = recurrent_initial(orthogonal, mutant.state_blocks(), size);
        let rows = size.saturating_mul(mutant.state_blocks());
        let weight_hh = vb.parameter((rows, size), "weight_hh", recurrent)?;
        let bias = bias.then(|| vb.parameter(size.saturating_mul(3), "bias", uniform.clone())).transpose()?;
        let projects = mutant != Mutant::Mut3 && input_size != size;
        let weight_x = projects.then(|| vb.parameter((size, input_size), "weight_x", uniform)).transpose()?;
        Ok(Self { mutant, weight_ih, weight_hh, bias, weight_x })
    }
}

impl Cell for JozefowiczCell {
    fn state_sizes(&self) -> Vec<usize> {
        vec![self.weight_hh.dims().last().copied().unwrap_or(0)]
    }

    fn step(&self, x: &Tensor, state: &[Tensor]) -> Result<Vec<Tensor>> {
        self.step_projected(&self.project_input(x)?, state, None)
    }

    /// The sums of z, r and the candidate without what h adds to them: (.., D) to (.., 3H).
    fn project_input(&self, xs: &Tensor) -> Result<Tensor> {
        let sums = project(xs, &self.weight_ih, None)?;
        let input = |k| block(&sums, k, self.state_sizes()[0]);
        let direct = || self.weight_x.as_ref().map_or_else(|| Ok(xs.clone()), |weight| project(xs, weight, None));
        let sums = match self.mutant {
            Mutant::Mut1 => Tensor::cat(&[&sums, &direct()?.tanh()?], D::Minus1)?,
            Mutant::Mut2 => Tensor::cat(&[&input(0)?, &direct()?, &input(1)?], D::Minus1)?,
            Mutant::Mut3 => sums,
        };
        self.bias.as_ref().map_or(Ok(sums.clone()), |bias| sums.broadcast_add(bias))
    }

    fn step_projected(&self, sums: &Tensor, state: &[Tensor], mask: Option<&Tensor>) -> Result<Vec<Tensor>> {
        let ([h], size) = (state_of("jozefowicz", state)?, self.state_sizes()[0]);
        let sum = |k| block(sums, k, size);
        let recur = |h: &Tensor, k| project(&dropped(h, mask)?, &self.weight_hh.narrow(0, k * size, size)?, None);
        let (z, reset, candidate) = match self.mutant {
            Mutant::Mut1 => (sum(0)?, 0, 1),
            Mutant::Mut2 => ((sum(0)? + recur(h, 0)?)?, 1, 2),
            Mutant::Mut3 => ((sum(0)? + recur(&h.tanh()?, 0)?)?, 1, 2),
        };
        let (z, r) = (sigmoid(&z)?, sigmoid(&(sum(1)? + recur(h, reset)?)?)?);
        let new = (sum(2)? + recur(&(r * h)?, candidate)?)?.tanh()?;
        Ok(vec![(h + (z * (new - h)?)?)?])
    }

    fn parameters_mut(&mut self) -> Vec<&mut Tensor> {
        let Self { mutant: _, weight_ih, weight_hh, bias, weight_x } = self;
        [weight_ih, weight_hh].into_iter().chain(bias).chain(weight_x).collect()
    }

    fn recurrent_weights(&self) -> Vec<usize> {
        vec![1]
    }
}
