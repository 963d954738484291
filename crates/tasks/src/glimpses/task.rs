//! Training a recurrent attention model.

use super::evaluate::{evaluate, score_names};
use super::items::{Batch, items};
use super::model::RecurrentAttentionModel;
use super::network::Drawn;
use super::recipe::{BatchConfig, LossConfig, Reward};
use crate::Result;
use candle_core::{D, DType, Tensor};
use candlewick_data::buckets;
use candlewick_data::image_classes::Examples;
use candlewick_data::loader::{Loader, LoaderConfig};
use candlewick_data::placed::PlacedPictures;
use candlewick_kernels::device::upload;
use candlewick_kernels::loss::{CrossEntropy, Reduction, cross_entropy};
use candlewick_parameters::{Mode, Parameters, Rng};
use candlewick_training::reinforce::{reinforce, squared_error};
use candlewick_training::{Loss, Scores, Shard, Task, data_hash};
use std::path::Path;
use std::sync::Arc;

/// Trains a [`RecurrentAttentionModel`] on labelled pictures and validates it by how often it is right on others.
pub struct GlimpseTask {
    model: RecurrentAttentionModel,
    train: Arc<PlacedPictures>,
    dev: PlacedPictures,
    /// Hashes of what is trained on and of what is validated on.
    digests: [String; 2],
    settings: Settings,
}

/// What of a recipe the task needs beside model and data.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub batches: BatchConfig,
    pub loss: LossConfig,
    pub seed: u64,
}

impl GlimpseTask {
    pub(super) fn new(
        model: RecurrentAttentionModel,
        train: PlacedPictures,
        dev: PlacedPictures,
        settings: Settings,
    ) -> Result<Self> {
        let digest = |set: &PlacedPictures| -> Result<String> {
            Ok(set.examples().hash(&(0..set.len()).collect::<Vec<_>>())?.to_string())
        };
        let digests = [digest(&train)?, digest(&dev)?];
        Ok(Self { model, train: train.into(), dev, digests, settings })
    }

    /// The model as it is now.
    pub fn model(&self) -> &RecurrentAttentionModel {
        &self.model
    }

    /// What it is validated on.
    pub fn dev(&self) -> &PlacedPictures {
        &self.dev
    }

    /// The looks after which a label is told, with which label and how much it counts.
    fn told(&self) -> impl Iterator<Item = (usize, usize, f64)> {
        let (config, every) = (self.model.config(), self.settings.loss.every_look);
        let looks = config.network.looks;
        let weight = if every { 1.0 / looks as f64 } else { 1.0 };
        (0..config.looks())
            .filter(move |look| every || (look + 1) % looks == 0)
            .map(move |look| (look, look / looks, weight))
    }

    /// What comes of each drawn location, (N, T − 1), from what each look told, (N, T): its own and all after it.
    fn to_go(told: &Tensor) -> Result<Tensor> {
        let looks = told.dim(1)?;
        let to_go = (1..looks).map(|look| told.narrow(1, look, looks - look)?.sum_keepdim(1));
        Ok(Tensor::cat(&to_go.collect::<candle_core::Result<Vec<_>>>()?, 1)?)
    }

    /// Loss, reward and whether it is right, (N) each, of labels that were told.
    fn judged(&self, logits: &Tensor, labels: &Tensor) -> Result<[Tensor; 3]> {
        let each = CrossEntropy { reduction: Reduction::None, ..CrossEntropy::default() };
        let loss = cross_entropy(logits, labels, &each, None)?;
        let right = logits.argmax(D::Minus1)?.eq(labels)?.to_dtype(loss.dtype())?;
        let reward = match self.settings.loss.reward {
            Reward::Right => right.clone(),
            Reward::LogProbability => loss.detach().neg()?,
        };
        Ok([loss, reward, right])
    }
}

impl Task for GlimpseTask {
    type Batch = Batch;

    fn parameters(&self) -> &Parameters {
        &self.model.parameters
    }

    fn batches_per_epoch(&self) -> usize {
        self.train.len().div_ceil(self.settings.batches.size)
    }

