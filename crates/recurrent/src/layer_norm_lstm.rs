//! The long short-term memory with layer normalisation.
//!
//! i, f, g, o = the four blocks of LN₁(W_ih x) + LN₂(W_hh h); c' = σ(f) ⊙ c + σ(i) ⊙ tanh(g);
//! h' = σ(o) ⊙ tanh(LN₃(c')), where LN(a) = α ⊙ (a − mean) / √(variance + ε) + β over all of a row, ε = 1e-5.
//!
//! Ba et al. 2016, "Layer normalization". The paper's bias b is added to β₁ and β₂ and is one of them here.

use crate::cell::{Cell, CellConfig, advance_on_masked_h, bias_initial, block, recurrent_initial, zeros};
use crate::linear::project;
use crate::lstm::LstmState;
use candle_core::{DType, Device, Result, Tensor};
use candle_nn::ops::sigmoid;
use candlewick_kernels::norm::layer_norm;
use candlewick_parameters::{Initial, ParameterBuilder, VarBuilder};

/// PyTorch's ε.
const EPS: f64 = 1e-5;

/// The names of α and β: those of x's sums, of h's sums and of the memory.
const NORMS: [(&str, &str); 3] =
    [("weight_ln_ih", "bias_ln_ih"), ("weight_ln_hh", "bias_ln_hh"), ("weight_ln_c", "bias_ln_c")];

/// The cell of Ba et al. 2016: `weight_ih` (4H, D) and `weight_hh` (4H, H) with the gates in the order i, f, g, o.
///
/// α and β are `weight_ln_ih`, `bias_ln_ih`, `weight_ln_hh`, `bias_ln_hh` (4H), `weight_ln_c` and `bias_ln_c` (H); without `bias`
/// there is no β. `forget_bias` is the sum of the forget gate's β.
#[derive(Clone, Debug)]
pub struct LayerNormLstmCell {
    weight_ih: Tensor,
    weight_hh: Tensor,
    norms: [Norm; 3],
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
}

impl Cell for LayerNormLstmCell {
    type State = LstmState;

    fn with_suffix(
        input_size: usize,
        hidden_size: usize,
        config: &CellConfig,
        suffix: &str,
        vb: VarBuilder,
    ) -> Result<Self> {
        let rows = hidden_size.saturating_mul(4);
        let name = |part: &str| format!("{part}{suffix}");
        let weight_ih = vb.parameter((rows, input_size), &name("weight_ih"), Initial::fan_in(hidden_size))?;
        let recurrent = recurrent_initial(config, 4, hidden_size);
        let weight_hh = vb.parameter((rows, hidden_size), &name("weight_hh"), recurrent)?;
        let norm = |which: usize| {
            let ((weight, bias), size) = (NORMS[which], if which == 2 { hidden_size } else { rows });
            let weight = vb.parameter(size, &name(weight), Initial::Constant(1.0))?;
            // The two are always added, so one of them carries the wanted sum.
            let forget = config.forget_bias.filter(|_| which == 0).map(|value| (1, value));
            let initial = bias_initial(Initial::Constant(0.0), 4, forget);
            let bias = config.bias.then(|| vb.parameter(size, &name(bias), initial)).transpose()?;
            Result::Ok(Norm { weight, bias })
        };
        Ok(Self { weight_ih, weight_hh, norms: [norm(0)?, norm(1)?, norm(2)?] })
    }

    fn hidden_size(&self) -> usize {
        self.weight_hh.dims().last().copied().unwrap_or(0)
    }

    fn zero_state(&self, n: usize, dtype: DType, device: &Device) -> Result<LstmState> {
        let h = zeros(n, self.hidden_size(), dtype, device)?;
        Ok(LstmState { c: h.clone(), h })
    }

    fn step(&self, x: &Tensor, state: &LstmState) -> Result<LstmState> {
        self.advance(&self.prepare(x)?, state)
    }

    fn prepare(&self, xs: &Tensor) -> Result<Tensor> {
        self.norms[0].apply(&project(xs, &self.weight_ih, None)?)
    }

    fn advance(&self, from_x: &Tensor, state: &LstmState) -> Result<LstmState> {
        let [_, of_h, of_c] = &self.norms;
        let gates = (from_x + of_h.apply(&project(&state.h, &self.weight_hh, None)?)?)?;
        let gate = |k| block(&gates, k, self.hidden_size());
        let kept = (sigmoid(&gate(1)?)? * &state.c)?;
        let c = (kept + (sigmoid(&gate(0)?)? * gate(2)?.tanh()?)?)?;
        let h = (sigmoid(&gate(3)?)? * of_c.apply(&c)?.tanh()?)?;
        Ok(LstmState { h, c })
    }

    fn advance_masked(&self, prepared: &Tensor, state: &LstmState, mask: &Tensor) -> Result<LstmState> {
        advance_on_masked_h(self, prepared, state, mask)
    }

    fn parameters(&self) -> Vec<Tensor> {
        let norms = self.norms.iter().flat_map(|norm| std::iter::once(&norm.weight).chain(&norm.bias));
        [&self.weight_ih, &self.weight_hh].into_iter().chain(norms).cloned().collect()
    }

    fn with_parameters(&self, parameters: &[Tensor]) -> Result<Self> {
        let norm = |weight: &Tensor, bias| Norm { weight: weight.clone(), bias };
        let (weight_ih, weight_hh, norms) = match parameters {
            [ih, hh, w0, w1, w2] => (ih, hh, [norm(w0, None), norm(w1, None), norm(w2, None)]),
            [ih, hh, w0, b0, w1, b1, w2, b2] => {
                let norms = [(w0, b0), (w1, b1), (w2, b2)].map(|(w, b)| norm(w, Some(b.clone())));
                (ih, hh, norms)
            }
            other => candle_core::bail!("layer-normalised lstm: wants 5 or 8 parameters, got {}", other.len()),
        };
        Ok(Self { weight_ih: weight_ih.clone(), weight_hh: weight_hh.clone(), norms })
    }

    fn recurrent_weights(&self) -> Vec<usize> {
        vec![1]
    }
}
