//! Training a captioner.

use crate::captioner::{Caption, Captioner};
use crate::dataset::{Input, Set};
use crate::decoder::{LossConfig, caption_loss};
use crate::recipe::BatchConfig;
use crate::{Error, Result};
use candle_core::{Device, Tensor};
use candlewick_data::buckets;
use candlewick_data::loader::{Loader, LoaderConfig};
use candlewick_data::words::PAD;
use candlewick_parameters::{Mode, Parameters};
use candlewick_recurrent::decoding::{Decoder, GenerationConfig};
use candlewick_training::{Loss, Scores, Task};
use std::path::Path;
use std::sync::Arc;

/// Trains a [`Captioner`] on a set of captioned pictures and validates it by decoding another.
pub struct CaptioningTask {
    captioner: Captioner,
    train: Arc<Set>,
    dev: Arc<Set>,
    /// The captions of the training set: picture and word ids, start and end included.
    captions: Arc<Vec<(usize, Vec<u32>)>>,
    settings: TaskSettings,
}

/// What the task needs to know beside captioner and data.
#[derive(Clone, Debug)]
pub struct TaskSettings {
    /// How batches are made.
    pub batches: BatchConfig,
    /// The loss.
    pub loss: LossConfig,
    /// What the order of the batches is drawn from.
    pub seed: u64,
    /// Whether the encoder's batch norm takes the batch's statistics: true for an encoder trained from scratch.
    pub train_statistics: bool,
    /// The longest caption in words; longer ones are left out.
    pub longest: usize,
    /// The factor on the learning rate of the encoder's parameters.
    pub encoder_rate: f64,
}

/// A batch of captions with what the decoder looks at, on the CPU.
pub struct Batch {
    input: Input,
    /// The words to read, (N, T), from the start on.
    words: Tensor,
    /// The words to tell, (N, T), the end last and padding beyond.
    targets: Tensor,
    lengths: Vec<usize>,
}

impl CaptioningTask {
    /// A task over the captions of `train`, validated on `dev`.
    ///
    /// # Errors
    /// When no caption is short enough to be trained on.
    pub fn new(captioner: Captioner, train: Set, dev: Set, settings: TaskSettings) -> Result<Self> {
        let mut captions = Vec::new();
        for (picture, references) in train.references.iter().enumerate() {
            for caption in references {
                let ids = captioner.tokenizer.encode(caption)?;
                // Start and end are no words of the caption.
                if (3..=settings.longest + 2).contains(&ids.len()) {
                    captions.push((picture, ids));
                }
            }
        }
        if captions.is_empty() || settings.batches.size == 0 {
            let fault = "no captions to train on: the train split is empty, all captions are longer than `longest`, or the batch size is 0";
            return Err(Error::Config(fault.into()));
        }
        Ok(Self { captioner, train: train.into(), dev: dev.into(), captions: captions.into(), settings })
    }

    /// The captioner as it is now.
    pub fn captioner(&self) -> &Captioner {
        &self.captioner
    }

    /// The captioner once training is done.
    pub fn into_captioner(self) -> Captioner {
        self.captioner
    }

    /// The captions of the first `count` pictures of the dev set (all of them for `None`), decoded and not forced.
    ///
    /// # Errors
    /// When a picture cannot be read.
    pub fn decode(&self, count: Option<usize>, generation: &GenerationConfig) -> Result<Vec<Caption>> {
        let batch = self.settings.batches.decoded;
        crate::evaluate::decode(&self.captioner, &self.dev, count, batch, generation, &mut |_| ())
    }

    /// The set that validation decodes.
    pub fn dev(&self) -> &Set {
        &self.dev
    }

    fn order(&self, epoch: usize) -> Vec<Vec<usize>> {
        // Batch norm would tell a picture's caption length from its batch if all captions there were alike: an encoder that
        // takes the batch's statistics gets batches of any lengths.
        let length = |ids: &Vec<u32>| if self.settings.train_statistics { 0 } else { ids.len() };
        let lengths: Vec<usize> = self.captions.iter().map(|(_, ids)| length(ids)).collect();
        buckets::batches(&lengths, self.settings.batches.size, self.settings.seed, epoch)
    }