    fn batches<'a>(
        &'a self,
        epoch: usize,
        skip: usize,
        shard: Shard,
    ) -> Result<Box<dyn Iterator<Item = Result<Batch>> + 'a>> {
        let BatchConfig { size, workers } = self.settings.batches;
        let order = buckets::batches(&vec![0; self.train.len()], size, self.settings.seed, epoch);
        let (set, config, first) = (Arc::clone(&self.train), self.model.config().clone(), epoch * self.train.len());
        let numbers = |rows: Vec<usize>| rows.into_iter().map(|row| first + row).collect();
        let jobs: Vec<Vec<usize>> = shard.select(order, skip).map(|(_, rows)| numbers(rows)).collect();
        let loaded = LoaderConfig { workers, ..LoaderConfig::default() };
        Ok(Box::new(Loader::new(jobs, loaded, move |numbers: Vec<usize>| Batch::of(&items(&set, &numbers)?, &config))))
    }

    fn loss(&self, batch: &Batch, mode: &mut Mode) -> Result<Loss> {
        let (model, device) = (&self.model, self.model.device());
        let (pictures, labels) = (upload(&batch.pictures, device)?, batch.labels.to_device(device)?);
        let count = pictures.dim(0)?;
        let mut own = Rng::derive(self.settings.seed, "first look", 0);
        let first = model.network.first(count, if let Mode::Train(rng) = mode { rng } else { &mut own }, device)?;
        let through = model.network.look(&model.network.retina.open(&pictures)?, &first, mode)?;
        let (zero, settings) = (Tensor::zeros(count, DType::F32, device)?, &self.settings.loss);
        let mut told = vec![zero.clone(); through.hidden.len()];
        let (mut classes, mut right) = (zero, Vec::new());
        for (look, label, weight) in self.told() {
            let logits = model.network.logits(&through.hidden[look])?;
            let labels = labels.narrow(1, label, 1)?.squeeze(1)?.contiguous()?;
            let [loss, reward, is_right] = self.judged(&logits, &labels)?;
            classes = (classes + (loss * weight)?)?;
            told[look] = (reward * weight)?;
            if (look + 1) % model.config().network.looks == 0 {
                right.push(is_right);
            }
        }
        let mut value = (classes.mean_all()? / right.len().max(1) as f64)?;
        let right = Tensor::stack(&right, 1)?.min(1)?.mean_all()?;
        let mut parts = vec![("classes", value.clone()), ("accuracy", right)];
        if let Some(Drawn { log_probability, baseline }) = &through.drawn {
            let rewards = Self::to_go(&Tensor::stack(&told, 1)?)?;
            let expected = squared_error(baseline, &rewards, None)?;
            // Summed over looks as in the paper, where the mean is over all.
            let looks = log_probability.dim(1)? as f64;
            let drawn = (reinforce(log_probability, &rewards, Some(baseline), None)? * looks)?;
            value = ((value + (&expected * settings.baseline)?)? + (&drawn * settings.reinforce)?)?;
            parts.extend([("baseline", expected), ("reinforce", drawn)]);
        }
        Ok(Loss { value, count, parts })
    }

    fn validate(&mut self, epoch: usize) -> Result<Scores> {
        self.validate_told(epoch, &mut |_, _| ())
    }

    fn validate_told(&mut self, _: usize, progress: &mut dyn FnMut(usize, usize)) -> Result<Scores> {
        evaluate(&self.model, &self.dev, (1, 0), progress)
    }

    fn items(&self) -> &'static str {
        "pictures"
    }

    fn score_names(&self) -> Vec<&'static str> {
        score_names(&self.model)
    }

    fn save(&self, folder: &Path) -> Result<()> {
        self.model.save(folder)
    }

    fn config(&self) -> serde_json::Value {
        serde_json::json!({
            "model": self.model.config(),
            "loss": self.settings.loss,
            "train": self.digests[0],
            "dev": self.digests[1],
            "batch_size": self.settings.batches.size,
            "seed": self.settings.seed,
        })
    }

    fn data(&self) -> serde_json::Value {
        let of = |examples: &Examples| {
            let items = (0..examples.len())
                .map(|row| (examples.path(row), examples.labels.get(row).copied().unwrap_or_default().to_string()));
            serde_json::json!({ "pictures": examples.len(), "sha256": data_hash(items) })
        };
        serde_json::json!({ "train": of(self.train.examples()), "dev": of(self.dev.examples()) })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::GlimpseTask;
    use candle_core::{Device, Tensor};

    #[test]
    fn a_location_is_worth_what_its_own_look_tells_and_all_after_it() {
        let told = Tensor::new(&[[1f32, 2.0, 4.0, 8.0], [0.0, 0.5, 0.0, 0.25]], &Device::Cpu).unwrap();
        let found = GlimpseTask::to_go(&told).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(found, [[14.0, 12.0, 8.0], [0.75, 0.25, 0.25]]);
    }
}
