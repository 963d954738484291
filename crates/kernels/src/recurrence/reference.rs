//! RNN, LSTM and GRU in candle's tensor operations, with backpropagation through time by hand: any type of float, any device.

use super::steps::{Mask, Steps, stack_steps, step_of};
use super::{Cell, Gru, Input, Lstm, Nonlinearity, Recurrence, Rnn};
use crate::activation::reference::{relu, relu_gradient, sigmoid_grad, tanh_grad};
use crate::linear::linear;
use crate::node::{Call, Operation, Value, apply_array};
use candle_core::{D, Result, Tensor};
use candle_nn::ops::sigmoid;

/// One step of one cell for the whole batch.
pub trait Formula: Cell {
    /// The new state from the projected input, W_hh h (+ b_hh) and the state; and what backward needs.
    fn forward(&self, projected: &Tensor, hidden: &Tensor, state: &[Tensor]) -> Result<(Vec<Tensor>, Vec<Tensor>)>;

    /// The gradients of the projected input, of W_hh h, and of the state other than through W_hh.
    fn backward(&self, saved: &[Tensor], state: &[Tensor], d_new: &[Tensor]) -> Result<(Tensor, Tensor, Vec<Tensor>)>;
}

/// The whole sequence: all inputs are projected, and then one node takes the steps.
pub fn recurrence<K: Formula, const N: usize>(cell: K, steps: Steps, call: &Recurrence) -> Result<[Tensor; N]> {
    let projected = match call.input {
        Input::Projected(projected) => steps.zero_padding(projected)?,
        Input::Sequence { xs, weight, bias } => {
            let (n, t, d) = xs.dims3()?;
            linear(&steps.zero_padding(xs)?.reshape((n * t, d))?, weight, bias)?.reshape((n, t, ()))?
        }
    };
    let inputs: Vec<&Tensor> =
        [&projected, call.w_hh].into_iter().chain(call.states.iter().copied()).chain(call.b_hh).collect();
    apply_array(SequenceOp { cell, steps }, &inputs)
}

/// The whole sequence on projected, w_hh, h0 and then c0 or b_hh.
pub struct SequenceOp<K> {
    pub cell: K,
    pub steps: Steps,
}

/// The state before a step, and what the step kept.
pub struct SavedStep {
    state: Vec<Tensor>,
    saved: Vec<Tensor>,
}

impl<K: Formula> Operation for SequenceOp<K> {
    const NAME: &'static str = K::NAME;
    /// In the order of the recurrence.
    type Saved = Vec<SavedStep>;

    fn forward(&self, inputs: &[Tensor], saved: bool) -> Result<(Vec<Value>, Vec<SavedStep>)> {
        let (projected, w) = (&inputs[0], inputs[1].t()?);
        let (first, bias) = (&inputs[2..2 + K::STATES], inputs.get(2 + K::STATES));
        let mut state = first.to_vec();
        let (mut out, mut kept) = (Vec::new(), Vec::new());
        let masks = self.steps.masks(projected.device())?;
        for t in self.steps.order() {
            let hidden = state[0].matmul(&w)?;
            let hidden = bias.map_or(Ok(hidden.clone()), |bias| hidden.broadcast_add(bias))?;
            let (new, left) = self.cell.forward(&step_of(projected, t)?, &hidden, &state)?;
            let (output, new) = masks.advance(t, new, &state)?;
            out.push(output);
            let state = std::mem::replace(&mut state, new);
            if saved {
                kept.push(SavedStep { state, saved: left });
            }
        }
        let out = stack_steps(&self.steps, self.steps.order(), &out, &first[0].zeros_like()?)?;
        Ok((std::iter::once(out).chain(state).map(Value::from).collect(), kept))
    }

    fn backward(&self, call: &Call<Vec<SavedStep>>, gradients: &[Tensor]) -> Result<Vec<Option<Tensor>>> {
        let (projected, w) = (&call.inputs[0], &call.inputs[1]);
        let mut d_state = gradients[1..].to_vec();
        let (mut d_projected, mut d_hidden, mut before) = (Vec::new(), Vec::new(), Vec::new());
        let masks = self.steps.masks(projected.device())?;
        for (t, step) in self.steps.order().zip(call.saved).rev() {
            let (d_new, kept) = split_gradient(masks.of(t)?.as_ref(), &d_state, &step_of(&gradients[0], t)?)?;
            let (from_projected, from_hidden, d_old) = self.cell.backward(&step.saved, &step.state, &d_new)?;
            d_state = with_first(&d_old, &from_hidden.matmul(w)?)?;
            if let Some(kept) = kept {
                d_state = d_state.iter().zip(&kept).map(|(a, b)| a + b).collect::<Result<_>>()?;
            }
            d_projected.push(from_projected);
            d_hidden.push(from_hidden);
            before.push(step.state[0].clone());
        }
        self.gathered(call, d_state, &d_projected, &d_hidden, &before)
    }
}

impl<K: Formula> SequenceOp<K> {
    /// The gradients of the inputs: those of the weights as one product over all steps.
    fn gathered(
        &self,
        call: &Call<Vec<SavedStep>>,
        d_state: Vec<Tensor>,
        d_projected: &[Tensor],
        d_hidden: &[Tensor],
        before: &[Tensor],
    ) -> Result<Vec<Option<Tensor>>> {
        let projected = &call.inputs[0];
        let zero = projected.zeros_like()?;
        let zero = if self.steps.count > 0 { zero.narrow(1, 0, 1)?.squeeze(1)? } else { zero };
        let d_projected = match d_projected {
            [] => projected.zeros_like()?,
            parts => stack_steps(&self.steps, self.steps.order().rev(), parts, &zero)?,
        };
        let (mut d_w, mut d_bias) = (None, None);
        if !d_hidden.is_empty() {
            let d_hidden = Tensor::cat(d_hidden, 0)?;
            d_w = Some(d_hidden.t()?.matmul(&Tensor::cat(before, 0)?)?);
            d_bias = Some(d_hidden.sum(0)?);
        }
        let mut found = vec![Some(d_projected), d_w];
        found.extend(d_state.into_iter().map(Some));
        if call.inputs.len() > 2 + K::STATES {
            found.push(d_bias);
        }
        Ok(found)
    }
}