    fn forward(&self, batch: &Batch, mode: &mut Mode) -> Result<Loss> {
        let device = self.captioner.device();
        let seen = match &batch.input {
            Input::Annotations(annotations) => annotations.to_device(device)?,
            Input::Images(images) => {
                let images = images.to_device(device)?;
                match mode {
                    Mode::Train(rng) if self.settings.train_statistics => {
                        self.captioner.annotations(&images, &mut Mode::Train(rng))?.0
                    }
                    _ => self.captioner.annotations(&images, &mut Mode::Eval)?.0,
                }
            }
        };
        let decoder = &self.captioner.decoder;
        let (words, targets) = (batch.words.to_device(device)?, batch.targets.to_device(device)?);
        let memory = decoder.memory(&seen, mode)?;
        let forced = decoder.teacher_forced(&words, &batch.lengths, &memory, mode)?;
        let loss = caption_loss(&forced, &targets, &self.settings.loss, PAD)?;
        let attention = loss.attention.map(|term| ("attention", term));
        let parts = [Some(("words", loss.words)), attention].into_iter().flatten().collect();
        Ok(Loss { value: loss.total, count: batch.lengths.iter().sum(), parts })
    }
}

/// Reads the pictures and lays out the words of the captions in `rows`.
fn prepare(set: &Set, captions: &[(usize, Vec<u32>)], rows: &[usize]) -> Result<Batch> {
    let chosen: Vec<&(usize, Vec<u32>)> = rows.iter().filter_map(|&row| captions.get(row)).collect();
    let pictures: Vec<usize> = chosen.iter().map(|(picture, _)| *picture).collect();
    let read: Vec<&[u32]> = chosen.iter().map(|(_, ids)| &ids[..ids.len() - 1]).collect();
    let told: Vec<&[u32]> = chosen.iter().map(|(_, ids)| &ids[1..]).collect();
    let tensor = |rows: &[&[u32]]| -> Result<Tensor> {
        let (ids, n, t) = buckets::pad(rows, PAD);
        Ok(Tensor::from_vec(ids, (n, t), &Device::Cpu)?)
    };
    Ok(Batch {
        input: set.pictures.input(&pictures)?,
        words: tensor(&read)?,
        targets: tensor(&told)?,
        lengths: told.iter().map(|ids| ids.len()).collect(),
    })
}

fn training(error: Error) -> candlewick_training::Error {
    match error {
        Error::Training(error) => error,
        other => candlewick_training::Error::Task(other.to_string()),
    }
}

impl Task for CaptioningTask {
    type Batch = Batch;

    fn parameters(&self) -> &Parameters {
        &self.captioner.parameters
    }

    fn batches_per_epoch(&self) -> usize {
        self.captions.len().div_ceil(self.settings.batches.size)
    }

    fn batches<'a>(
        &'a self,
        epoch: usize,
        skip: usize,
    ) -> candlewick_training::Result<Box<dyn Iterator<Item = candlewick_training::Result<Batch>> + 'a>> {
        let jobs: Vec<Vec<usize>> = self.order(epoch).into_iter().skip(skip).collect();
        let (set, captions) = (Arc::clone(&self.train), Arc::clone(&self.captions));
        let config = LoaderConfig { workers: self.settings.batches.workers, ..LoaderConfig::default() };
        let loader = Loader::new(jobs, config, move |rows: Vec<usize>| prepare(&set, &captions, &rows));
        Ok(Box::new(loader.map(|batch: Result<Batch>| batch.map_err(training))))
    }

    fn loss(&self, batch: &Batch, mode: &mut Mode) -> candlewick_training::Result<Loss> {
        self.forward(batch, mode).map_err(training)
    }

    fn validate(&mut self, _: usize) -> candlewick_training::Result<Scores> {
        let generation = self.captioner.generation().clone();
        let captions = self.decode(self.settings.batches.validated, &generation).map_err(training)?;
        self.dev.scores(&captions).map_err(training)
    }

    fn save(&self, folder: &Path) -> candlewick_training::Result<()> {
        self.captioner.save(folder).map_err(training)
    }

    fn config(&self) -> serde_json::Value {
        serde_json::json!({
            "captioner": self.captioner.config(),
            "captions": self.captions.len(),
            "batch_size": self.settings.batches.size,
            "loss": self.settings.loss,
            "seed": self.settings.seed,
        })
    }

    fn learning_rate_factor(&self, parameter: &str) -> f64 {
        if parameter.starts_with("encoder.") { self.settings.encoder_rate } else { 1.0 }
    }
}
