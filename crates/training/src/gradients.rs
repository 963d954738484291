//! The gradient of one step, over one batch or several.

use crate::{Error, Loss, Result};
use candle_core::{DType, Tensor, Var};
use candlewick_kernels::node::backward;

/// Sums gradients over batches, each weighted with its items: the gradient of the mean loss over all items together.
#[derive(Default)]
pub(crate) struct Gradients {
    weighted: bool,
    sums: Vec<Option<Tensor>>,
    told: Batches,
}

/// The losses of a step's batches, as the device has them.
#[derive(Default)]
pub(crate) struct Batches {
    counts: Vec<usize>,
    pub losses: Vec<Tensor>,
    /// Each batch's parts, one batch after the other.
    pub parts: Vec<Tensor>,
    names: Vec<Vec<&'static str>>,
}

impl Batches {
    /// How many items.
    pub fn items(&self) -> usize {
        self.counts.iter().sum()
    }

    /// The means over all items of the loss and of each of its parts; `numbers` are the losses and then the parts.
    pub fn means(&self, numbers: &[f64]) -> (f64, Vec<(&'static str, f64)>) {
        let (losses, mut parts) = numbers.split_at(self.counts.len());
        let (mut loss, mut sums) = (0.0, Vec::<(&'static str, f64)>::new());
        for ((value, &count), names) in losses.iter().zip(&self.counts).zip(&self.names) {
            let weight = count as f64;
            loss += value * weight;
            let (own, others) = parts.split_at(names.len());
            for (&name, part) in names.iter().zip(own) {
                match sums.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, sum)) => *sum += part * weight,
                    None => sums.push((name, part * weight)),
                }
            }
            parts = others;
        }
        let items = self.items().max(1) as f64;
        (loss / items, sums.into_iter().map(|(name, sum)| (name, sum / items)).collect())
    }
}

impl Gradients {
    /// No gradient yet; `weighted` where several batches will come.
    pub fn new(weighted: bool) -> Self {
        Self { weighted, ..Self::default() }
    }

    /// Goes back through `scale` times a loss that [`check`] lets pass and adds its gradients for these variables.
    pub fn add<'a>(&mut self, loss: &Loss, scale: f64, vars: impl Iterator<Item = &'a Var>) -> Result<()> {
        let weight = loss.count as f64;
        let store = if scale == 1.0 { backward(&loss.value)? } else { backward(&(&loss.value * scale)?)? };
        let gradients = vars.map(|var| store.get(var.as_tensor()).cloned());
        if !self.weighted {
            self.sums = gradients.collect();
        } else if self.sums.is_empty() {
            self.sums = gradients.map(|g| g.map(|g| g * weight).transpose()).collect::<candle_core::Result<_>>()?;
        } else {
            for (sum, gradient) in self.sums.iter_mut().zip(gradients) {
                let Some(gradient) = gradient else { continue };
                let gradient = (gradient * weight)?;
                *sum = Some(match sum.take() {
                    Some(sum) => (sum + gradient)?,
                    None => gradient,
                });
            }
        }
        let told = &mut self.told;
        told.counts.push(loss.count);
        told.losses.push(loss.value.detach());
        told.names.push(loss.parts.iter().map(|(name, _)| *name).collect());
        told.parts.extend(loss.parts.iter().map(|(_, part)| part.detach()));
        Ok(())
    }

    /// The gradients, in the order of the variables, `None` for those that none reached; and the losses.
    pub fn finish(self) -> Result<(Vec<Option<Tensor>>, Batches)> {
        if !self.weighted {
            return Ok((self.sums, self.told));
        }
        let share = 1.0 / self.told.items().max(1) as f64;
        let scaled = self.sums.into_iter().map(|sum| sum.map(|sum| sum * share).transpose());
        Ok((scaled.collect::<candle_core::Result<_>>()?, self.told))
    }
}

/// Refuses a loss of no items, or one that is no single value.
pub(crate) fn check(loss: &Loss) -> Result<()> {
    if loss.count == 0 {
        return Err(Error::Task("the task's loss counts no items (count is 0); leave such batches out".into()));
    }
    let parts = loss.parts.iter().map(|(name, part)| (*name, part));
    match [("loss", &loss.value)].into_iter().chain(parts).find(|(_, value)| value.rank() > 0) {
        Some((name, value)) => {
            let shape = value.dims();
            Err(Error::Task(format!("the task's {name} is a tensor {shape:?} instead of a single value")))
        }
        None => Ok(()),
    }
}

/// A loss or a part of one as a number, for which the host waits.
pub(crate) fn scalar(tensor: &Tensor, what: &str) -> Result<f64> {
    let value = tensor.to_dtype(DType::F32).and_then(|tensor| tensor.to_vec0::<f32>());
    value.map(f64::from).map_err(|error| Error::from(error).during(format!("the task's {what}")))
}
