//! A small task: which of three spirals' arms a point lies on, by a network with dropout.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use candle_core::{D, Device, Tensor};
use candlewick_parameters::{Initial, Mode, ParameterBuilder, Parameters, Rng};
use candlewick_testing::bits;
use candlewick_training::{Error, FitConfig, Loss, OptimizerConfig, Result, Scores, Shard, Task};
use serde_json::{Value, json};

use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

pub const POINTS: usize = 300;
const CLASSES: usize = 3;

pub struct Toy {
    parameters: Parameters,
    layers: Vec<(Tensor, Tensor)>,
    pub batch_size: usize,
    pub dropout: f64,
    /// A running mean of the loss that enters the loss: a state without which a resumed run would differ.
    baseline: Mutex<f64>,
    /// After how many batches a loss fails, as if the machine had stopped.
    pub stop_after: Option<usize>,
    /// What the loss is multiplied with at a batch of this number; with 0 only the gradient is spoilt.
    pub poison: Option<(std::ops::Range<usize>, f64)>,
    /// From which batch of the run on, counted from 1, every loss is NaN.
    pub poison_step: Option<usize>,
    pub seen: AtomicUsize,
    /// The batch of the whole run that comes next, counted from 0.
    at: AtomicUsize,
    /// A file that is written to as well.
    pub save_to: Option<&'static str>,
    pub scores: Option<Vec<f64>>,
    points: Tensor,
    labels: Vec<u32>,
}

impl Toy {
    pub fn new(batch_size: usize) -> Self {
        let device = Device::Cpu;
        let parameters = Parameters::new(3);
        let vb = parameters.builder(&device);
        let mut layers = Vec::new();
        for (name, inputs, outputs) in [("first", 2, 32), ("second", 32, 32), ("third", 32, CLASSES)] {
            let weight = vb.pp(name).parameter((outputs, inputs), "weight", Initial::kaiming_uniform(inputs)).unwrap();
            let bias = vb.pp(name).parameter(outputs, "bias", Initial::fan_in(inputs)).unwrap();
            layers.push((weight, bias));
        }
        let mut rng = Rng::derive(1, "points", 0);
        let (mut points, mut labels) = (vec![], vec![]);
        for i in 0..POINTS {
            let (arm, t) = (i % CLASSES, rng.uniform() * 2.5 + 0.2);
            let angle = t * 1.5 + arm as f32 * std::f32::consts::TAU / CLASSES as f32;
            points.extend([t * angle.cos(), t * angle.sin()]);
            labels.push(arm as u32);
        }
        let points = Tensor::from_vec(points, (POINTS, 2), &device).unwrap();
        Self {
            parameters,
            layers,
            batch_size,
            dropout: 0.1,
            baseline: Mutex::new(0.0),
            stop_after: None,
            poison: None,
            poison_step: None,
            seen: AtomicUsize::new(0),
            at: AtomicUsize::new(0),
            save_to: None,
            scores: None,
            points,
            labels,
        }
    }

    fn logits(&self, points: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        let mut xs = points.clone();
        for (i, (weight, bias)) in self.layers.iter().enumerate() {
            xs = xs.matmul(&weight.t()?)?.broadcast_add(bias)?;
            if i + 1 < self.layers.len() {
                xs = mode.dropout(&xs.tanh()?, self.dropout)?;
            }
        }
        Ok(xs)
    }

    pub fn weights(&self) -> Vec<(String, Vec<u32>)> {
        self.parameters.tensors().into_iter().map(|(name, tensor)| (name, bits(&tensor))).collect()
    }

    /// The baseline stays out of the loss.
    pub fn without_state(mut self) -> Self {
        self.baseline = Mutex::new(f64::NAN);
        self
    }
}

impl Task for Toy {
    type Batch = Vec<usize>;

    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn batches_per_epoch(&self) -> usize {
        POINTS.div_ceil(self.batch_size)
    }