/// The gradients of a step's new state, and of the state of the rows that do not have the step.
pub fn split_gradient(
    mask: Option<&Mask>,
    d_state: &[Tensor],
    d_out: &Tensor,
) -> Result<(Vec<Tensor>, Option<Vec<Tensor>>)> {
    let d_new = with_first(d_state, d_out)?;
    let Some(mask) = mask else { return Ok((d_new, None)) };
    let kept = d_new.iter().map(|gradient| mask.present(gradient)).collect::<Result<_>>()?;
    Ok((kept, Some(d_state.iter().map(|gradient| mask.absent(gradient)).collect::<Result<_>>()?)))
}

/// The tensors, with `more` added to the first.
fn with_first(tensors: &[Tensor], more: &Tensor) -> Result<Vec<Tensor>> {
    let mut sums = tensors.to_vec();
    sums[0] = (&sums[0] + more)?;
    Ok(sums)
}

impl Formula for Rnn {
    fn forward(&self, projected: &Tensor, hidden: &Tensor, _: &[Tensor]) -> Result<(Vec<Tensor>, Vec<Tensor>)> {
        let sum = (projected + hidden)?;
        let h = match self.0 {
            Nonlinearity::Tanh => sum.tanh()?,
            Nonlinearity::Relu => relu(&sum)?,
        };
        Ok((vec![h.clone()], vec![h]))
    }

    fn backward(&self, saved: &[Tensor], _: &[Tensor], d_new: &[Tensor]) -> Result<(Tensor, Tensor, Vec<Tensor>)> {
        let d = match self.0 {
            Nonlinearity::Tanh => (&d_new[0] * tanh_grad(&saved[0])?)?,
            Nonlinearity::Relu => relu_gradient(&saved[0], &d_new[0])?,
        };
        Ok((d.clone(), d.clone(), vec![d.zeros_like()?]))
    }
}

impl Formula for Lstm {
    fn forward(&self, projected: &Tensor, hidden: &Tensor, state: &[Tensor]) -> Result<(Vec<Tensor>, Vec<Tensor>)> {
        let gates = (projected + hidden)?.chunk(4, D::Minus1)?;
        let (i, f) = (sigmoid(&gates[0])?, sigmoid(&gates[1])?);
        let (g, o) = (gates[2].tanh()?, sigmoid(&gates[3])?);
        let c = ((&f * &state[1])? + (&i * &g)?)?;
        let tanh_c = c.tanh()?;
        Ok((vec![(&o * &tanh_c)?, c], vec![i, f, g, o, tanh_c]))
    }

    fn backward(&self, saved: &[Tensor], state: &[Tensor], d_new: &[Tensor]) -> Result<(Tensor, Tensor, Vec<Tensor>)> {
        let [i, f, g, o, tanh_c] = saved else { candle_core::bail!("lstm: the gates were not kept") };
        let dh = &d_new[0];
        let dc = (&d_new[1] + ((dh * o)? * tanh_grad(tanh_c)?)?)?;
        let di = ((&dc * g)? * sigmoid_grad(i)?)?;
        let df = ((&dc * &state[1])? * sigmoid_grad(f)?)?;
        let dg = ((&dc * i)? * tanh_grad(g)?)?;
        let d_o = ((dh * tanh_c)? * sigmoid_grad(o)?)?;
        let d = Tensor::cat(&[di, df, dg, d_o], D::Minus1)?;
        Ok((d.clone(), d, vec![dh.zeros_like()?, (dc * f)?]))
    }
}

impl Formula for Gru {
    fn forward(&self, projected: &Tensor, hidden: &Tensor, state: &[Tensor]) -> Result<(Vec<Tensor>, Vec<Tensor>)> {
        let (p, u) = (projected.chunk(3, D::Minus1)?, hidden.chunk(3, D::Minus1)?);
        let r = sigmoid(&(&p[0] + &u[0])?)?;
        let z = sigmoid(&(&p[1] + &u[1])?)?;
        let n = (&p[2] + (&r * &u[2])?)?.tanh()?;
        let h = ((z.affine(-1.0, 1.0)? * &n)? + (&z * &state[0])?)?;
        Ok((vec![h], vec![r, z, n, u[2].clone()]))
    }

    fn backward(&self, saved: &[Tensor], state: &[Tensor], d_new: &[Tensor]) -> Result<(Tensor, Tensor, Vec<Tensor>)> {
        let [r, z, n, u] = saved else { candle_core::bail!("gru: the gates were not kept") };
        let dh = &d_new[0];
        let dn = ((dh * z.affine(-1.0, 1.0)?)? * tanh_grad(n)?)?;
        let dr = ((&dn * u)? * sigmoid_grad(r)?)?;
        let dz = ((dh * (&state[0] - n)?)? * sigmoid_grad(z)?)?;
        let d_projected = Tensor::cat(&[&dr, &dz, &dn], D::Minus1)?;
        let d_hidden = Tensor::cat(&[&dr, &dz, &(&dn * r)?], D::Minus1)?;
        Ok((d_projected, d_hidden, vec![(dh * z)?]))
    }
}
