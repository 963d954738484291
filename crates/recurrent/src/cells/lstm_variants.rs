//! The long short-term memory without one of its parts, or with one more.
//!
//! i = σ(W_i x + R_i h + p_i ⊙ c + b_i), f = σ(W_f x + R_f h + p_f ⊙ c + b_f), g = φ(W_g x + R_g h + b_g);
//! c' = f ⊙ c + i ⊙ g; o = σ(W_o x + R_o h + p_o ⊙ c' + b_o); h' = o ⊙ ψ(c'), with φ = ψ = tanh.
//!
//! Greff et al. 2017, "LSTM: a search space odyssey"; the peepholes p are of Gers and Schmidhuber 2000, "Recurrent nets
//! that time and count".

use super::weights::{ForgetBias, GateOptions, GateWeights, block};
use crate::cell::{BuildCell, Cell, SuffixedBuilder, dropped};
use crate::linear::project;
use candle_core::{Result, Tensor};
use candle_nn::ops::sigmoid;
use candlewick_parameters::Initial;
use serde::{Deserialize, Serialize};

/// The place of the output h (N, H) in the state.
pub const H: usize = 0;

/// The place of the memory c (N, H) in the state.
pub const C: usize = 1;

/// The place of the gates i, f, o side by side (N, 3H) in the state, where the next step reads them.
pub const GATES: usize = 2;

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

/// What can be chosen about an [`LstmVariantCell`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LstmVariantConfig {
    /// What is left out of the LSTM, or added to it.
    pub variant: LstmVariant,
    /// Whether the gates look at the memory, as they do in the paper.
    pub peepholes: bool,
    /// Whether there are `bias_ih` and `bias_hh`.
    pub bias: bool,
    /// What the forget gate's biases sum to at the start, instead of PyTorch's uniform values; for a variant that has the gate.
    pub forget_bias: Option<f64>,
    /// Whether each gate's part of `weight_hh` starts orthogonal instead of uniform.
    pub orthogonal: bool,
}

impl Default for LstmVariantConfig {
    fn default() -> Self {
        Self { variant: LstmVariant::Vanilla, peepholes: true, bias: true, forget_bias: None, orthogonal: false }
    }
}

/// A cell of Greff et al., with the blocks that its variant has in the order i, f, g, o; its state is h, c and where the next step reads
/// them the gates.
///
/// `weight_ih` (G·H, D), `weight_hh` (G·H, H), `bias_ih` and `bias_hh` (G·H) have a block for each; `weight_ch` holds the peepholes
/// and has one of H values for each gate; `weight_gh` (3H, 3H) leads from the last gates i, f, o to the next.
#[derive(Clone, Debug)]
pub struct LstmVariantCell {
    variant: LstmVariant,
    weights: GateWeights,
    /// p, block by block.
    peepholes: Option<Tensor>,
    /// From gates to gates (3H, 3H).
    from_gates: Option<Tensor>,
}

impl LstmVariantCell {
    /// The gate of these weighted sums, with what it sees of the memory c and of the gates before; `None` where it has no block, so that
    /// it is 1.
    fn gate(&self, part: Part, sums: &Tensor, c: &Tensor, before: Option<&Tensor>) -> Result<Option<Tensor>> {
        let (Some(place), Some(gate)) = (self.variant.place(part), self.variant.gate(part)) else { return Ok(None) };
        let size = self.weights.output_size();
        let mut sum = block(sums, place, size)?;
        if let Some(peepholes) = &self.peepholes {
            sum = (sum + c.broadcast_mul(&peepholes.narrow(0, gate * size, size)?)?)?;
        }
        if let Some(before) = before {
            sum = (sum + block(before, gate, size)?)?;
        }
        sigmoid(&sum).map(Some)
    }

    /// g, what there is to take into the memory.
    fn input(&self, sums: &Tensor) -> Result<Tensor> {
        let Some(place) = self.variant.place(Part::G) else {
            candle_core::bail!("lstm variant: {:?} has no block for the input", self.variant)
        };
        let g = block(sums, place, self.weights.output_size())?;
        if self.variant == LstmVariant::NoInputActivation { Ok(g) } else { g.tanh() }
    }
}

