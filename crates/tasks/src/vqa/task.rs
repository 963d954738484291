//! Training a model that answers questions about pictures.

use super::batch::{Batch, Items};
use super::dataset::VqaDataset;
use super::evaluate::{score_names, scored};
use super::model::VqaModel;
use super::recipe::BatchConfig;
use crate::{Error, Result};
use candle_core::{D, Tensor};
use candlewick_data::features::PhotoHash;
use candlewick_data::loader::{Loader, LoaderConfig};
use candlewick_kernels::loss::{CrossEntropy, cross_entropy};
use candlewick_metrics::wups::WordNet;
use candlewick_parameters::{Mode, Parameters, Rng};
use candlewick_training::{Loss, Scores, Shard, Task, data_hash};
use candlewick_vision::View;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Trains a [`VqaModel`] on questions about pictures and validates it on others, by how often its answer is the true one.
pub struct VqaTask {
    model: VqaModel,
    train: Arc<Items>,
    dev: Items,
    wordnet: Option<WordNet>,
    /// Hashes of what is trained on and of what is validated on.
    digests: [String; 2],
    settings: Settings,
}

/// What of a recipe the task needs beside model and data.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub batches: BatchConfig,
    pub label_smoothing: f64,
    /// The weight of the loss of where the last hop looks.
    pub pointing: f64,
    pub views: Vec<View>,
    pub seed: u64,
    /// Whether the encoder's batch norm takes the batch's statistics: of an encoder trained from scratch.
    pub statistics: bool,
    /// The factor on the learning rate of the encoder's parameters.
    pub encoder_rate: f64,
}

impl VqaTask {
    pub(super) fn new(
        model: VqaModel,
        train: VqaDataset,
        dev: VqaDataset,
        wordnet: Option<WordNet>,
        settings: Settings,
    ) -> Result<Self> {
        let (train, dev) = (train.filled("train")?, dev.filled("dev")?);
        let digests = [digest(&model, &train)?, digest(&model, &dev)?];
        let (train, dev) = (Items::new(&model, train.into())?, Items::new(&model, dev.into())?);
        if train.pairs.is_empty() {
            return Err(Error::NoData(
                "no question to train on has a known answer; set data.least_answers lower".into(),
            ));
        }
        Ok(Self { model, train: train.into(), dev, wordnet, digests, settings })
    }

    /// The model as it is now.
    pub fn model(&self) -> &VqaModel {
        &self.model
    }

    /// The questions that are validated on.
    pub fn dev(&self) -> &VqaDataset {
        &self.dev.set
    }

    pub(super) fn wordnet(&self) -> Option<&WordNet> {
        self.wordnet.as_ref()
    }

    pub(super) fn dev_items(&self) -> &Items {
        &self.dev
    }

    /// How many of the questions to train on have no known answer.
    pub(super) fn unknown(&self) -> usize {
        let mut known: Vec<usize> = self.train.pairs.iter().map(|pair| pair.question).collect();
        known.dedup();
        self.train.set.questions.len() - known.len()
    }
}

/// A hash of pictures, where they are seen, and questions in their order.
fn digest(model: &VqaModel, set: &VqaDataset) -> Result<String> {
    let pictures = match model.config.network.sees() {
        true => set.pictures.digest()?.to_string(),
        false => String::new(),
    };
    let lines = set.questions.iter().map(|one| {
        let lists = [&one.answers, &one.said, &one.choices].map(|list| list.join("\u{1f}"));
        format!("{}\t{}\t{}\n", one.picture, one.question, lists.join("\t"))
    });
    let text = std::iter::once(pictures).chain(lines).collect::<Vec<_>>().join("\n");
    Ok(PhotoHash::of(text.as_bytes()).to_string())
}

/// The mean of −log Σ α over the positions whose centres lie in the box of what is asked for, of the questions whose box is known and holds any:
/// α (N, P) on a map of `height` × `width` = P positions.
fn pointing_loss(
    alpha: &Tensor,
    asked: &[Option<[f32; 4]>],
    (height, width): (usize, usize),
) -> Result<Option<Tensor>> {
    let centre = |at: usize, count: usize| (at as f32 + 0.5) / count as f32;
    let inside = |asked: &Option<[f32; 4]>, at: usize| {
        let (x, y) = (centre(at % width, width), centre(at / width, height));
        asked.is_some_and(|[left, top, right, bottom]| (left..right).contains(&x) && (top..bottom).contains(&y))
    };
    let mask = |asked| (0..height * width).map(move |at| if inside(asked, at) { 1f32 } else { 0.0 });
    let (mut rows, mut values) = (Vec::new(), Vec::new());
    for (row, asked) in (0u32..).zip(asked) {
        if (0..height * width).any(|at| inside(asked, at)) {
            rows.push(row);
            values.extend(mask(asked));
        }
    }
    if rows.is_empty() {
        return Ok(None);
    }
    let mask = Tensor::from_vec(values, (rows.len(), height * width), alpha.device())?;
    let own = alpha.index_select(&Tensor::new(rows, alpha.device())?, 0)?;
    // Keeps the logarithm finite where the weights have underflowed.
    Ok(Some(((own * mask)?.sum(1)? + 1e-8)?.log()?.neg()?.mean_all()?))
}

impl Task for VqaTask {
    type Batch = Batch;

    fn parameters(&self) -> &Parameters {
        &self.model.parameters
    }

    fn batches_per_epoch(&self) -> usize {
        self.train.batches(&self.settings.batches)
    }

