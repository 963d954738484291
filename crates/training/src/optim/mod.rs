//! Optimisers with their state by parameter name: Adam, AdamW, SGD, RMSprop.

mod config;

pub use config::{AdamConfig, AdamWConfig, OptimizerConfig, RmsPropConfig, SgdConfig};

use crate::{Error, Result};
use candle_core::{Device, Tensor, Var};
use candlewick_kernels::optimizer::{self, Checks, Outcome, Rule, Update};
use candlewick_kernels::thread_pool;
use candlewick_parameters::{SafetensorsFile, write_safetensors};
use std::collections::HashSet;
use std::path::Path;

/// What the state's file calls the moving average of a parameter.
const AVERAGE: &str = "average";

/// An optimiser over named parameters.
///
/// Each parameter has a factor on the learning rate, its own count of steps and its own state, made when its first gradient
/// comes. f32 parameters on the CPU are changed in place, in one pass; others by candle's operations.
pub struct Optimizer {
    rule: Rule,
    slots: Vec<Slot>,
    /// Buffers, which no gradient changes and an average follows.
    buffers: Vec<Slot>,
    /// The decay of the parameters' moving average, where one is kept.
    average: Option<Averaging>,
}

struct Slot {
    name: String,
    var: Var,
    factor: f64,
    steps: usize,
    state: Vec<Tensor>,
    /// The moving average of the parameter; after an odd number of exchanges the parameter that is trained.
    average: Option<Tensor>,
}

/// How the moving average of the parameters follows them.
#[derive(Clone, Copy, Debug)]
struct Averaging {
    decay: f64,
    /// Whether the values that training began with are forgotten no faster than others.
    from_start: bool,
}

impl Averaging {
    /// The share of the parameter in its average at its step.
    fn share(self, step: f64) -> f64 {
        1.0 - if self.from_start { self.decay } else { self.decay.min((1.0 + step) / (10.0 + step)) }
    }
}

impl Optimizer {
    /// An optimiser over these parameters, in this order, each with the factor on its learning rate.
    ///
    /// # Errors
    /// When the configuration's numbers cannot be used.
    pub fn new(config: &OptimizerConfig, parameters: Vec<(String, Var)>, factor: impl Fn(&str) -> f64) -> Result<Self> {
        config.check()?;
        let slots = parameters.into_iter().map(|(name, var)| Slot::new(factor(&name), name, var)).collect();
        Ok(Self { rule: Rule::from(config), slots, buffers: vec![], average: None })
    }

    /// The same with buffers, such as the running statistics of batch norm: steps leave them alone, and an average that is kept from
    /// here on is of them too.
    pub fn with_buffers(self, buffers: Vec<(String, Var)>) -> Self {
        Self { buffers: buffers.into_iter().map(|(name, var)| Slot::new(0.0, name, var)).collect(), ..self }
    }

    /// Keeps a moving average of the parameters from here on: a ← d·a + (1 − d)·p after each step, with
    /// d = min(`decay`, (1 + t) / (10 + t)) at the parameter's step t, so that the first values are soon forgotten.
    ///
    /// Polyak and Juditsky 1992, "Acceleration of stochastic approximation by averaging".
    ///
    /// # Errors
    /// When the decay lies outside [0, 1), or a parameter cannot be copied.
    pub fn averaged(self, decay: f64) -> Result<Self> {
        self.averaging(Averaging { decay, from_start: false })
    }

    /// The same with d = `decay` from the first step on: after t steps the values that training began with have a share of
    /// d^t in the average, as a model wants that others trained and that a new objective must not carry far.
    ///
    /// Wortsman et al. 2022, "Robust fine-tuning of zero-shot models", whose mean of both ends this is where training was brief.
    ///
    /// # Errors
    /// As [`Self::averaged`].
    pub fn averaged_from_start(self, decay: f64) -> Result<Self> {
        self.averaging(Averaging { decay, from_start: true })
    }

    fn averaging(mut self, average: Averaging) -> Result<Self> {
        let decay = average.decay;
        if !(0.0..1.0).contains(&decay) {
            return Err(Error::Setting(format!("the decay of the weights' average is {decay}; it must lie in [0, 1)")));
        }
        self.average = Some(average);
        for slot in self.slots.iter_mut().chain(&mut self.buffers) {
            slot.average = Some(slot.var.copy()?);
        }
        Ok(self)
    }

