//! A line fitted to noisy points: a task, a run folder with logs, curves and checkpoints, and a run that goes on.
//!
//! `cargo run -p candlewick-training --example line`

#![allow(clippy::print_stdout)]

use candle_core::{Device, Tensor};
use candlewick_parameters::{Initial, Mode, ParameterBuilder, Parameters, Rng};
use candlewick_training::optim::SgdConfig;
use candlewick_training::{FitConfig, Loss, OptimizerConfig, Result, Scores, Shard, Silent, Task, fit};

/// y = slope · x + offset, fitted to points of y = 2 x − 1 with noise.
struct Line {
    parameters: Parameters,
    slope: Tensor,
    offset: Tensor,
}

impl Line {
    fn new() -> Result<Self> {
        let parameters = Parameters::new(1);
        let vb = parameters.builder(&Device::Cpu);
        let slope = vb.parameter(1, "slope", Initial::Constant(0.0))?;
        let offset = vb.parameter(1, "offset", Initial::Constant(0.0))?;
        Ok(Self { parameters, slope, offset })
    }

    /// 16 points (x, y), each (16).
    fn points(index: u64) -> Result<(Tensor, Tensor)> {
        let mut rng = Rng::derive(5, "points", index);
        let xs = rng.normal_tensor(0.0, 1.0, 16, &Device::Cpu)?;
        let noise = rng.normal_tensor(0.0, 0.1, 16, &Device::Cpu)?;
        let ys = ((&xs * 2.0)? - 1.0 + noise)?;
        Ok((xs, ys))
    }

    fn squared_error(&self, (xs, ys): &(Tensor, Tensor)) -> Result<Tensor> {
        let found = xs.broadcast_mul(&self.slope)?.broadcast_add(&self.offset)?;
        Ok((found - ys)?.sqr()?.mean_all()?)
    }
}

impl Task for Line {
    type Batch = (Tensor, Tensor);

    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn batches_per_epoch(&self) -> usize {
        20
    }

    fn batches<'a>(
        &'a self,
        epoch: usize,
        skip: usize,
        shard: Shard,
    ) -> Result<Box<dyn Iterator<Item = Result<Self::Batch>> + 'a>> {
        let indices = (0..20).map(|index| (20 * epoch + index) as u64).collect();
        Ok(Box::new(shard.select(indices, skip).map(|(_, index)| Self::points(index))))
    }

    fn loss(&self, points: &Self::Batch, _: &mut Mode) -> Result<Loss> {
        Ok(Loss::new(self.squared_error(points)?, 16))
    }

    fn validate(&mut self, _: usize) -> Result<Scores> {
        let error = self.squared_error(&Self::points(u64::MAX)?)?.to_vec0::<f32>()?;
        Ok([("negative_squared_error", -f64::from(error))].into_iter().collect())
    }
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::temp_dir().join(format!("candlewick-line-{}", std::process::id()));
    let optimizer = OptimizerConfig::Sgd(SgdConfig { learning_rate: 0.1, ..SgdConfig::default() });
    // The second call goes on where the first one ended.
    for epochs in [1, 3] {
        let mut line = Line::new()?;
        let config = FitConfig { epochs, optimizer: optimizer.clone(), ..FitConfig::default() };
        let report = fit(&mut line, &config, &folder, &mut Silent)?;
        let (slope, offset) = (line.slope.to_vec1::<f32>()?[0], line.offset.to_vec1::<f32>()?[0]);
        println!("after {} steps: y = {slope:.2} x + {offset:.2}", report.steps);
    }
    println!("the run folder held:");
    for entry in std::fs::read_dir(&folder)? {
        println!("  {}", entry?.file_name().to_string_lossy());
    }
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}
