//! Training a DRAW network.

use super::evaluate::{SCORES, evaluate};
use super::model::Draw;
use super::pictures::{Batch, Pictures};
use crate::Result;
use candle_core::Tensor;
use candlewick_data::buckets;
use candlewick_kernels::device::upload;
use candlewick_parameters::{Mode, Parameters, Rng};
use candlewick_training::{Loss, Scores, Shard, Task};
use std::path::Path;

/// Trains a [`Draw`] on pictures and validates it by the bound of others.
pub struct DrawTask {
    model: Draw,
    train: Pictures,
    dev: Pictures,
    /// Hashes of what is trained on and of what is validated on.
    digests: [String; 2],
    settings: Settings,
}

/// What of a recipe the task needs beside model and data.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub size: usize,
    pub seed: u64,
}

impl DrawTask {
    pub(super) fn new(model: Draw, train: Pictures, dev: Pictures, settings: Settings) -> Self {
        let digests = [train.hash(), dev.hash()];
        Self { model, train, dev, digests, settings }
    }

    /// The model as it is now.
    pub fn model(&self) -> &Draw {
        &self.model
    }

    /// What it is validated on.
    pub fn dev(&self) -> &Pictures {
        &self.dev
    }
}

impl Task for DrawTask {
    type Batch = Batch;

    fn parameters(&self) -> &Parameters {
        &self.model.parameters
    }

    fn batches_per_epoch(&self) -> usize {
        self.train.len().div_ceil(self.settings.size)
    }

    fn batches<'a>(
        &'a self,
        epoch: usize,
        skip: usize,
        shard: Shard,
    ) -> Result<Box<dyn Iterator<Item = Result<Batch>> + 'a>> {
        let Settings { size, seed } = self.settings;
        let order = buckets::batches(&vec![0; self.train.len()], size, seed, epoch);
        let first = epoch * self.train.len();
        Ok(Box::new(shard.select(order, skip).map(move |(_, rows)| self.train.batch(&rows, (seed, first)))))
    }

    fn loss(&self, batch: &Batch, mode: &mut Mode) -> Result<Loss> {
        let (network, device) = (&self.model.network, self.model.device());
        let pictures = upload(&batch.pictures, device)?;
        let (count, latent) = (pictures.dim(0)?, network.latent_size());
        let mut own = Rng::derive(self.settings.seed, "bound", 0);
        let rng = if let Mode::Train(rng) = mode { rng } else { &mut own };
        let drawn = network.again(&pictures, &mut |_| rng.normal_tensor(0.0, 1.0, (count, latent), device), false)?;
        let likelihood = network.likelihood.nats(&pictures, &drawn.canvas)?.mean_all()?;
        let kl = Tensor::stack(&drawn.kl, 1)?.sum(1)?.mean_all()?;
        Ok(Loss { value: (&likelihood + &kl)?, count, parts: vec![("likelihood", likelihood), ("kl", kl)] })
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
        SCORES.to_vec()
    }

    fn save(&self, folder: &Path) -> Result<()> {
        self.model.save(folder)
    }

    fn config(&self) -> serde_json::Value {
        serde_json::json!({
            "model": self.model.config(),
            "train": self.digests[0],
            "dev": self.digests[1],
            "batch_size": self.settings.size,
            "seed": self.settings.seed,
        })
    }

    fn data(&self) -> serde_json::Value {
        let of = |pictures: &Pictures, hash: &String| serde_json::json!({ "pictures": pictures.len(), "sha256": hash });
        let [train, dev] = &self.digests;
        serde_json::json!({ "train": of(&self.train, train), "dev": of(&self.dev, dev) })
    }
}
