//! How far the gradient reaches back through a recurrent network.
//!
//! For a loss L of the last output alone, ∂L/∂s_t = (∂s_{t+1}/∂s_t)ᵀ ∂L/∂s_{t+1} for each state s_t = (h_t, c_t ..). For the plain network
//! ∂h_{t+1}/∂h_t = diag(φ') W_hh, so the norm cannot grow faster, and for small h does shrink or grow about as fast, as powers of W_hh's
//! singular values.
//!
//! Clipped at a norm X, the gradient is cut at each step as it is carried back: g_T = clip(∂L/∂s_T) and
//! g_t = clip((∂s_{t+1}/∂s_t)ᵀ g_{t+1}) with clip(g) = g · min(1, X / ‖g‖), where ‖g‖ is over all tensors of the state together, all
//! rows and all units. So it keeps its direction and never exceeds X, however many steps it goes; where it vanishes, nothing changes.
//!
//! Bengio et al. 1994, "Learning long-term dependencies with gradient descent is difficult"; Pascanu et al. 2013, "On the difficulty of
//! training recurrent neural networks", which clips the norm of the parameters' gradient; Graves 2013, "Generating sequences with
//! recurrent neural networks", which clips at each step, unit by unit.

use crate::cell::Cell;
use candle_core::{DType, Device, Result, Tensor, Var};
use candlewick_kernels::node::backward;
use candlewick_parameters::Rng;

/// What [`gradient_flow`] measured of one cell.
#[derive(Clone, Debug, PartialEq)]
pub struct GradientFlow {
    /// For each tensor of the state, h first and then c where there is one: ‖∂L/∂s_t‖ after step t = 1 to T, or that of g_t where it
    /// was clipped.
    ///
    /// Each is the derivative with the rest of s_t held still, so that of c_T is 0: L reads h_T alone.
    pub norms: Vec<Vec<f64>>,
    /// The largest singular value of each block of H rows of the matrices from state to state: for the plain network that
    /// of W_hh, for the LSTM one for each gate.
    pub singular_values: Vec<f64>,
}

/// Follows the gradient of L = Σ h_T ⊙ `d_last`, or of Σ h_T, from the last step of xs (N, T, D) to the first.
///
/// `d_last` is (N, H). Norms are over all rows and units. `clip` is X, the norm at which the [gradient is clipped](self) at each step.
/// Memory is linear in T.
///
/// # Errors
/// When shapes do not fit together, there is no step, or `clip` is not above 0.
pub fn gradient_flow(
    cell: &dyn Cell,
    xs: &Tensor,
    state: &[Tensor],
    d_last: Option<&Tensor>,
    clip: Option<f64>,
) -> Result<GradientFlow> {
    if let Some(clip) = clip.filter(|clip| clip.is_nan() || *clip <= 0.0) {
        candle_core::bail!("gradient_flow: clip is {clip}, wants a norm above 0")
    }
    let (_, steps, _) = xs.dims3()?;
    let parameters: Vec<Tensor> = cell.parameters().iter().map(Tensor::detach).collect();
    let (cell, xs) = (cell.with_parameters(&parameters)?, xs.detach());
    let at = |t: usize| xs.narrow(1, t, 1)?.squeeze(1)?.contiguous();
    let mut states: Vec<Vec<Tensor>> = vec![state.iter().map(Tensor::detach).collect()];
    for t in 0..steps {
        let Some(before) = states.last() else { break };
        states.push(cell.step(&at(t)?, before)?);
    }
    let Some(last) = states.pop().filter(|_| steps > 0) else {
        candle_core::bail!("gradient_flow: wants T of at least 1")
    };
    let mut gradients: Vec<Tensor> = last.iter().map(Tensor::zeros_like).collect::<Result<_>>()?;
    if let (Some(first), Some(h)) = (gradients.first_mut(), last.first()) {
        *first = d_last.map_or_else(|| h.ones_like(), |d_last| d_last.broadcast_as(h.shape()))?;
    }
    let mut norms = vec![vec![0.0; steps]; last.len()];
    for (t, before) in states.iter().enumerate().rev() {
        gradients = clipped(gradients, clip)?;
        for (norms, gradient) in norms.iter_mut().zip(&gradients) {
            norms[t] = norm(gradient)?;
        }
        if t > 0 {
            gradients = back(cell.as_ref(), &at(t)?, before, &gradients)?;
        }
    }
    Ok(GradientFlow { norms, singular_values: singular_values(cell.as_ref())? })
}