    /// Puts the average in the parameters' place, or the parameters back into theirs; nothing where none is kept.
    ///
    /// # Errors
    /// When the device fails.
    pub fn swap_average(&mut self) -> Result<()> {
        for slot in self.slots.iter_mut().chain(&mut self.buffers) {
            if let Some(average) = slot.average.take() {
                slot.average = Some(slot.var.copy()?);
                slot.var.set(&average)?;
            }
        }
        Ok(())
    }

    /// The first parameter, buffer or average that holds NaN or an infinity, by name.
    pub(crate) fn not_finite(&self) -> Result<Option<&str>> {
        for slot in self.slots.iter().chain(&self.buffers) {
            for tensor in [Some(slot.var.as_tensor()), slot.average.as_ref()].into_iter().flatten() {
                if !optimizer::is_finite(tensor)? {
                    return Ok(Some(&slot.name));
                }
            }
        }
        Ok(None)
    }

    /// The names of the parameters, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.slots.iter().map(|slot| slot.name.as_str())
    }

    /// The variables of the parameters, in order.
    pub fn vars(&self) -> impl Iterator<Item = &Var> {
        self.slots.iter().map(|slot| &slot.var)
    }

    /// Where the parameters are.
    pub(crate) fn device(&self) -> Device {
        self.vars().next().map_or(Device::Cpu, |var| var.device().clone())
    }

    /// Takes one step: `gradients` in the order of the parameters, each times `scale` (from [`crate::clip::norm_scale`]).
    ///
    /// A parameter without a gradient stays as it is, its state too.
    ///
    /// # Errors
    /// When a gradient has another shape than its parameter; the message names it.
    pub fn step(&mut self, gradients: &[Option<Tensor>], learning_rate: f64, scale: f64) -> Result<()> {
        thread_pool::install(&self.device(), || {
            let rule = self.rule;
            Ok(optimizer::step(rule, &mut self.updates(gradients, learning_rate)?, scale)?)
        })
    }

    /// Takes one step with the gradients clipped by their common norm, unless the norm or a loss is not finite: then no parameter, no state
    /// and no average changes, though the count of steps does.
    ///
    /// On CUDA the host need not wait for the numbers that the decision rests on.
    ///
    /// # Errors
    /// As [`Self::step`].
    pub fn checked_step(
        &mut self,
        gradients: &[Option<Tensor>],
        learning_rate: f64,
        checks: &Checks,
    ) -> Result<Outcome> {
        thread_pool::install(&self.device(), || {
            let rule = self.rule;
            Ok(optimizer::checked_step(rule, &mut self.updates(gradients, learning_rate)?, checks)?)
        })
    }

    /// Counts so many steps as not taken, which changed nothing.
    pub(crate) fn uncount(&mut self, steps: usize) {
        for slot in self.slots.iter_mut().chain(&mut self.buffers) {
            slot.steps = slot.steps.saturating_sub(steps);
        }
    }

    /// Whether [`Self::checked_step`] tells what it saw only later.
    pub(crate) fn tells_later(&self) -> bool {
        optimizer::tells_later(&self.vars().map(Var::as_tensor).collect::<Vec<_>>())
    }

    /// The next step of each parameter that has a gradient, and of each average of a buffer.
    fn updates<'a>(&'a mut self, gradients: &'a [Option<Tensor>], learning_rate: f64) -> Result<Vec<Update<'a>>> {
        if gradients.len() != self.slots.len() {
            let (found, wanted) = (gradients.len(), self.slots.len());
            return Err(Error::Setting(format!("optimizer: {found} gradients for {wanted} parameters")));
        }
        let (rule, average) = (self.rule, self.average);
        let mut updates = Vec::with_capacity(gradients.len() + self.buffers.len());
        for (slot, gradient) in self.slots.iter_mut().zip(gradients) {
            let Some(gradient) = gradient else { continue };
            let name = slot.name.clone();
            let update = slot.update(rule, gradient, learning_rate, average);
            updates.push(update.map_err(|error| Error::from(error).during(format!("optimizer: parameter {name}")))?);
        }
        updates.extend(self.buffers.iter_mut().filter_map(|buffer| buffer.follow(average)));
        Ok(updates)
    }

    /// Writes the state as safetensors: `NAME.exp_avg` and so on by parameter name, `NAME.step`, and `NAME.average`.
    ///
    /// # Errors
    /// When the file cannot be written; the message names it.
    pub fn save(&self, path: &Path) -> Result<()> {
        let all = || self.slots.iter().chain(&self.buffers);
        let averages = all().filter_map(|slot| Some((format!("{}.{AVERAGE}", slot.name), slot.average.clone()?)));
        let mut tensors: Vec<(String, Tensor)> = averages.collect();
        for slot in all().filter(|slot| slot.steps > 0) {
            let steps = Tensor::new(slot.steps as i64, &candle_core::Device::Cpu)?;
            tensors.push((format!("{}.step", slot.name), steps));
            for (what, tensor) in self.rule.state_names().iter().zip(&slot.state) {
                tensors.push((format!("{}.{what}", slot.name), tensor.clone()));
            }
        }
        Ok(write_safetensors(&tensors, path)?)
    }

    /// Takes the state back from a file of [`Optimizer::save`].
    ///
    /// # Errors
    /// When the file cannot be read or is not the state of this optimiser over these parameters; nothing is changed then.
    pub fn load(&mut self, path: &Path) -> Result<()> {
        let file = SafetensorsFile::open(path)?;
        let other =
            |fault: String| Error::corrupt(path, format!("{fault}; this is the state of another optimizer or network"));
        let mut used = HashSet::new();
        let mut take = |slot: &Slot, what: &str| {
            let name = format!("{}.{what}", slot.name);
            let tensor = match file.shape(&name) {
                Some(shape) if &shape == slot.var.shape() => {
                    file.tensor(&name, slot.var.device())?.to_dtype(slot.var.dtype())?
                }
                Some(shape) => {
                    let (found, wanted) = (shape.dims(), slot.var.dims());
                    return Err(other(format!("{name} has the shape {found:?} where {wanted:?} is wanted")));
                }
                None => return Err(other(format!("{name} is missing"))),
            };
            used.insert(name);
            Ok(tensor)
        };
        let steps = |slot: &Slot| -> Result<usize> {
            let name = format!("{}.step", slot.name);
            let Some(_) = file.shape(&name) else { return Ok(0) };
            let steps = file.tensor(&name, &candle_core::Device::Cpu)?.to_vec0::<i64>()?;
            Ok(usize::try_from(steps).unwrap_or_default())
        };
        let mut loaded = Vec::with_capacity(self.slots.len() + self.buffers.len());
        for slot in &self.slots {
            let average = slot.average.as_ref().map(|_| take(slot, AVERAGE)).transpose()?;
            let steps = steps(slot)?;
            let names = if steps > 0 { self.rule.state_names() } else { &[] };
            loaded.push((steps, names.iter().map(|what| take(slot, what)).collect::<Result<Vec<_>>>()?, average));
        }
        for buffer in &self.buffers {
            let average = buffer.average.as_ref().map(|_| take(buffer, AVERAGE)).transpose()?;
            loaded.push((steps(buffer)?, vec![], average));
        }
        used.extend(self.slots.iter().chain(&self.buffers).map(|slot| format!("{}.step", slot.name)));
        if let Some(name) = file.names().find(|name| !used.contains(*name)) {
            return Err(other(format!("{name} belongs to no parameter")));
        }
        for (slot, (steps, state, average)) in self.slots.iter_mut().chain(&mut self.buffers).zip(loaded) {
            (slot.steps, slot.state, slot.average) = (steps, state, average);
        }
        Ok(())
    }
}

