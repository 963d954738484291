//! The minimal GRU and the minimal LSTM, whose gates read x alone, so that all steps are one parallel scan.
//!
//! minGRU: z = σ(W_z x + b_z), h̃ = W_h x + b_h; h' = (1 − z) ⊙ h + z ⊙ h̃.
//!
//! minLSTM: f = σ(W_f x + b_f), i = σ(W_i x + b_i), h̃ = W_h x + b_h; h' = f / (f + i) ⊙ h + i / (f + i) ⊙ h̃.
//!
//! Both are h_t = a_t ⊙ h_{t−1} + b_t with a in [0, 1]. Two such steps are one, h_{t+1} = a_{t+1} a_t ⊙ h_{t−1} + (a_{t+1} b_t + b_{t+1}), so
//! that ⌈log₂ T⌉ rounds which double the steps behind each a and b leave h itself. As no a exceeds 1 the products need no logarithms, and
//! h̃ may be negative, unlike in the paper's scan in log space.
//!
//! Feng et al. 2024, "Were RNNs all we needed?"; the scan is of Hillis and Steele 1986, "Data parallel algorithms".

use super::weights::{ForgetBias, bias_initial};
use crate::cell::{BuildCell, Cell, SuffixedBuilder, backwards, check_lengths, state_of};
use crate::linear::project;
use candle_core::{D, Result, Tensor};
use candlewick_kernels::activation::sigmoid;
use candlewick_parameters::Initial;
use serde::{Deserialize, Serialize};

/// What can be chosen about a [`MinGruCell`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MinGruConfig {
    /// Whether there is `bias_ih`.
    pub bias: bool,
}

impl Default for MinGruConfig {
    fn default() -> Self {
        Self { bias: true }
    }
}

/// The minimal GRU: `weight_ih` (2H, D) and `bias_ih` (2H) with the blocks z, h̃; its state is h (N, H).
#[derive(Clone, Debug)]
pub struct MinGruCell(InputWeights);

impl BuildCell for MinGruCell {
    type Config = MinGruConfig;

    fn named(input_size: usize, hidden_size: usize, config: &MinGruConfig, vb: &SuffixedBuilder) -> Result<Self> {
        let weight = vb.parameter((hidden_size.saturating_mul(2), input_size), "weight_ih", uniform(hidden_size))?;
        let bias = || vb.parameter(hidden_size.saturating_mul(2), "bias_ih", uniform(hidden_size));
        Ok(Self(InputWeights { weight, bias: config.bias.then(bias).transpose()? }))
    }
}

impl MinGruCell {
    /// z and h̃.
    fn gates(&self, from_x: &Tensor) -> Result<(Tensor, Tensor)> {
        let sums = from_x.chunk(2, D::Minus1)?;
        Ok((sigmoid(&sums[0])?, sums[1].clone()))
    }
}

impl Cell for MinGruCell {
    fn state_sizes(&self) -> Vec<usize> {
        vec![self.0.rows() / 2]
    }

    fn step(&self, x: &Tensor, state: &[Tensor]) -> Result<Vec<Tensor>> {
        self.step_projected(&self.project_input(x)?, state, None)
    }

    fn project_input(&self, xs: &Tensor) -> Result<Tensor> {
        self.0.project(xs)
    }

    fn step_projected(&self, from_x: &Tensor, state: &[Tensor], _: Option<&Tensor>) -> Result<Vec<Tensor>> {
        let ([h], (z, new)) = (state_of("min_gru", state)?, self.gates(from_x)?);
        Ok(vec![((z.affine(-1.0, 1.0)? * h)? + (z * new)?)?])
    }

    fn sequence(
        &self,
        xs: &Tensor,
        state: &[Tensor],
        lengths: Option<&[usize]>,
        reverse: bool,
    ) -> Result<(Tensor, Vec<Tensor>)> {
        let [h] = state_of("min_gru", state)?;
        let terms = |xs: &Tensor| {
            let (z, new) = self.gates(&self.project_input(xs)?)?;
            Ok((z.affine(-1.0, 1.0)?, (z * new)?))
        };
        scan_sequence(xs, h, lengths, reverse, terms)
    }

    fn parameters_mut(&mut self) -> Vec<&mut Tensor> {
        self.0.parameters_mut()
    }
}

/// What can be chosen about a [`MinLstmCell`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MinLstmConfig {
    /// Whether there is `bias_ih`.
    pub bias: bool,
    /// The forget gate's bias at the start, instead of PyTorch's uniform values; the paper finds that larger ones help.
    pub forget_bias: Option<f64>,
}

impl Default for MinLstmConfig {
    fn default() -> Self {
        Self { bias: true, forget_bias: None }
    }
}

/// The minimal LSTM: `weight_ih` (3H, D) and `bias_ih` (3H) with the blocks f, i, h̃; its state is h (N, H).
#[derive(Clone, Debug)]
pub struct MinLstmCell(InputWeights);

impl BuildCell for MinLstmCell {
    type Config = MinLstmConfig;

    fn named(input_size: usize, hidden_size: usize, config: &MinLstmConfig, vb: &SuffixedBuilder) -> Result<Self> {
        let forget = ForgetBias::new("min_lstm", 0, config.forget_bias, config.bias)?;
        let weight = vb.parameter((hidden_size.saturating_mul(3), input_size), "weight_ih", uniform(hidden_size))?;
        let initial = bias_initial(&uniform(hidden_size), 3, forget);
        let bias = || vb.parameter(hidden_size.saturating_mul(3), "bias_ih", initial);
        Ok(Self(InputWeights { weight, bias: config.bias.then(bias).transpose()? }))
    }
}

