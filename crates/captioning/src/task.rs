//! Training a captioner.

use crate::batches::{Aim, Batch, Captions, Grouping, Told};
use crate::captioner::{Caption, Captioner};
use crate::dataset::{Input, Set};
use crate::decoder::{LossConfig, caption_loss, with_attention};
use crate::recipe::BatchConfig;
use crate::self_critical::{Reward, SelfCritical};
use crate::{Error, Result};
use candle_core::{Device, Tensor};
use candlewick_data::loader::{Loader, LoaderConfig};
use candlewick_data::words::PAD;
use candlewick_parameters::{Mode, Parameters};
use candlewick_recurrent::decoding::{Decoder as _, GenerationConfig};
use candlewick_training::{Loss, Scores, Task};
use std::path::Path;
use std::sync::Arc;

/// Trains a [`Captioner`] on a set of captioned pictures and validates it by decoding another.
pub struct CaptioningTask {
    captioner: Captioner,
    train: Arc<Set>,
    dev: Arc<Set>,
    captions: Arc<Captions>,
    grouping: Grouping,
    /// What drawn captions are judged by, where training is self-critical.
    reward: Option<Reward>,
    settings: TaskSettings,
}

/// What the task needs to know beside captioner and data.
#[derive(Clone, Debug)]
pub struct TaskSettings {
    /// How batches are made.
    pub batches: BatchConfig,
    /// The loss.
    pub loss: LossConfig,
    /// Where given, captions are drawn and judged instead of those of people being learned.
    pub self_critical: Option<SelfCritical>,
    /// What the order of the batches is drawn from.
    pub seed: u64,
    /// Whether the encoder's batch norm takes the batch's statistics: true for an encoder trained from scratch.
    pub train_statistics: bool,
    /// The longest caption in words; longer ones are left out.
    pub longest: usize,
    /// The factor on the learning rate of the encoder's parameters.
    pub encoder_rate: f64,
}

impl CaptioningTask {
    /// A task over the captions of `train`, validated on `dev`.
    ///
    /// # Errors
    /// When no caption is short enough to be trained on.
    pub fn new(captioner: Captioner, train: Set, dev: Set, settings: TaskSettings) -> Result<Self> {
        let captions = Captions::new(&captioner.tokenizer, &train.references, settings.longest)?;
        if captions.len() == 0 || settings.batches.size == 0 {
            let fault = "no captions to train on: the train split is empty, all captions are longer than `longest`, or the batch size is 0";
            return Err(Error::Config(fault.into()));
        }
        let reward = match &settings.self_critical {
            Some(drawing) => {
                drawing.validate()?;
                Some(Reward::new(&train.references))
            }
            None => None,
        };
        let drawn = settings.self_critical.as_ref().map(|drawing| drawing.samples);
        let grouping = Grouping::new(&settings.batches, &captions, drawn);
        let (train, dev, captions) = (train.into(), dev.into(), captions.into());
        Ok(Self { captioner, train, dev, captions, grouping, reward, settings })
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
        match &batch.aim {
            Aim::Told(told) => self.likelihood(&seen, told, mode),
            Aim::Better(rows) => self.critical(&seen, rows, mode),
        }
    }

    /// The loss of people's captions.
    fn likelihood(&self, seen: &Tensor, told: &Told, mode: &mut Mode) -> Result<Loss> {
        let (decoder, device) = (&self.captioner.decoder, self.captioner.device());
        let (words, targets) = (told.words.to_device(device)?, told.targets.to_device(device)?);
        let mut memory = decoder.memory(seen, mode)?;
        if let Some(pictures) = &told.pictures {
            memory = decoder.expand(&memory, &Tensor::new(pictures.as_slice(), device)?)?;
        }
        let forced = decoder.teacher_forced(&words, &told.lengths, &memory, mode)?;
        let loss = caption_loss(&forced, &targets, &self.settings.loss, PAD)?;
        let attention = loss.attention.map(|term| ("attention", term));
        let parts = [Some(("words", loss.words)), attention].into_iter().flatten().collect();
        Ok(Loss { value: loss.total, count: told.lengths.iter().sum(), parts })
    }

    /// The loss of captions that are drawn now. Nothing is dropped out: they are drawn from the network that is trained.
    fn critical(&self, seen: &Tensor, rows: &[usize], mode: &mut Mode) -> Result<Loss> {
        let decoder = &self.captioner.decoder;
        let (Some(drawing), Some(reward)) = (&self.settings.self_critical, &self.reward) else {
            return Err(Error::Config("self_critical: no reward for this task".into()));
        };
        let Mode::Train(rng) = mode else {
            return Err(Error::Config("self_critical: captions are drawn in training only".into()));
        };
        let memory = decoder.memory(seen, &mut Mode::Eval)?;
        let longest = self.captioner.generation().max_new_tokens;
        let drawn = drawing.draw(decoder, &memory, rows, (&self.captioner.tokenizer, reward, longest), rng)?;
        let judged = drawn.loss(decoder, &memory, &mut Mode::Eval)?;
        let loss = with_attention(judged.value, &judged.forced, &judged.targets, &self.settings.loss, PAD)?;
        let reward = Tensor::new(drawn.reward as f32, &Device::Cpu)?;
        let attention = loss.attention.map(|term| ("attention", term));
        let parts = [Some(("words", loss.words)), attention, Some(("reward", reward))].into_iter().flatten().collect();
        Ok(Loss { value: loss.total, count: judged.count, parts })
    }
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
        self.captions.batches(self.grouping)
    }

    fn batches<'a>(
        &'a self,
        epoch: usize,
        skip: usize,
    ) -> candlewick_training::Result<Box<dyn Iterator<Item = candlewick_training::Result<Batch>> + 'a>> {
        // Batch norm would tell a picture's caption length from its batch if all captions there were alike: an encoder that
        // takes the batch's statistics gets batches of any lengths.
        let order = self.captions.order(self.grouping, !self.settings.train_statistics, self.settings.seed, epoch);
        let jobs: Vec<Vec<usize>> = order.into_iter().skip(skip).collect();
        let (set, captions, grouping) = (Arc::clone(&self.train), Arc::clone(&self.captions), self.grouping);
        let better = self.reward.is_some();
        let config = LoaderConfig { workers: self.settings.batches.workers, ..LoaderConfig::default() };
        let loader =
            Loader::new(jobs, config, move |rows: Vec<usize>| captions.batch(&set.pictures, grouping, &rows, better));
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
            "by_picture": matches!(self.grouping, Grouping::Pictures(_)),
            "loss": self.settings.loss,
            "self_critical": self.settings.self_critical,
            "seed": self.settings.seed,
        })
    }

    fn learning_rate_factor(&self, parameter: &str) -> f64 {
        if parameter.starts_with("encoder.") { self.settings.encoder_rate } else { 1.0 }
    }
}