    fn batches<'a>(
        &'a self,
        epoch: usize,
        skip: usize,
        _: Shard,
    ) -> Result<Box<dyn Iterator<Item = Result<Self::Batch>> + 'a>> {
        self.at.store(epoch * self.batches_per_epoch() + skip, Relaxed);
        let mut order: Vec<usize> = (0..POINTS).collect();
        Rng::derive(5, "order", epoch as u64).shuffle(&mut order);
        let batches: Vec<Vec<usize>> = order.chunks(self.batch_size).map(<[usize]>::to_vec).collect();
        Ok(Box::new(batches.into_iter().skip(skip).map(Ok)))
    }

    fn loss(&self, batch: &Self::Batch, mode: &mut Mode) -> Result<Loss> {
        let seen = 1 + self.seen.fetch_add(1, Relaxed);
        let at = 1 + self.at.fetch_add(1, Relaxed);
        if self.stop_after.is_some_and(|limit| seen > limit) {
            return Err(Error::task("stopped"));
        }
        let rows: Vec<u32> = batch.iter().map(|&i| i as u32).collect();
        let rows = Tensor::new(rows, &Device::Cpu)?;
        let labels: Vec<u32> = batch.iter().map(|&i| self.labels[i]).collect();
        let labels = Tensor::new(labels, &Device::Cpu)?.unsqueeze(1)?;
        let logits = self.logits(&self.points.index_select(&rows, 0)?, mode)?;
        let picked = logits.gather(&labels, 1)?.squeeze(1)?;
        let high = logits.max_keepdim(D::Minus1)?.detach();
        let total = (logits.broadcast_sub(&high)?.exp()?.sum(D::Minus1)?.log()? + high.squeeze(1)?)?;
        let mut value = (total - picked)?.mean_all()?;
        let entropy = value.clone();
        let baseline = *self.baseline.lock().unwrap();
        if !baseline.is_nan() {
            *self.baseline.lock().unwrap() = 0.9 * baseline + 0.1 * f64::from(value.to_vec0::<f32>()?);
            value = (value * (1.0 + 0.01 * baseline))?;
        }
        if let Some((_, factor)) = self.poison.clone().filter(|(at, _)| at.contains(&seen)) {
            // A root's slope at 0 is infinite: the loss stays as it is, the gradient does not.
            value = if factor == 0.0 { (&value + (&value - &value.copy()?)?.sqrt()?)? } else { (value * factor)? };
        }
        if self.poison_step.is_some_and(|from| at >= from) {
            value = (value * f64::NAN)?;
        }
        Ok(Loss { value, count: batch.len(), parts: vec![("entropy", entropy)] })
    }

    fn validate(&mut self, epoch: usize) -> Result<Scores> {
        if let Some(scores) = &self.scores {
            return Ok(Scores::from_iter([("given", scores[epoch.min(scores.len() - 1)])]));
        }
        let found = self.logits(&self.points, &mut Mode::Eval)?.argmax(D::Minus1)?.to_vec1::<u32>()?;
        let right = found.iter().zip(&self.labels).filter(|(a, b)| a == b).count();
        Ok(Scores::from_iter([("accuracy", right as f64 / POINTS as f64), ("errors", (POINTS - right) as f64)]))
    }

    fn save(&self, folder: &Path) -> Result<()> {
        if let Some(path) = self.save_to.map(Path::new) {
            // Not by the writer of safetensors: it renames, which would replace a device by a file.
            std::fs::File::options()
                .write(true)
                .open(path)
                .and_then(|mut file| file.write_all(b"weights"))
                .map_err(Error::file(path, "cannot be written"))?;
        }
        Ok(self.parameters.save(folder.join("model.safetensors"))?)
    }

    fn state(&self) -> Value {
        json!({ "baseline": self.baseline.lock().unwrap().to_bits() })
    }

    fn restore(&mut self, state: Value) -> Result<()> {
        let bits = state["baseline"].as_u64().ok_or_else(|| Error::task("no baseline"))?;
        *self.baseline.lock().unwrap() = f64::from_bits(bits);
        Ok(())
    }

    fn config(&self) -> Value {
        json!({ "batch_size": self.batch_size })
    }

    fn learning_rate_factor(&self, parameter: &str) -> f64 {
        if parameter.starts_with("first") { 0.5 } else { 1.0 }
    }
}

pub fn config() -> FitConfig {
    FitConfig {
        epochs: 5,
        seed: 9,
        optimizer: OptimizerConfig::adam(1e-2),
        clip_norm: Some(1.0),
        warmup_steps: 4,
        schedule: candlewick_training::Schedule::Cosine { min_factor: 0.1 },
        checkpoint_every: 3,
        ..FitConfig::default()
    }
}

/// The log without what a clock wrote.
pub fn log(run: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(run.join("log.jsonl")).unwrap();
    let line = |line: &str| {
        let mut value: Value = serde_json::from_str(line).unwrap();
        let entries = value.as_object_mut().unwrap();
        entries.remove("seconds");
        entries.remove("items_per_second");
        value
    };
    text.lines().map(line).collect()
}

pub fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