    fn batches<'a>(
        &'a self,
        epoch: usize,
        skip: usize,
        shard: Shard,
    ) -> Result<Box<dyn Iterator<Item = Result<Batch>> + 'a>> {
        let (seed, first) = (self.settings.seed, epoch * self.batches_per_epoch());
        let batches = self.train.order(&self.settings.batches, seed, epoch);
        let jobs: Vec<(usize, Vec<usize>)> = shard.select(batches, skip).collect();
        let (items, views) = (Arc::clone(&self.train), self.settings.views.clone());
        let config = LoaderConfig { workers: self.settings.batches.workers, ..LoaderConfig::default() };
        let loader = Loader::new(jobs, config, move |(at, places): (usize, Vec<usize>)| {
            let mut rng = Rng::derive(seed, "views", (first + at) as u64);
            items.batch(&places, &mut || View::drawn(&views, &mut rng))
        });
        Ok(Box::new(loader))
    }

    fn loss(&self, batch: &Batch, mode: &mut Mode) -> Result<Loss> {
        let (model, device) = (&self.model, self.model.device());
        let Batch { questions, pictures, sources, targets, choices, asked } = batch;
        let looked = match mode {
            Mode::Train(rng) if self.settings.statistics => {
                model.looked(pictures.as_ref(), sources, &mut Mode::Train(rng))?
            }
            _ => model.looked(pictures.as_ref(), sources, &mut Mode::Eval)?,
        };
        let joined = model.network.join(&questions.to_device(device)?, looked.as_ref(), mode)?;
        let (logits, targets) = (model.network.logits(&joined)?, targets.to_device(device)?);
        let smoothed = CrossEntropy { label_smoothing: self.settings.label_smoothing, ..CrossEntropy::default() };
        let mut value = cross_entropy(&logits, &targets, &smoothed, None)?;
        let right = logits.argmax(D::Minus1)?.eq(&targets)?.to_dtype(logits.dtype())?.mean_all()?;
        let mut parts = vec![("accuracy", right)];
        if let Some(choices) = choices {
            let (rows, words) = (choices.rows.to_device(device)?, choices.words.to_device(device)?);
            let scores =
                (model.network.choice_scores(&joined, &rows, &words, mode)? + choices.mask.to_device(device)?)?;
            let own = cross_entropy(&scores, &choices.targets.to_device(device)?, &CrossEntropy::default(), None)?;
            value = (value + &own)?;
            parts.push(("choices", own));
        }
        if let (Some(alpha), Some(looked), true) = (joined.alpha.last(), &looked, self.settings.pointing > 0.0)
            && let Some(own) = pointing_loss(alpha, asked, looked.annotations.grid_size())?
        {
            value = (value + (&own * self.settings.pointing)?)?;
            parts.push(("pointing", own));
        }
        Ok(Loss { value, count: questions.lengths.len(), parts })
    }

    fn validate(&mut self, epoch: usize) -> Result<Scores> {
        self.validate_told(epoch, &mut |_, _| ())
    }

    fn validate_told(&mut self, _: usize, progress: &mut dyn FnMut(usize, usize)) -> Result<Scores> {
        Ok(scored(&self.model, &self.dev, self.wordnet.as_ref(), progress)?.scores)
    }

    fn items(&self) -> &'static str {
        "questions"
    }

    fn score_names(&self) -> Vec<&'static str> {
        let attends = self.model.network.attends();
        score_names(&self.dev.set.questions, attends, self.wordnet.is_some())
    }

    fn save(&self, folder: &Path) -> Result<()> {
        self.model.save(folder)
    }

    fn config(&self) -> serde_json::Value {
        let mut model = serde_json::json!(self.model.config);
        // The same weights may lie elsewhere when the run goes on.
        if let Some(weights) = model.pointer_mut("/encoder/weights").and_then(serde_json::Value::as_object_mut) {
            weights.remove("file");
        }
        serde_json::json!({
            "model": model,
            "preprocessing": self.model.encoder().map(|encoder| encoder.preprocessing()),
            "train": self.digests[0],
            "dev": self.digests[1],
            "batch_size": self.settings.batches.size,
            "by_picture": self.settings.batches.by_picture,
            "label_smoothing": self.settings.label_smoothing,
            "pointing": self.settings.pointing,
            "views": self.settings.views,
            "encoder_rate": self.settings.encoder_rate,
            "seed": self.settings.seed,
        })
    }

    fn data(&self) -> serde_json::Value {
        let of = |set: &VqaDataset| {
            let paths = set.pictures.paths();
            let items = set.questions.iter().map(|one| {
                let said = format!("{}\t{}", one.question, one.answers.join("\t"));
                (paths.get(one.picture).map(PathBuf::as_path), said)
            });
            serde_json::json!({
                "pictures": set.pictures.len(), "questions": set.questions.len(), "sha256": data_hash(items)
            })
        };
        serde_json::json!({ "train": of(&self.train.set), "dev": of(&self.dev.set) })
    }

    fn learning_rate_factor(&self, parameter: &str) -> f64 {
        if parameter.starts_with("encoder.") { self.settings.encoder_rate } else { 1.0 }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::pointing_loss;
    use candle_core::{Device, Tensor};

    #[test]
    fn the_loss_of_pointing_is_of_the_weight_in_the_box() {
        let alpha = Tensor::new(&[[0.1f32, 0.2, 0.3, 0.4], [0.25; 4], [0.7, 0.1, 0.1, 0.1]], &Device::Cpu).unwrap();
        // The right column; nothing known; a box that holds no position's centre.
        let asked = [Some([0.5, 0.0, 1.0, 1.0]), None, Some([0.3, 0.3, 0.4, 0.4])];
        let found = pointing_loss(&alpha, &asked, (2, 2)).unwrap().unwrap().to_scalar::<f32>().unwrap();
        assert!((found + 0.6f32.ln()).abs() < 1e-6, "{found}");
        assert!(pointing_loss(&alpha, &asked[1..], (2, 2)).unwrap().is_none());
    }
}
