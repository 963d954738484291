//! The long short-term memory without one of its parts, or with one more.
//!
//! i = σ(W_i x + R_i h + p_i ⊙ c + b_i), f = σ(W_f x + R_f h + p_f ⊙ c + b_f), g = φ(W_g x + R_g h + b_g);
//! c' = f ⊙ c + i ⊙ g; o = σ(W_o x + R_o h + p_o ⊙ c' + b_o); h' = o ⊙ ψ(c'), with φ = ψ = tanh.
//!
//! Greff et al. 2017, "LSTM: a search space odyssey"; the peepholes p are of Gers and Schmidhuber 2000, "Recurrent nets
//! that time and count".

use crate::cell::{Cell, CellConfig, CellState, Weights, advance_on_masked_h, block, zeros};
use crate::linear::project;
use candle_core::{DType, Device, Result, Tensor};
use candle_nn::ops::sigmoid;
use candlewick_generation::SelectRows;
use candlewick_parameters::{Initial, ParameterBuilder, VarBuilder};
use serde::{Deserialize, Serialize};

/// What is left out of the LSTM, or added to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LstmVariant {
    /// All parts: V in the paper, and NP without peepholes.
    #[default]
    Vanilla,
    /// NIG: i = 1.
    NoInputGate,
    /// NFG: f = 1.
    NoForgetGate,
    /// NOG: o = 1.
    NoOutputGate,
    /// NIAF: φ(x) = x.
    NoInputActivation,
    /// NOAF: ψ(x) = x.
    NoOutputActivation,
    /// CIFG: f = 1 − i, without weights of its own.
    CoupledGates,
    /// FGR: all gates also read the i, f and o of the step before, through `weight_gh`.
    FullGateRecurrence,
}

/// A block of the weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    I,
    F,
    G,
    O,
}

impl LstmVariant {
    /// The blocks of the weights that there are, in their order.
    fn parts(self) -> &'static [Part] {
        match self {
            Self::NoInputGate => &[Part::F, Part::G, Part::O],
            Self::NoForgetGate | Self::CoupledGates => &[Part::I, Part::G, Part::O],
            Self::NoOutputGate => &[Part::I, Part::F, Part::G],
            _ => &[Part::I, Part::F, Part::G, Part::O],
        }
    }

    /// Where a part's block lies.
    fn place(self, part: Part) -> Option<usize> {
        self.parts().iter().position(|&other| other == part)
    }

    /// Where a gate's block lies among those of the gates alone, g left out.
    fn gate(self, part: Part) -> Option<usize> {
        self.parts().iter().filter(|&&other| other != Part::G).position(|&other| other == part)
    }
}

/// A cell of Greff et al., with the blocks that its variant has in the order i, f, g, o.
///
/// `weight_ih` (G·H, D), `weight_hh` (G·H, H), `bias_ih` and `bias_hh` (G·H) have a block for each; `weight_ch` holds the peepholes
/// and has one of H values for each gate; `weight_gh` (3H, 3H) leads from the last gates i, f, o to the next.
#[derive(Clone, Debug)]
pub struct LstmVariantCell {
    variant: LstmVariant,
    weights: Weights,
    /// p, block by block.
    peepholes: Option<Tensor>,
    /// From gates to gates (3H, 3H).
    from_gates: Option<Tensor>,
}

/// What a variant of the LSTM carries from step to step.
#[derive(Clone, Debug)]
pub struct LstmVariantState {
    /// The output (N, H).
    pub h: Tensor,
    /// The memory (N, H).
    pub c: Tensor,
    /// The gates i, f, o side by side (N, 3H), where the next step reads them.
    pub gates: Option<Tensor>,
}

impl CellState for LstmVariantState {
    fn tensors(&self) -> Vec<Tensor> {
        [&self.h, &self.c].into_iter().chain(&self.gates).cloned().collect()
    }

    fn from_tensors(tensors: &[Tensor]) -> Result<Self> {
        match tensors {
            [h, c, gates @ ..] if gates.len() < 2 => {
                Ok(Self { h: h.clone(), c: c.clone(), gates: gates.first().cloned() })
            }
            other => candle_core::bail!("lstm variant: wants the state's h, c and gates or none, got {}", other.len()),
        }
    }
}

impl SelectRows for LstmVariantState {
    fn select(&self, rows: &Tensor) -> Result<Self> {
        Ok(Self { h: self.h.select(rows)?, c: self.c.select(rows)?, gates: self.gates.select(rows)? })
    }
}

impl LstmVariantCell {
    /// The weighted sums of a gate, with what it sees of the memory c and of the gates before; `None` where it has no block.
    fn sum(&self, part: Part, sums: &Tensor, c: &Tensor, gates: Option<&Tensor>) -> Result<Option<Tensor>> {
        let (Some(place), Some(gate)) = (self.variant.place(part), self.variant.gate(part)) else { return Ok(None) };
        let size = self.hidden_size();
        let mut sum = block(sums, place, size)?;
        if let Some(peepholes) = &self.peepholes {
            sum = (sum + c.broadcast_mul(&peepholes.narrow(0, gate * size, size)?)?)?;
        }
        if let Some(gates) = gates {
            sum = (sum + block(gates, gate, size)?)?;
        }
        Ok(Some(sum))
    }