impl Slot {
    fn new(factor: f64, name: String, var: Var) -> Self {
        Self { factor, name, var, steps: 0, state: vec![], average: None }
    }

    /// The next step.
    fn update<'a>(
        &'a mut self,
        rule: Rule,
        gradient: &'a Tensor,
        learning_rate: f64,
        averaging: Option<Averaging>,
    ) -> candle_core::Result<Update<'a>> {
        if gradient.shape() != self.var.shape() {
            candle_core::bail!("its shape is {:?}, its gradient's {:?}", self.var.dims(), gradient.dims())
        }
        if self.state.is_empty() {
            self.state =
                rule.state_names().iter().map(|_| self.var.zeros_like()).collect::<candle_core::Result<_>>()?;
        }
        self.steps += 1;
        Ok(Update {
            parameter: &self.var,
            gradient: Some(gradient),
            state: &mut self.state,
            average: shared(&mut self.average, averaging, self.steps),
            learning_rate: learning_rate * self.factor,
            step: self.steps,
        })
    }

    /// The next step of an average whose parameter no gradient changes; nothing where none is kept.
    fn follow(&mut self, averaging: Option<Averaging>) -> Option<Update<'_>> {
        self.average.as_ref()?;
        self.steps += 1;
        let average = shared(&mut self.average, averaging, self.steps);
        Some(Update {
            parameter: &self.var,
            gradient: None,
            state: &mut self.state,
            average,
            learning_rate: 0.0,
            step: self.steps,
        })
    }
}