/// gate ⊙ value, where a gate that is not there is 1.
fn gated(gate: &Option<Tensor>, value: &Tensor) -> Result<Tensor> {
    gate.as_ref().map_or(Ok(value.clone()), |gate| gate * value)
}

impl BuildCell for LstmVariantCell {
    type Config = LstmVariantConfig;

    fn named(input_size: usize, hidden_size: usize, config: &LstmVariantConfig, vb: &SuffixedBuilder) -> Result<Self> {
        let &LstmVariantConfig { variant, peepholes, bias, forget_bias, orthogonal } = config;
        let (gates, uniform) = (variant.parts().len(), Initial::fan_in(hidden_size));
        let forget = match (variant.place(Part::F), forget_bias) {
            (Some(gate), value) => ForgetBias::new("lstm variant", gate, value, bias)?,
            (None, None) => None,
            (None, Some(value)) => {
                candle_core::bail!("lstm variant: forget_bias is {value:?}, but {variant:?} has no forget gate's bias")
            }
        };
        let (input, hidden, output) = (input_size, hidden_size, hidden_size);
        let options = GateOptions { gates, input, hidden, output, bias, orthogonal, forget };
        let weights = GateWeights::new(options, vb)?;
        let seen = (gates - 1).saturating_mul(hidden_size);
        let peepholes = peepholes.then(|| vb.parameter(seen, "weight_ch", uniform.clone())).transpose()?;
        let all = hidden_size.saturating_mul(3);
        let from_gates = (variant == LstmVariant::FullGateRecurrence)
            .then(|| vb.parameter((all, all), "weight_gh", uniform))
            .transpose()?;
        Ok(Self { variant, weights, peepholes, from_gates })
    }
}

impl Cell for LstmVariantCell {
    fn state_sizes(&self) -> Vec<usize> {
        let size = self.weights.output_size();
        [size, size].into_iter().chain(self.from_gates.as_ref().map(|_| 3 * size)).collect()
    }

    fn step(&self, x: &Tensor, state: &[Tensor]) -> Result<Vec<Tensor>> {
        self.step_projected(&self.project_input(x)?, state, None)
    }

    /// W x + b_ih + b_hh of the blocks that there are.
    fn project_input(&self, xs: &Tensor) -> Result<Tensor> {
        project(xs, &self.weights.weight_ih, self.weights.bias()?.as_ref())
    }

    fn step_projected(&self, from_x: &Tensor, state: &[Tensor], mask: Option<&Tensor>) -> Result<Vec<Tensor>> {
        let (h, c, before) = match (state, &self.from_gates) {
            ([h, c], None) => (h, c, None),
            ([h, c, gates], Some(weight)) => (h, c, Some(project(gates, weight, None)?)),
            _ => candle_core::bail!("lstm variant: wants a state of h, c and gates or none, got {}", state.len()),
        };
        let sums = (from_x + project(&dropped(h, mask)?, &self.weights.weight_hh, None)?)?;
        let gate = |part, c: &Tensor| self.gate(part, &sums, c, before.as_ref());
        let (i, mut f, g) = (gate(Part::I, c)?, gate(Part::F, c)?, self.input(&sums)?);
        if let (LstmVariant::CoupledGates, Some(i)) = (self.variant, &i) {
            f = Some(i.affine(-1.0, 1.0)?);
        }
        let c = (gated(&f, c)? + gated(&i, &g)?)?;
        let o = gate(Part::O, &c)?;
        let shown = if self.variant == LstmVariant::NoOutputActivation { c.clone() } else { c.tanh()? };
        let new = vec![gated(&o, &shown)?, c];
        let gates = self.from_gates.as_ref().and(i.zip(f).zip(o));
        let gates = gates.map(|((i, f), o)| Tensor::cat(&[i, f, o], 1)).transpose()?;
        Ok(new.into_iter().chain(gates).collect())
    }

    fn parameters_mut(&mut self) -> Vec<&mut Tensor> {
        self.weights.parameters_mut().into_iter().chain(&mut self.peepholes).chain(&mut self.from_gates).collect()
    }

    fn recurrent_weights(&self) -> Vec<usize> {
        // W_gh is the last of the parameters.
        let from_gates = self.from_gates.as_ref().map(|_| self.parameters().len() - 1);
        std::iter::once(GateWeights::WEIGHT_HH).chain(from_gates).collect()
    }
}
