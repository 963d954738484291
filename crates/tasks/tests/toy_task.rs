//! A task of a hundred lines: whether a sequence of bits has more ones than zeros, from a recipe to an opened model.
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
struct Majority {
    config: Config,
    parameters: Parameters,
    layer: Box<dyn SequenceLayer>,
    head: Linear,
}

impl Majority {
    fn new(config: Config, parameters: Parameters) -> Result<Self> {
        let (vb, h) = (parameters.builder(&Device::Cpu), config.hidden_size);
        let layer = sequence_layer("gru", 1, h, &Default::default(), vb.pp("layer"))?;
        let head = Linear::new(h, 2, vb.pp("head"))?;
        Ok(Self { config, parameters, layer, head })
    }

    /// bits (N, T) to logits (N, 2) of more zeros and more ones.
    fn logits(&self, bits: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        let (ys, _) = self.layer.forward(&bits.unsqueeze(2)?, None, None, mode)?;
        Ok(self.head.forward(&ys.narrow(1, bits.dim(1)? - 1, 1)?.squeeze(1)?)?)
    }
}

impl ModelFolder for Majority {
    const MODEL_TYPE: &'static str = "majority";

    fn from_folder(folder: &Path, _: &Device) -> Result<Self> {
        Self::new(read_config(folder, Self::MODEL_TYPE)?, read_weights(folder)?)
    }
}

/// The recipe.
#[derive(Serialize, Deserialize)]
struct MajorityRecipe {
    name: String,
    bits: usize,
    hidden_size: usize,
    training: FitConfig,
}

impl Recipe for MajorityRecipe {
    const TASK: &'static str = "majority";
    type Task = MajorityTask;

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

    fn prepare(&self, _: &Path, _: &Device, note: &mut dyn FnMut(Note)) -> Result<MajorityTask> {
        self.check()?;
        note(Note::Line(format!("sequences of {} bits", self.bits)));
        let config = Config { model_type: Majority::MODEL_TYPE.into(), hidden_size: self.hidden_size };
        Ok(MajorityTask { model: Majority::new(config, Parameters::new(self.training.seed))?, bits: self.bits })
    }
}

struct MajorityTask {
    model: Majority,
    bits: usize,
}

/// 32 sequences of bits (N, T), and whether each has more ones (N).
fn batch(bits: usize, index: u64) -> Result<(Tensor, Tensor)> {
    let mut rng = Rng::derive(3, "bits", index);
    let drawn: Vec<f32> = (0..32 * bits).map(|_| rng.below(2) as f32).collect();
    let more: Vec<u32> = drawn.chunks(bits).map(|row| u32::from(2.0 * row.iter().sum::<f32>() > bits as f32)).collect();
    Ok((Tensor::from_vec(drawn, (32, bits), &Device::Cpu)?, Tensor::new(more, &Device::Cpu)?))
}

impl Task for MajorityTask {
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

    fn loss(&self, (bits, more): &Self::Batch, mode: &mut Mode) -> Result<Loss> {
        let value = cross_entropy(&self.model.logits(bits, mode)?, more, &CrossEntropy::default(), None)?;
        Ok(Loss::new(value, more.dim(0)?))
    }

    fn validate(&mut self, _: usize) -> Result<Scores> {
        let (bits, more) = batch(self.bits, u64::MAX)?;
        let right = self.model.logits(&bits, &mut Mode::Eval)?.argmax(D::Minus1)?.eq(&more)?.to_vec1::<u8>()?;
        Ok([("accuracy", right.iter().filter(|&&right| right == 1).count() as f64 / 32.0)].into_iter().collect())
    }

    fn save(&self, folder: &Path) -> Result<()> {
        write_json(&folder.join(CONFIG_FILE), &self.model.config)?;
        Ok(self.model.parameters.save(folder.join(candlewick_training::MODEL_FILE))?)
    }
}

#[test]
fn a_new_task_is_a_recipe_a_model_and_a_task() {
    let mut recipe: MajorityRecipe = toml::from_str(
        "name = 'majority'\nbits = 7\nhidden_size = 12\n[training]\nepochs = 6\nclip_norm = 1.0\noptimizer = { name = 'adam', learning_rate = 0.02 }",
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
    assert_eq!(model_type(out.path()).unwrap(), "majority");
    let model = Majority::open_folder(out.path(), &Device::Cpu).unwrap();
    let (bits, _) = batch(7, 7).unwrap();
    let folder = open_model(out.path(), |folder| Ok(folder.to_path_buf())).unwrap();
    assert_eq!(folder, report.best);
    assert_eq!(model.logits(&bits, &mut Mode::Eval).unwrap().dims(), [32, 2]);
}
