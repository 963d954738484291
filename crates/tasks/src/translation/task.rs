//! Training a translator.

use super::evaluate::evaluate;
use super::pairs::{Batch, NONE, Tokens};
use super::translator::Translator;
use crate::{Error, Result};
use candlewick_data::buckets;
use candlewick_data::features::PhotoHash;
use candlewick_data::parallel::Pair;
use candlewick_generation::{Decoder as _, TeacherForced};
use candlewick_kernels::loss::{CrossEntropy, cross_entropy};
use candlewick_parameters::{Mode, Parameters};
use candlewick_training::{Loss, Scores, Shard, Task};
use std::path::Path;

/// Trains a [`Translator`] on pairs and validates it on others, by translating them.
pub struct TranslationTask {
    translator: Translator,
    train: Tokens,
    dev: Vec<Pair>,
    settings: Settings,
    /// By which a run is known again: of training and dev pairs.
    hashes: [String; 2],
}

/// What of a recipe the task needs beside network and data.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub size: usize,
    pub longest: usize,
    pub label_smoothing: f64,
    pub seed: u64,
}

fn hash(pairs: &[Pair]) -> String {
    let bytes: Vec<u8> =
        pairs.iter().flat_map(|pair| format!("{}\t{}\n", pair.source, pair.target).into_bytes()).collect();
    PhotoHash::of(&bytes).to_string()
}

impl TranslationTask {
    pub(super) fn new(translator: Translator, train: &[Pair], dev: Vec<Pair>, settings: Settings) -> Result<Self> {
        let hashes = [hash(train), hash(&dev)];
        let train = Tokens::of(&translator, train, settings.longest)?;
        if train.len() == 0 || dev.is_empty() || settings.size == 0 {
            let (train, dev) = (train.len(), dev.len());
            let fault = format!("{train} pairs to train on and {dev} to validate on, {} a batch", settings.size);
            return Err(Error::NoData(format!("{fault}; there must be some of each")));
        }
        Ok(Self { translator, train, dev, settings, hashes })
    }

    /// The translator as it is now.
    pub fn translator(&self) -> &Translator {
        &self.translator
    }

    /// How many pairs are longer than is trained on.
    pub(super) fn left_out(&self) -> usize {
        self.train.left_out
    }
}

impl Task for TranslationTask {
    type Batch = Batch;

    fn parameters(&self) -> &Parameters {
        &self.translator.parameters
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
        let Settings { size, seed, .. } = self.settings;
        let batches = buckets::batches(&self.train.keys, size, seed, epoch);
        Ok(Box::new(shard.select(batches, skip).map(|(_, places)| self.train.batch(&self.translator, &places))))
    }

    fn loss(&self, batch: &Batch, mode: &mut Mode) -> Result<Loss> {
        let Batch { source, source_lengths, words, lengths, targets, count } = batch;
        let memory = self.translator.memory(source, source_lengths, mode)?;
        let TeacherForced { logits, .. } = self.translator.decoder.teacher_forced(words, lengths, &memory, mode)?;
        let Settings { label_smoothing, .. } = self.settings;
        let options = CrossEntropy { label_smoothing, ignore_index: Some(NONE), ..CrossEntropy::default() };
        Ok(Loss::new(cross_entropy(&logits, targets, &options, None)?, *count))
    }

    fn validate(&mut self, epoch: usize) -> Result<Scores> {
        self.validate_told(epoch, &mut |_, _| ())
    }

    fn validate_told(&mut self, _: usize, progress: &mut dyn FnMut(usize, usize)) -> Result<Scores> {
        let translate = |texts: &[&str]| self.translator.translate(texts, &self.translator.generation);
        Ok(evaluate(&self.dev, translate, progress)?.scores)
    }

    fn items(&self) -> &'static str {
        "tokens"
    }

    fn score_names(&self) -> Vec<&'static str> {
        vec!["BLEU", "chrF"]
    }

    fn save(&self, folder: &Path) -> Result<()> {
        self.translator.save(folder)
    }

    fn config(&self) -> serde_json::Value {
        serde_json::json!({
            "translator": self.translator.config,
            "generation": self.translator.generation,
            "pairs": self.train.len(),
            "train": self.hashes[0],
            "dev": self.hashes[1],
            "batch_size": self.settings.size,
            "label_smoothing": self.settings.label_smoothing,
            "seed": self.settings.seed,
        })
    }

    fn data(&self) -> serde_json::Value {
        let of = |pairs: usize, hash: &String| serde_json::json!({ "pairs": pairs, "sha256": hash });
        let [train, dev] = &self.hashes;
        serde_json::json!({ "train": of(self.train.len(), train), "dev": of(self.dev.len(), dev) })
    }
}