/// The gradients of the state before a step from those of the state after it.
fn back(cell: &dyn Cell, x: &Tensor, before: &[Tensor], gradients: &[Tensor]) -> Result<Vec<Tensor>> {
    let variables: Vec<Var> = before.iter().map(Var::from_tensor).collect::<Result<_>>()?;
    let state: Vec<Tensor> = variables.iter().map(|variable| variable.as_tensor().clone()).collect();
    let after = cell.step(x, &state)?;
    let mut loss = Tensor::zeros((), x.dtype(), x.device())?;
    for (after, gradient) in after.iter().zip(gradients) {
        loss = (loss + (after * gradient)?.sum_all()?)?;
    }
    let store = backward(&loss)?;
    let found = |state: &Tensor| store.get(state).map_or_else(|| state.zeros_like(), |gradient| Ok(gradient.detach()));
    state.iter().map(found).collect()
}

/// The gradient of a state with a norm of at most X.
fn clipped(gradients: Vec<Tensor>, clip: Option<f64>) -> Result<Vec<Tensor>> {
    let Some(most) = clip else { return Ok(gradients) };
    let found = gradients.iter().map(|gradient| Ok(norm(gradient)?.powi(2))).sum::<Result<f64>>()?.sqrt();
    if found <= most { Ok(gradients) } else { gradients.iter().map(|gradient| gradient * (most / found)).collect() }
}

fn norm(tensor: &Tensor) -> Result<f64> {
    Ok(tensor.to_dtype(DType::F64)?.sqr()?.sum_all()?.to_scalar::<f64>()?.sqrt())
}

/// Those of all blocks of H rows of a cell's matrices from state to state.
fn singular_values(cell: &dyn Cell) -> Result<Vec<f64>> {
    let (parameters, sizes) = (cell.parameters(), cell.state_sizes());
    // H is the width of the memory where there is one, since the output may be projected.
    let size = sizes.get(1).or(sizes.first()).map_or(1, |&size| size.max(1));
    let mut values = Vec::new();
    for weight in cell.recurrent_weights().into_iter().filter_map(|place| parameters.get(place)) {
        for block in 0..weight.dim(0)? / size {
            values.push(largest_singular_value(&weight.narrow(0, block * size, size)?)?);
        }
    }
    Ok(values)
}

/// σ₁ of a matrix: the factor by which it stretches what it stretches most, by power iteration on WᵀW in f64.
///
/// It stops when the value changes by less than 1e-10 of itself, or after 10,000 rounds.
///
/// # Errors
/// When the tensor is not a matrix.
pub fn largest_singular_value(matrix: &Tensor) -> Result<f64> {
    let rows: Vec<Vec<f64>> = matrix.detach().to_dtype(DType::F64)?.to_device(&Device::Cpu)?.to_vec2()?;
    // A random beginning is, but for chance of measure 0, not at right angles to what is looked for.
    let mut rng = Rng::derive(0, "power iteration", 0);
    let mut v: Vec<f64> = (0..matrix.dim(1)?).map(|_| f64::from(rng.normal())).collect();
    let length = |v: &[f64]| v.iter().map(|x| x * x).sum::<f64>().sqrt();
    let mut value = 0.0;
    for _ in 0..10_000 {
        let size = length(&v);
        if size == 0.0 {
            return Ok(0.0);
        }
        v.iter_mut().for_each(|x| *x /= size);
        let image: Vec<f64> = rows.iter().map(|row| row.iter().zip(&v).map(|(a, b)| a * b).sum()).collect();
        let found = length(&image);
        if (found - value).abs() <= 1e-10 * found {
            return Ok(found);
        }
        value = found;
        v.fill(0.0);
        for (row, y) in rows.iter().zip(&image) {
            v.iter_mut().zip(row).for_each(|(x, a)| *x += a * y);
        }
    }
    Ok(value)
}
