//! A data set of one's own: pictures of discs and of bars that are drawn on the fly, a network of the registry, and `fit`.
//!
//! `cargo run -p candlewick-tasks --example own_data`

#![allow(clippy::print_stdout)]

use candle_core::{D, Device, Tensor};
use candlewick_encoders::{Architecture, Encoder, NetworkConfig};
use candlewick_kernels::loss::{CrossEntropy, cross_entropy};
use candlewick_parameters::{Mode, Parameters, Rng};
use candlewick_training::{FitConfig, Loss, OptimizerConfig, Result, Scores, Shard, Silent, Task, fit};

/// What a data set is made of: an item by its index, always the same.
struct Shapes {
    seed: u64,
}

const SIDE: usize = 32;

impl Shapes {
    /// A picture (3, 32, 32), and whether it shows a bar.
    fn item(&self, index: u64) -> (Vec<f32>, u32) {
        let mut rng = Rng::derive(self.seed, "shapes", index);
        let (is_bar, x, y) = (rng.chance(0.5), 8 + rng.below(16), 8 + rng.below(16));
        let inside = |row: usize, column: usize| {
            let (dx, dy) = (column.abs_diff(x), row.abs_diff(y));
            if is_bar { dx < 3 && dy < 8 } else { dx * dx + dy * dy < 25 }
        };
        let light = (0..SIDE * SIDE).map(|at| if inside(at / SIDE, at % SIDE) { 1.0 } else { 0.0 });
        let plane: Vec<f32> = light.map(|light: f32| light + 0.1 * rng.normal()).collect();
        (plane.repeat(3), u32::from(is_bar))
    }

    /// Pictures (N, 3, 32, 32) and classes (N).
    fn batch(&self, indices: std::ops::Range<u64>) -> Result<(Tensor, Tensor)> {
        let items: Vec<(Vec<f32>, u32)> = indices.map(|index| self.item(index)).collect();
        let pictures: Vec<f32> = items.iter().flat_map(|(picture, _)| picture.iter().copied()).collect();
        let classes: Vec<u32> = items.iter().map(|(_, class)| *class).collect();
        let pictures = Tensor::from_vec(pictures, (items.len(), 3, SIDE, SIDE), &Device::Cpu)?;
        Ok((pictures, Tensor::new(classes, &Device::Cpu)?))
    }
}

struct DiscsAndBars {
    data: Shapes,
    network: Box<dyn Encoder>,
    parameters: Parameters,
}

/// Batches an epoch, and pictures a batch.
const BATCHES: u64 = 10;
const SIZE: u64 = 16;

impl Task for DiscsAndBars {
    type Batch = (Tensor, Tensor);

    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn batches_per_epoch(&self) -> usize {
        BATCHES as usize
    }

    fn batches<'a>(
        &'a self,
        epoch: usize,
        skip: usize,
        shard: Shard,
    ) -> Result<Box<dyn Iterator<Item = Result<Self::Batch>> + 'a>> {
        let first = |batch| (epoch as u64 * BATCHES + batch) * SIZE;
        let batches = shard.select((0..BATCHES).map(first).collect(), skip);
        Ok(Box::new(batches.map(|(_, first)| self.data.batch(first..first + SIZE))))
    }

    fn loss(&self, (pictures, classes): &Self::Batch, mode: &mut Mode) -> Result<Loss> {
        let logits = self.network.logits(pictures, mode)?;
        let value = cross_entropy(&logits, classes, &CrossEntropy::default(), None)?;
        Ok(Loss::new(value, classes.dim(0)?))
    }

    /// Of a hundred pictures that training never draws.
    fn validate(&mut self, _: usize) -> Result<Scores> {
        let (pictures, classes) = self.data.batch(1 << 40..(1 << 40) + 100)?;
        let told = self.network.logits(&pictures, &mut Mode::Eval)?.argmax(D::Minus1)?;
        let right = told.eq(&classes)?.to_vec1::<u8>()?.into_iter().filter(|&right| right == 1).count();
        Ok([("accuracy", right as f64 / 100.0)].into_iter().collect())
    }
}

fn main() -> Result<()> {
    let parameters = Parameters::new(1);
    let config = NetworkConfig { classes: Some(2), ..NetworkConfig::default() };
    let network = Architecture::find("convnet")?.build(&config, parameters.builder(&Device::Cpu))?;
    let mut task = DiscsAndBars { data: Shapes { seed: 1 }, network, parameters };
    println!("before: {}", task.validate(0)?);
    let folder = std::env::temp_dir().join(format!("candlewick-own-data-{}", std::process::id()));
    let config = FitConfig { epochs: 4, optimizer: OptimizerConfig::AdamW(Default::default()), ..FitConfig::default() };
    let report = fit(&mut task, &config, &folder, &mut Silent)?;
    println!("after {} steps: {}", report.steps, task.validate(0)?);
    let _ = std::fs::remove_dir_all(&folder);
    Ok(())
}