impl MinLstmCell {
    /// f / (f + i), i / (f + i) and h̃.
    fn gates(&self, from_x: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
        let sums = from_x.chunk(3, D::Minus1)?;
        let (f, i) = (sigmoid(&sums[0])?, sigmoid(&sums[1])?);
        let both = (&f + &i)?;
        Ok(((f / &both)?, (i / &both)?, sums[2].clone()))
    }
}

impl Cell for MinLstmCell {
    fn state_sizes(&self) -> Vec<usize> {
        vec![self.0.rows() / 3]
    }

    fn step(&self, x: &Tensor, state: &[Tensor]) -> Result<Vec<Tensor>> {
        self.step_projected(&self.project_input(x)?, state, None)
    }

    fn project_input(&self, xs: &Tensor) -> Result<Tensor> {
        self.0.project(xs)
    }

    fn step_projected(&self, from_x: &Tensor, state: &[Tensor], _: Option<&Tensor>) -> Result<Vec<Tensor>> {
        let ([h], (f, i, new)) = (state_of("min_lstm", state)?, self.gates(from_x)?);
        Ok(vec![((f * h)? + (i * new)?)?])
    }

    fn sequence(
        &self,
        xs: &Tensor,
        state: &[Tensor],
        lengths: Option<&[usize]>,
        reverse: bool,
    ) -> Result<(Tensor, Vec<Tensor>)> {
        let [h] = state_of("min_lstm", state)?;
        let terms = |xs: &Tensor| {
            let (f, i, new) = self.gates(&self.project_input(xs)?)?;
            Ok((f, (i * new)?))
        };
        scan_sequence(xs, h, lengths, reverse, terms)
    }

    fn parameters_mut(&mut self) -> Vec<&mut Tensor> {
        self.0.parameters_mut()
    }
}

/// W (G·H, D) and b (G·H), all that these cells have.
#[derive(Clone, Debug)]
struct InputWeights {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl InputWeights {
    fn rows(&self) -> usize {
        self.weight.dims().first().copied().unwrap_or(0)
    }

    fn project(&self, xs: &Tensor) -> Result<Tensor> {
        project(xs, &self.weight, self.bias.as_ref())
    }

    fn parameters_mut(&mut self) -> Vec<&mut Tensor> {
        std::iter::once(&mut self.weight).chain(&mut self.bias).collect()
    }
}

/// How PyTorch's recurrent layers start.
fn uniform(hidden_size: usize) -> Initial {
    Initial::fan_in(hidden_size)
}

/// [`Cell::sequence`] where `terms` gives a and b (N, T, H) of xs (N, T, D).
fn scan_sequence(
    xs: &Tensor,
    h: &Tensor,
    lengths: Option<&[usize]>,
    reverse: bool,
    terms: impl Fn(&Tensor) -> Result<(Tensor, Tensor)>,
) -> Result<(Tensor, Vec<Tensor>)> {
    check_lengths("min_rnn", xs, lengths)?;
    let (n, steps, _) = xs.dims3()?;
    let present = lengths
        .map(|lengths| {
            let has = lengths.iter().flat_map(|&length| (0..steps).map(move |t| u8::from(t < length)));
            Tensor::from_vec(has.collect(), (n, steps, 1), xs.device())
        })
        .transpose()?;
    // It chooses and does not multiply: what stands beyond a row's end may be no number.
    let choose = |there: &Tensor, beyond: Tensor| match &present {
        None => Ok(there.clone()),
        Some(present) => present.broadcast_as(there.shape())?.where_cond(there, &beyond),
    };
    let ordered = |xs: Tensor| if reverse { backwards(&xs) } else { Ok(xs) };
    let (a, b) = terms(&choose(xs, xs.zeros_like()?)?)?;
    // The state of a row that has ended stands still.
    let (a, b) = (choose(&a, a.ones_like()?)?, choose(&b, b.zeros_like()?)?);
    let hs = scan(ordered(a)?, ordered(b)?, h)?;
    let last = if steps > 0 { hs.narrow(1, steps - 1, 1)?.squeeze(1)? } else { h.clone() };
    let hs = ordered(hs)?;
    Ok((choose(&hs, hs.zeros_like()?)?, vec![last]))
}

/// h_t = a_t ⊙ h_{t−1} + b_t of all steps (N, T, H) from h_0 (N, H).
fn scan(mut a: Tensor, mut b: Tensor, h: &Tensor) -> Result<Tensor> {
    let steps = a.dim(1)?;
    let mut behind = 1;
    while behind < steps {
        // Each step takes up those that the step so many before it has taken up.
        let later = |xs: &Tensor| xs.narrow(1, behind, steps - behind);
        let earlier = |xs: &Tensor| xs.narrow(1, 0, steps - behind);
        let (product, sum) = ((later(&a)? * earlier(&a)?)?, (later(&b)? + (later(&a)? * earlier(&b)?)?)?);
        b = Tensor::cat(&[b.narrow(1, 0, behind)?, sum], 1)?;
        a = Tensor::cat(&[a.narrow(1, 0, behind)?, product], 1)?;
        behind *= 2;
    }
    a.broadcast_mul(&h.unsqueeze(1)?)? + b
}
