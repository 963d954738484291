//! A task of a hundred lines: whether a sequence of bits has more ones than zeros, from a recipe to an opened model.
#![allow(clippy::unwrap_used)]

use candle_core::{D, DType, Device, Module as _, Tensor};
use candlewick_data::Note;
use candlewick_kernels::loss::{CrossEntropy, cross_entropy};
use candlewick_parameters::{Mode, Parameters, Rng};
use candlewick_recurrent::{Linear, SequenceLayer, sequence_layer};
use candlewick_training::model_folder::{CONFIG_FILE, model_type, open_model, read_config, read_weights, write_json};
use candlewick_training::{
    About, Error, Export, FitConfig, Inputs, Loss, ModelFolder, Recipe, Result, Scores, Shard, Silent, Task, export,
    fit, write_weights,
};
use schemars::JsonSchema;
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

    fn export(folder: &Path, into: &Path, how: &Export) -> Result<About> {
        let Self { config, parameters, .. } = Self::from_folder(folder, &Device::Cpu)?;
        write_json(&into.join(CONFIG_FILE), &config)?;
        write_weights(into, parameters.tensors(), how.dtype)?;
        let (made_of, limits) = (format!("A GRU of {} units.", config.hidden_size), "It counts bits.".into());
        let (commands, code) = (vec![], "let model = Majority::open_folder(folder, &Device::Cpu)?;");
        Ok(About { kind: "A counter", made_of, limits, pipeline_tag: "other", tags: vec![], commands, code })
    }
}

/// The recipe.
#[derive(Serialize, Deserialize, JsonSchema)]
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
    let outcome = recipe.outcome(task, &report, out.path(), &Device::Cpu, &mut |_| ()).unwrap();
    assert!(told.len() == 1 && outcome.scores.get("accuracy").unwrap() > 0.95, "{}", outcome.scores);
    assert_eq!(model_type(out.path()).unwrap(), "majority");
    let model = Majority::open_folder(out.path(), &Device::Cpu).unwrap();
    let (bits, _) = batch(7, 7).unwrap();
    let folder = open_model(out.path(), |folder| Ok(folder.to_path_buf())).unwrap();
    assert_eq!(folder, report.best);
    let logits = model.logits(&bits, &mut Mode::Eval).unwrap();
    assert_eq!(logits.dims(), [32, 2]);

    // Exported, it tells the same; in half precision nearly.
    let read = |logits: Tensor| logits.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let of = |name: &str, dtype: DType| {
        let into = out.path().join(name);
        export::<Majority>(out.path(), &into, &Export { dtype, ..Export::default() }).unwrap();
        let model = Majority::open_folder(&into, &Device::Cpu).unwrap();
        read(model.logits(&bits, &mut Mode::Eval).unwrap())
    };
    let wanted = read(logits);
    assert_eq!(of("whole", DType::F32), wanted);
    for (name, dtype, most) in [("half", DType::F16, 5e-3), ("short", DType::BF16, 5e-2)] {
        let far = of(name, dtype).iter().zip(&wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(far > 0.0 && far < most, "{name}: {far}");
    }
    let card = std::fs::read_to_string(out.path().join("half/README.md")).unwrap();
    for part in ["A GRU of 12 units. The weights are f16.", "240 steps", "| accuracy |", "## Licence"] {
        assert!(card.contains(part), "{card}");
    }
    // Nothing is put over another, and nothing half stays.
    let again = export::<Majority>(out.path(), &out.path().join("half"), &Export::default());
    assert!(again.unwrap_err().to_string().contains("half: is not empty"));
    let fault =
        export::<Majority>(out.path(), &out.path().join("f64"), &Export { dtype: DType::F64, ..Export::default() });
    assert!(fault.unwrap_err().to_string().contains("f32, f16 or bf16"));
    let names = std::fs::read_dir(out.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(!names.into_iter().any(|name| name.contains("f64")));
}