/// The average and the share of its parameter in it.
fn shared(average: &mut Option<Tensor>, averaging: Option<Averaging>, step: usize) -> Option<(&mut Tensor, f64)> {
    Some((average.as_mut()?, averaging?.share(step as f64)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use candle_core::Device;

    #[test]
    fn buffers_are_averaged_and_come_back() {
        let (var, buffer) = (Var::new(&[1f32], &Device::Cpu).unwrap(), Var::new(&[8f32], &Device::Cpu).unwrap());
        let optimizer = || {
            let sgd = OptimizerConfig::sgd(1.0, 0.0);
            let optimizer = Optimizer::new(&sgd, vec![("p".to_owned(), var.clone())], |_| 1.0).unwrap();
            optimizer.with_buffers(vec![("b".to_owned(), buffer.clone())]).averaged_from_start(0.5).unwrap()
        };
        let mut first = optimizer();
        buffer.set(&Tensor::new(&[0f32], &Device::Cpu).unwrap()).unwrap();
        first.step(&[Some(Tensor::new(&[0f32], &Device::Cpu).unwrap())], 1.0, 1.0).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("optimizer.safetensors");
        first.save(&path).unwrap();
        first.swap_average().unwrap();
        assert_eq!(buffer.to_vec1::<f32>().unwrap(), [4.0]);
        first.swap_average().unwrap();
        let mut other = optimizer();
        other.load(&path).unwrap();
        other.swap_average().unwrap();
        assert_eq!(buffer.to_vec1::<f32>().unwrap(), [4.0]);
    }

    #[test]
    fn an_average_from_the_start_keeps_its_share_of_it() {
        let var = Var::new(&[8f32], &Device::Cpu).unwrap();
        let sgd = OptimizerConfig::sgd(1.0, 0.0);
        let optimizer = Optimizer::new(&sgd, vec![("p".to_owned(), var.clone())], |_| 1.0).unwrap();
        let mut optimizer = optimizer.averaged_from_start(0.5).unwrap();
        for _ in 0..3 {
            optimizer.step(&[Some(Tensor::new(&[8f32], &Device::Cpu).unwrap())], 1.0, 1.0).unwrap();
        }
        optimizer.swap_average().unwrap();
        // The parameter was 8, 0, −8 and −16: 8/8 + 0/8 − 8/4 − 16/2.
        assert_eq!(var.to_vec1::<f32>().unwrap(), [-9.0]);
    }

    #[test]
    fn the_average_follows_and_changes_places() {
        let var = Var::new(&[0f32, 10.0], &Device::Cpu).unwrap();
        let parameters = || vec![("p".to_owned(), var.clone())];
        let sgd = OptimizerConfig::sgd(1.0, 0.0);
        let mut optimizer = Optimizer::new(&sgd, parameters(), |_| 1.0).unwrap().averaged(0.5).unwrap();
        let values = || var.to_vec1::<f32>().unwrap();
        for _ in 0..2 {
            optimizer.step(&[Some(Tensor::new(&[-11f32, 0.0], &Device::Cpu).unwrap())], 1.0, 1.0).unwrap();
        }
        assert_eq!(values(), [22.0, 10.0]);
        // d is 2/11 and then 3/12: the average of 0, 11 and 22 goes to 9 and then to 9 + 3/4 · 13.
        optimizer.swap_average().unwrap();
        assert!((values()[0] - 18.75).abs() < 1e-5 && values()[1] == 10.0, "{:?}", values());

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("optimizer.safetensors");
        optimizer.save(&path).unwrap();
        let mut other = Optimizer::new(&sgd, parameters(), |_| 1.0).unwrap().averaged(0.5).unwrap();
        other.load(&path).unwrap();
        other.swap_average().unwrap();
        assert_eq!(values(), [22.0, 10.0]);
        let plain = Optimizer::new(&sgd, parameters(), |_| 1.0).unwrap().load(&path).unwrap_err().to_string();
        assert!(plain.contains("p.average"), "{plain}");
        assert!(Optimizer::new(&sgd, parameters(), |_| 1.0).unwrap().averaged(1.0).is_err());
    }
}
