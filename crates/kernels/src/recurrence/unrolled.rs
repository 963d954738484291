//! Any cell over a whole sequence as one node of the graph.

use super::reference::split_gradient;
use super::steps::{Steps, stack_steps, step_of};
use crate::node::{Call, Gradients, Operation, Value, apply};
use candle_core::{Result, Tensor, Var};

/// A cell given as a function, over a whole sequence, with candle's gradient of one step at a time.
///
/// `step(x_t (N, D), state, parameters)` gives the new state, whose first tensor is also the step's output; it must be made
/// of differentiable operations and depend on nothing that wants a gradient but its arguments. `xs` is (N, T, D), each state
/// tensor has N rows. Gives the outputs (N, T, H) and the last state. The backward pass runs each step again, from the last
/// to the first, and keeps only the states between the steps: memory is linear in T and nothing recurses over T.
///
/// # Errors
/// When a shape does not fit, a length exceeds T, there is no state, or the step fails or changes the number of states.
pub fn unrolled<F>(
    step: F,
    xs: &Tensor,
    state: &[Tensor],
    parameters: &[Tensor],
    lengths: Option<&[usize]>,
    reverse: bool,
) -> Result<(Tensor, Vec<Tensor>)>
where
    F: Fn(&Tensor, &[Tensor], &[Tensor]) -> Result<Vec<Tensor>> + Send + Sync + 'static,
{
    let (n, t, _) = xs.dims3()?;
    if state.is_empty() {
        candle_core::bail!("unrolled: wants at least one state tensor, the output first")
    }
    if let Some(tensor) = state.iter().find(|tensor| tensor.dims().first() != Some(&n)) {
        candle_core::bail!("unrolled: wants states of {n} rows, got {:?}", tensor.dims())
    }
    let steps = Steps::new("unrolled", n, t, lengths, reverse)?;
    let xs = steps.zero_padding(xs)?;
    let inputs: Vec<&Tensor> = std::iter::once(&xs).chain(state).chain(parameters).collect();
    let mut outputs = apply(Unrolled { step, steps, states: state.len() }, &inputs)?.into_iter();
    match outputs.next() {
        Some(out) => Ok((out, outputs.collect())),
        None => candle_core::bail!("unrolled: an output is missing"),
    }
}

struct Unrolled<F> {
    step: F,
    steps: Steps,
    states: usize,
}

impl<F> Operation for Unrolled<F>
where
    F: Fn(&Tensor, &[Tensor], &[Tensor]) -> Result<Vec<Tensor>> + Send + Sync + 'static,
{
    const NAME: &'static str = "unrolled";
    /// The state before each step, in the order of the recurrence.
    type Saved = Vec<Vec<Tensor>>;

    fn forward(&self, inputs: &[Tensor], saved: bool) -> Result<(Vec<Value>, Self::Saved)> {
        let (xs, parameters) = (&inputs[0], &inputs[1 + self.states..]);
        let mut state = inputs[1..1 + self.states].to_vec();
        let zero = state[0].zeros_like()?;
        let (mut out, mut kept) = (Vec::new(), Vec::new());
        let masks = self.steps.masks(xs.device())?;
        for t in self.steps.order() {
            let new = self.call(&step_of(xs, t)?, &state, parameters)?;
            let (output, new) = masks.advance(t, new, &state)?;
            out.push(output);
            let before = std::mem::replace(&mut state, new);
            if saved {
                kept.push(before);
            }
        }
        let out = stack_steps(&self.steps, self.steps.order(), &out, &zero)?;
        Ok((std::iter::once(out).chain(state).map(Value::from).collect(), kept))
    }

    fn backward(&self, call: &Call<Self::Saved>, gradients: &[Tensor]) -> Result<Vec<Option<Tensor>>> {
        let split = 1 + self.states;
        let xs = &call.inputs[0];
        let parameters = call.inputs[split..].iter().zip(&call.wanted[split..]);
        let parameters: Vec<Tensor> = parameters
            .map(|(tensor, &wanted)| if wanted { variable(tensor) } else { Ok(tensor.clone()) })
            .collect::<Result<_>>()?;
        let mut found = Gradients::default();
        let mut d_state = gradients[1..].to_vec();
        let mut d_xs = Vec::new();
        let masks = self.steps.masks(xs.device())?;
        for (t, before) in self.steps.order().zip(call.saved).rev() {
            let x = if call.wanted[0] { variable(&step_of(xs, t)?)? } else { step_of(xs, t)? };
            let state: Vec<Tensor> = before.iter().map(variable).collect::<Result<_>>()?;
            let new = self.call(&x, &state, &parameters)?;
            let (inner, kept) = split_gradient(masks.of(t)?.as_ref(), &d_state, &step_of(&gradients[0], t)?)?;
            let mut loss: Option<Tensor> = None;
            for (new, gradient) in new.iter().zip(&inner) {
                let part = (new * gradient)?.sum_all()?;
                loss = Some(loss.map_or(Ok(part.clone()), |loss| loss + part)?);
            }
            let Some(loss) = loss.filter(Tensor::track_op) else {
                candle_core::bail!("unrolled: the step's outputs do not depend on its arguments")
            };
            found.backward(&loss)?;
            let mut or_zero = |tensor: &Tensor| found.take(tensor)?.map_or_else(|| tensor.zeros_like(), Ok);
            d_state = state.iter().map(&mut or_zero).collect::<Result<_>>()?;
            if call.wanted[0] {
                d_xs.push(or_zero(&x)?);
            }
            if let Some(kept) = kept {
                d_state = d_state.iter().zip(&kept).map(|(a, b)| a + b).collect::<Result<_>>()?;
            }
        }
        let d_xs = match d_xs.first() {
            None => None,
            Some(first) => Some(stack_steps(&self.steps, self.steps.order().rev(), &d_xs, &first.zeros_like()?)?),
        };
        let of_parameters = parameters.iter().map(|parameter| found.take(parameter)).collect::<Result<Vec<_>>>()?;
        Ok(std::iter::once(d_xs).chain(d_state.into_iter().map(Some)).chain(of_parameters).collect())
    }
}

impl<F> Unrolled<F>
where
    F: Fn(&Tensor, &[Tensor], &[Tensor]) -> Result<Vec<Tensor>>,
{
    fn call(&self, x: &Tensor, state: &[Tensor], parameters: &[Tensor]) -> Result<Vec<Tensor>> {
        let new = (self.step)(x, state, parameters)?;
        let shapes = |tensors: &[Tensor]| tensors.iter().map(|tensor| tensor.dims().to_vec()).collect::<Vec<_>>();
        if shapes(&new) != shapes(state) {
            candle_core::bail!("unrolled: a step made states {:?} from {:?}", shapes(&new), shapes(state))
        }
        Ok(new)
    }
}

fn variable(tensor: &Tensor) -> Result<Tensor> {
    Ok(Var::from_tensor(tensor)?.into_inner())
}
