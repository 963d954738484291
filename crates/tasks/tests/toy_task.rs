//! A task of a hundred lines: whether a sequence of bits has an odd number of ones, from a recipe to an opened model.
#![allow(clippy::unwrap_used)]

use candle_core::{D, Device, Module as _, Tensor};
use candlewick_data::Note;
use candlewick_kernels::loss::{CrossEntropy, cross_entropy};
use candlewick_parameters::{Mode, Parameters, Rng};
use candlewick_recurrent::{Linear, SequenceLayer, sequence_layer};
use candlewick_training::model_folder::{CONFIG_FILE, model_type, open_model, read_config, read_weights, write_json};
use candlewick_training::{
    Error, FitConfig, Inputs, Loss, ModelFolder, Recipe, Result, Scores, Shard, Silent, Task, fit,
};
use serde::{Deserialize, Serialize};
use std::path::Path;

#[derive(Clone, Serialize, Deserialize)]
struct Config {
    model_type: String,
    hidden_size: usize,
}

/// The model: a GRU over the bits, and a line from its last state.
struct Parity {
    config: Config,
    parameters: Parameters,
    layer: Box<dyn SequenceLayer>,
    head: Linear,
}

impl Parity {
    fn new(config: Config, parameters: Parameters) -> Result<Self> {
        let (vb, h) = (parameters.builder(&Device::Cpu), config.hidden_size);
        let layer = sequence_layer("gru", 1, h, &Default::default(), vb.pp("layer"))?;
        let head = Linear::new(h, 2, vb.pp("head"))?;
        Ok(Self { config, parameters, layer, head })
    }

    /// bits (N, T) to logits (N, 2) of even and odd.
    fn logits(&self, bits: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        let (ys, _) = self.layer.forward(&bits.unsqueeze(2)?, None, None, mode)?;
        Ok(self.head.forward(&ys.narrow(1, bits.dim(1)? - 1, 1)?.squeeze(1)?)?)
    }
}

impl ModelFolder for Parity {
    const MODEL_TYPE: &'static str = "parity";

    fn from_folder(folder: &Path, _: &Device) -> Result<Self> {
        Self::new(read_config(folder, Self::MODEL_TYPE)?, read_weights(folder)?)
    }
}

/// The recipe.
#[derive(Serialize, Deserialize)]
struct ParityRecipe {
    name: String,
    bits: usize,
    hidden_size: usize,
    training: FitConfig,
}

impl Recipe for ParityRecipe {
    const TASK: &'static str = "parity";
    type Task = ParityTask;

    fn name(&self) -> &str {
        &self.name
    }

    fn training(&self) -> &FitConfig {
        &self.training
    }

    fn apply_inputs(&mut self, inputs: &Inputs) -> Result<()> {
        inputs.refuse(&[("--data", "bits are drawn"), ("--start", "it begins anew")])
    }

    fn check(&self) -> Result<()> {
        if self.bits == 0 { Err(Error::Setting("bits is 0; one is the least".into())) } else { Ok(()) }
    }

    fn prepare(&self, _: &Path, _: &Device, note: &mut dyn FnMut(Note)) -> Result<ParityTask> {
        self.check()?;
        note(Note::Line(format!("sequences of {} bits", self.bits)));
        let config = Config { model_type: Parity::MODEL_TYPE.into(), hidden_size: self.hidden_size };
        Ok(ParityTask { model: Parity::new(config, Parameters::new(self.training.seed))?, bits: self.bits })
    }
}

struct ParityTask {
    model: Parity,
    bits: usize,
}

/// 32 sequences of bits (N, T) and whether each is odd (N).
fn batch(bits: usize, index: u64) -> Result<(Tensor, Tensor)> {
    let mut rng = Rng::derive(3, "bits", index);
    let drawn: Vec<f32> = (0..32 * bits).map(|_| rng.below(2) as f32).collect();
    let odd: Vec<u32> = drawn.chunks(bits).map(|row| row.iter().sum::<f32>() as u32 % 2).collect();
    Ok((Tensor::from_vec(drawn, (32, bits), &Device::Cpu)?, Tensor::new(odd, &Device::Cpu)?))
}

impl Task for ParityTask {
    type Batch = (Tensor, Tensor);

    fn parameters(&self) -> &Parameters {
        &self.model.parameters
    }

    fn batches_per_epoch(&self) -> usize {
        40
    }

    fn batches<'a>(
        &'a self,
        epoch: usize,
        skip: usize,
        shard: Shard,
    ) -> Result<Box<dyn Iterator<Item = Result<Self::Batch>> + 'a>> {
        let indices = (0..40).map(|index| (epoch * 40 + index) as u64).collect();
        Ok(Box::new(shard.select(indices, skip).map(|(_, index)| batch(self.bits, index))))
    }

    fn loss(&self, (bits, odd): &Self::Batch, mode: &mut Mode) -> Result<Loss> {
        let value = cross_entropy(&self.model.logits(bits, mode)?, odd, &CrossEntropy::default(), None)?;
        Ok(Loss::new(value, odd.dim(0)?))
    }

    fn validate(&mut self, _: usize) -> Result<Scores> {
        let (bits, odd) = batch(self.bits, u64::MAX)?;
        let right = self.model.logits(&bits, &mut Mode::Eval)?.argmax(D::Minus1)?.eq(&odd)?.to_vec1::<u8>()?;
        Ok([("accuracy", right.iter().filter(|&&right| right == 1).count() as f64 / 32.0)].into_iter().collect())
    }

    fn save(&self, folder: &Path) -> Result<()> {
        write_json(&folder.join(CONFIG_FILE), &self.model.config)?;
        Ok(self.model.parameters.save(folder.join(candlewick_training::MODEL_FILE))?)
    }
}

#[test]
fn a_new_task_is_a_recipe_a_model_and_a_task() {
    let mut recipe: ParityRecipe = toml::from_str(
        "name = 'parity'\nbits = 4\nhidden_size = 12\n[training]\nepochs = 20\nclip_norm = 1.0\noptimizer = { name = 'adam', learning_rate = 0.02 }",
    )
    .unwrap();
    let refused = recipe.apply_inputs(&Inputs { start: Some("a".into()), ..Inputs::default() });
    assert_eq!(refused.unwrap_err().to_string(), "--start: it begins anew");
    let out = tempfile::tempdir().unwrap();
    let mut told = Vec::new();
    let mut task = recipe.prepare(out.path(), &Device::Cpu, &mut |note| told.push(format!("{note:?}"))).unwrap();
    let report = fit(&mut task, recipe.training(), out.path(), &mut Silent).unwrap();
    let outcome = recipe.outcome(task, &report, out.path(), &Device::Cpu).unwrap();
    assert!(told.len() == 1 && outcome.scores.get("accuracy").unwrap() > 0.95, "{}", outcome.scores);
    assert_eq!(model_type(out.path()).unwrap(), "parity");
    let model = Parity::open_folder(out.path(), &Device::Cpu).unwrap();
    let (bits, _) = batch(4, 7).unwrap();
    let folder = open_model(out.path(), |folder| Ok(folder.to_path_buf())).unwrap();
    assert_eq!(folder, report.best);
    assert_eq!(model.logits(&bits, &mut Mode::Eval).unwrap().dims(), [32, 2]);
}
