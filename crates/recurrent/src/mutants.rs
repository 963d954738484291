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

use crate::cell::{Cell, CellConfig, block, recurrent_initial, zeros};
use crate::linear::project;
use candle_core::{D, DType, Device, Result, Tensor};
use candle_nn::ops::sigmoid;
use candlewick_parameters::{Initial, ParameterBuilder, VarBuilder};
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

/// The cell of MUT1, MUT2 or MUT3; its state is h (N, H).
///
/// `weight_ih` and `weight_hh` hold the blocks that the unit has in the order z, r, h; `bias` (3H) has all three. Where D is not H, MUT1
/// and MUT2 have P as `weight_x` (H, D).
#[derive(Clone, Debug)]
pub struct MutantCell {
    mutant: Mutant,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias: Option<Tensor>,
    /// P (H, D).
    weight_x: Option<Tensor>,
}

impl MutantCell {
    /// The formula, with what W_hh's blocks read of each of their inputs.
    fn unit(&self, sums: &Tensor, h: &Tensor, seen: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
        let size = self.hidden_size();
        let sum = |k| block(sums, k, size);
        let recur = |h: &Tensor, k| project(&seen(h)?, &self.weight_hh.narrow(0, k * size, size)?, None);
        let (z, reset, candidate) = match self.mutant {
            Mutant::Mut1 => (sum(0)?, 0, 1),
            Mutant::Mut2 => ((sum(0)? + recur(h, 0)?)?, 1, 2),
            Mutant::Mut3 => ((sum(0)? + recur(&h.tanh()?, 0)?)?, 1, 2),
        };
        let (z, r) = (sigmoid(&z)?, sigmoid(&(sum(1)? + recur(h, reset)?)?)?);
        let new = (sum(2)? + recur(&(r * h)?, candidate)?)?.tanh()?;
        h + (z * (new - h)?)?
    }
}

impl Cell for MutantCell {
    type State = Tensor;

    fn with_suffix(
        input_size: usize,
        hidden_size: usize,
        config: &CellConfig,
        suffix: &str,
        vb: VarBuilder,
    ) -> Result<Self> {
        let (mutant, uniform) = (config.mutant, Initial::fan_in(hidden_size));
        let name = |part: &str| format!("{part}{suffix}");
        let rows = mutant.input_blocks() * hidden_size;
        let weight_ih = vb.parameter((rows, input_size), &name("weight_ih"), uniform.clone())?;
        let recurrent = recurrent_initial(config, mutant.state_blocks(), hidden_size);
        let rows = mutant.state_blocks() * hidden_size;
        let weight_hh = vb.parameter((rows, hidden_size), &name("weight_hh"), recurrent)?;
        let bias = match config.bias {
            true => Some(vb.parameter(hidden_size.saturating_mul(3), &name("bias"), uniform.clone())?),
            false => None,
        };
        let weight_x = match mutant != Mutant::Mut3 && input_size != hidden_size {
            true => Some(vb.parameter((hidden_size, input_size), &name("weight_x"), uniform)?),
            false => None,
        };
        Ok(Self { mutant, weight_ih, weight_hh, bias, weight_x })
    }

    fn hidden_size(&self) -> usize {
        self.weight_hh.dims().last().copied().unwrap_or(0)
    }

    fn zero_state(&self, n: usize, dtype: DType, device: &Device) -> Result<Tensor> {
        zeros(n, self.hidden_size(), dtype, device)
    }

    fn step(&self, x: &Tensor, state: &Tensor) -> Result<Tensor> {
        self.advance(&self.prepare(x)?, state)
    }

    /// The sums of z, r and the candidate without what h adds to them: (.., D) to (.., 3H).
    fn prepare(&self, xs: &Tensor) -> Result<Tensor> {
        let sums = project(xs, &self.weight_ih, None)?;
        let input = |k| block(&sums, k, self.hidden_size());
        let direct = || self.weight_x.as_ref().map_or_else(|| Ok(xs.clone()), |weight| project(xs, weight, None));
        let sums = match self.mutant {
            Mutant::Mut1 => Tensor::cat(&[&sums, &direct()?.tanh()?], D::Minus1)?,
            Mutant::Mut2 => Tensor::cat(&[&input(0)?, &direct()?, &input(1)?], D::Minus1)?,
            Mutant::Mut3 => sums,
        };
        self.bias.as_ref().map_or(Ok(sums.clone()), |bias| sums.broadcast_add(bias))
    }

    fn advance(&self, sums: &Tensor, h: &Tensor) -> Result<Tensor> {
        self.unit(sums, h, |h| Ok(h.clone()))
    }

    fn advance_masked(&self, sums: &Tensor, h: &Tensor, mask: &Tensor) -> Result<Tensor> {
        self.unit(sums, h, |h| h * mask)
    }

    fn parameters(&self) -> Vec<Tensor> {
        let own = [&self.weight_ih, &self.weight_hh];
        own.into_iter().chain(&self.bias).chain(&self.weight_x).cloned().collect()
    }

    fn with_parameters(&self, parameters: &[Tensor]) -> Result<Self> {
        let [weight_ih, weight_hh, more @ ..] = parameters else {
            candle_core::bail!("mutant: wants two weights and more, got {} parameters", parameters.len())
        };
        let mut more = more.iter().cloned();
        Ok(Self {
            mutant: self.mutant,
            weight_ih: weight_ih.clone(),
            weight_hh: weight_hh.clone(),
            bias: self.bias.as_ref().and_then(|_| more.next()),
            weight_x: self.weight_x.as_ref().and_then(|_| more.next()),
        })
    }

    fn recurrent_weights(&self) -> Vec<usize> {
        vec![1]
    }
}
