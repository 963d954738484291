//! The gradient of one step, over one batch or several.

use crate::{Error, Loss, Result};
use candle_core::{DType, Tensor, Var};
use candlewick_kernels::node::backward;

/// Sums gradients over batches, each weighted with its items: the gradient of the mean loss over all items together.
pub(crate) struct Gradients {
    weighted: bool,
    sums: Vec<Option<Tensor>>,
    loss: f64,
    parts: Vec<(&'static str, f64)>,
    items: usize,
}

impl Gradients {
    /// No gradient yet; `weighted` where several batches will come.
    pub fn new(weighted: bool) -> Self {
        Self { weighted, sums: Vec::new(), loss: 0.0, parts: Vec::new(), items: 0 }
    }

    /// Goes back through a loss and adds its gradients for these variables; gives the loss as a number.
    ///
    /// A loss that is not finite is not gone back through.
    pub fn add<'a>(&mut self, loss: &Loss, vars: impl Iterator<Item = &'a Var>) -> Result<f64> {
        if loss.count == 0 {
            return Err(Error::Task("the task's loss counts no items (count is 0); leave such batches out".into()));
        }
        let value = scalar(&loss.value, "loss")?;
        if !value.is_finite() {
            return Ok(value);
        }
        let weight = loss.count as f64;
        let store = backward(&loss.value)?;
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
        self.items += loss.count;
        self.loss += value * weight;
        for (name, part) in &loss.parts {
            let part = scalar(part, name)? * weight;
            match self.parts.iter_mut().find(|(known, _)| known == name) {
                Some((_, sum)) => *sum += part,
                None => self.parts.push((name, part)),
            }
        }
        Ok(value)
    }

    /// The mean loss over all items.
    pub fn loss(&self) -> f64 {
        self.loss / self.items.max(1) as f64
    }

    /// The mean of each part of the loss over all items.
    pub fn parts(&self) -> Vec<(&'static str, f64)> {
        self.parts.iter().map(|(name, sum)| (*name, sum / self.items.max(1) as f64)).collect()
    }

    /// How many items.
    pub fn items(&self) -> usize {
        self.items
    }

    /// The gradients, in the order of the variables; `None` for those that none reached.
    pub fn finish(self) -> Result<Vec<Option<Tensor>>> {
        if !self.weighted {
            return Ok(self.sums);
        }
        let share = 1.0 / self.items.max(1) as f64;
        let scaled = self.sums.into_iter().map(|sum| sum.map(|sum| sum * share).transpose());
        Ok(scaled.collect::<candle_core::Result<_>>()?)
    }
}

fn scalar(tensor: &Tensor, what: &str) -> Result<f64> {
    let value = tensor.to_dtype(DType::F32).and_then(|tensor| tensor.to_vec0::<f32>());
    value.map(f64::from).map_err(|error| Error::from(error).during(format!("the task's {what}")))
}