    /// g, what there is to take into the memory.
    fn read(&self, sums: &Tensor) -> Result<Tensor> {
        let Some(place) = self.variant.place(Part::G) else {
            candle_core::bail!("lstm variant: {:?} has no block for the input", self.variant)
        };
        let g = block(sums, place, self.hidden_size())?;
        if self.variant == LstmVariant::NoInputActivation { Ok(g) } else { g.tanh() }
    }
}

impl Cell for LstmVariantCell {
    type State = LstmVariantState;

    fn with_suffix(
        input_size: usize,
        hidden_size: usize,
        config: &CellConfig,
        suffix: &str,
        vb: VarBuilder,
    ) -> Result<Self> {
        let (variant, uniform) = (config.variant, Initial::fan_in(hidden_size));
        let parts = variant.parts().len();
        let sizes = (input_size, hidden_size, hidden_size);
        let weights = Weights::new(parts, sizes, config, variant.place(Part::F), suffix, &vb)?;
        let peepholes = match config.peepholes {
            true => Some(vb.parameter((parts - 1) * hidden_size, &format!("weight_ch{suffix}"), uniform.clone())?),
            false => None,
        };
        let from_gates = match variant {
            LstmVariant::FullGateRecurrence => Some(vb.parameter(
                (hidden_size.saturating_mul(3), hidden_size.saturating_mul(3)),
                &format!("weight_gh{suffix}"),
                uniform,
            )?),
            _ => None,
        };
        Ok(Self { variant, weights, peepholes, from_gates })
    }

    fn hidden_size(&self) -> usize {
        self.weights.output_size()
    }

    fn zero_state(&self, n: usize, dtype: DType, device: &Device) -> Result<LstmVariantState> {
        let size = self.hidden_size();
        let h = zeros(n, size, dtype, device)?;
        let gates = self.from_gates.as_ref().map(|_| zeros(n, 3 * size, dtype, device)).transpose()?;
        Ok(LstmVariantState { c: h.clone(), h, gates })
    }

    fn step(&self, x: &Tensor, state: &LstmVariantState) -> Result<LstmVariantState> {
        self.advance(&self.prepare(x)?, state)
    }

    fn prepare(&self, xs: &Tensor) -> Result<Tensor> {
        project(xs, &self.weights.weight_ih, self.weights.bias()?.as_ref())
    }

    fn advance(&self, from_x: &Tensor, state: &LstmVariantState) -> Result<LstmVariantState> {
        let sums = (from_x + project(&state.h, &self.weights.weight_hh, None)?)?;
        let before = match (&self.from_gates, &state.gates) {
            (Some(weight), Some(gates)) => Some(project(gates, weight, None)?),
            _ => None,
        };
        let gate = |part, c: &Tensor| self.sum(part, &sums, c, before.as_ref())?.as_ref().map(sigmoid).transpose();
        let g = self.read(&sums)?;
        let (i, mut f) = (gate(Part::I, &state.c)?, gate(Part::F, &state.c)?);
        if let (LstmVariant::CoupledGates, Some(i)) = (self.variant, &i) {
            f = Some(i.affine(-1.0, 1.0)?);
        }
        // A gate that is not there is 1.
        let gated =
            |gate: &Option<Tensor>, value: &Tensor| gate.as_ref().map_or(Ok(value.clone()), |gate| gate * value);
        let c = (gated(&f, &state.c)? + gated(&i, &g)?)?;
        let o = gate(Part::O, &c)?;
        let shown = if self.variant == LstmVariant::NoOutputActivation { c.clone() } else { c.tanh()? };
        let gates = match (&self.from_gates, i, f, &o) {
            (Some(_), Some(i), Some(f), Some(o)) => Some(Tensor::cat(&[&i, &f, o], 1)?),
            _ => None,
        };
        Ok(LstmVariantState { h: gated(&o, &shown)?, c, gates })
    }

    fn advance_masked(&self, prepared: &Tensor, state: &LstmVariantState, mask: &Tensor) -> Result<LstmVariantState> {
        advance_on_masked_h(self, prepared, state, mask)
    }

    fn parameters(&self) -> Vec<Tensor> {
        self.weights.tensors().into_iter().chain(self.peepholes.clone()).chain(self.from_gates.clone()).collect()
    }

    fn with_parameters(&self, parameters: &[Tensor]) -> Result<Self> {
        let extra = usize::from(self.peepholes.is_some()) + usize::from(self.from_gates.is_some());
        let Some((weights, extra)) = parameters.len().checked_sub(extra).map(|at| parameters.split_at(at)) else {
            candle_core::bail!("lstm variant: {} parameters are too few", parameters.len())
        };
        let mut extra = extra.iter().cloned();
        Ok(Self {
            variant: self.variant,
            weights: Weights::from_tensors(weights)?,
            peepholes: self.peepholes.as_ref().and_then(|_| extra.next()),
            from_gates: self.from_gates.as_ref().and_then(|_| extra.next()),
        })
    }

    fn recurrent_weights(&self) -> Vec<usize> {
        // W_gh is the last of the parameters.
        std::iter::once(1).chain(self.from_gates.as_ref().map(|_| self.parameters().len() - 1)).collect()
    }
}
