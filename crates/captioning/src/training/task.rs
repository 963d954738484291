//! Training a captioner.

use super::batches::{Batch, BatchBy, BatchConfig, Captions};
use super::loss::{CaptionLoss, LossConfig, add_attention_penalty, add_reinforce, caption_loss};
use super::scheduled_sampling::{ScheduledSampling, mix_in_samples};
use super::self_critical::{Judge, NEVER_SAID, Reward, SelfCritical};
use crate::caption::Caption;
use crate::captioner::Captioner;
use crate::dataset::CaptionDataset;
use crate::decoders::source;
use crate::{Error, Result};
use candle_core::{Device, Tensor};
use candlewick_data::features::PhotoHash;
use candlewick_data::loader::{Loader, LoaderConfig};
use candlewick_data::text::words::{END, PAD};
use candlewick_generation::{Decoder as _, GenerationConfig};
use candlewick_kernels::device::upload;
use candlewick_parameters::{Mode, Parameters, Rng};
use candlewick_recurrent::decoders::SourceDecoder as _;
use candlewick_training::reinforce::MovingAverage;
use candlewick_training::{Loss, Scores, Shard, Task, data_hash};
use candlewick_vision::{Annotations, EncoderInput, View};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Trains a [`Captioner`] on a set of captioned pictures and validates it by decoding another.
pub struct CaptioningTask {
    captioner: Captioner,
    train: Arc<CaptionDataset>,
    dev: Arc<CaptionDataset>,
    captions: Arc<Captions>,
    batch_by: BatchBy,
    /// What drawn captions are judged by, where training is self-critical.
    reward: Option<Reward>,
    /// The moving average of a word's log-probability, where positions are drawn.
    baseline: Mutex<MovingAverage>,
    /// Hashes of the pictures that are trained on, and of those that are validated on with what people say of them.
    digests: [PhotoHash; 2],
    settings: TaskSettings,
}

/// What the task needs to know beside captioner and data.
#[derive(Clone, Debug)]
pub struct TaskSettings {
    /// How batches are made.
    pub batches: BatchConfig,
    /// The loss.
    pub loss: LossConfig,
    /// Where given, the network reads some of its own words.
    pub scheduled_sampling: Option<ScheduledSampling>,
    /// Where given, captions are drawn and judged instead of those of people being learned.
    pub self_critical: Option<SelfCritical>,
    /// The views that training pictures are seen through.
    pub views: Vec<View>,
    /// What the order of the batches, and the views, are drawn from.
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
    pub fn new(
        captioner: Captioner,
        train: CaptionDataset,
        dev: CaptionDataset,
        settings: TaskSettings,
    ) -> Result<Self> {
        let captions = Captions::new(&captioner.tokenizer, &train.references, settings.longest)?;
        if captions.len() == 0 || settings.batches.size == 0 {
            let fault = "no captions to train on: the train split is empty, all captions are longer than `longest`, or the batch size is 0";
            return Err(Error::NoData(fault.into()));
        }
        if settings.batches.validated == Some(0) {
            return Err(Error::Setting("batches.validated is 0; leave it out to validate on all pictures".into()));
        }
        if dev.pictures.is_empty() {
            return Err(Error::NoData("no picture is left to validate on: none of the dev split can be read".into()));
        }
        settings.loss.validate()?;
        captioner.generation().validate()?;
        if let Some(schedule) = &settings.scheduled_sampling {
            schedule.validate()?;
        }
        let reward = match &settings.self_critical {
            Some(drawing) => {
                drawing.validate()?;
                Some(Reward::new(&train.references))
            }
            None => None,
        };
        let drawn = settings.self_critical.as_ref().map(|drawing| drawing.samples);
        let batch_by = BatchBy::new(&settings.batches, &captions, drawn);
        let told = dev.references.iter().flatten().map(String::as_str).collect::<Vec<_>>().join("\n");
        let validated = format!("{}\n{told}", dev.pictures.digest()?);
        let digests = [train.pictures.digest()?, PhotoHash::of(validated.as_bytes())];
        let (train, dev, captions) = (train.into(), dev.into(), captions.into());
        let baseline = Mutex::new(MovingAverage::new(BASELINE_DECAY));
        Ok(Self { captioner, train, dev, captions, batch_by, reward, baseline, digests, settings })
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
        crate::report::decode(&self.captioner, &self.dev, count, batch, generation, &mut |_| ())
    }

    /// The set that validation decodes.
    pub fn dev(&self) -> &CaptionDataset {
        &self.dev
    }

    /// A line about the captions that are not trained on, where there are any.
    pub(crate) fn left_out(&self) -> Option<String> {
        let longest = self.settings.longest;
        let told = |count: usize, what: String| (count > 0).then(|| format!("{count} {what}"));
        let [longer, empty] = self.captions.left_out();
        let kinds =
            [told(longer, format!("longer than {longest} words (data.longest)")), told(empty, "without a word".into())];
        let kinds: Vec<String> = kinds.into_iter().flatten().collect();
        (!kinds.is_empty()).then(|| format!("left out captions: {}", kinds.join(", ")))
    }

    /// A line where many captions are longer than those that will be generated.
    pub(crate) fn cut_short(&self) -> Option<String> {
        let longest = self.captioner.generation().max_new_tokens;
        let (longer, all) = (self.captions.longer_than(longest), self.captions.len());
        (longer > all / MANY).then(|| {
            format!(
                "{longer} of {all} captions have more words than generation.max_new_tokens, {longest}; set it higher"
            )
        })
    }

    fn forward(&self, batch: &Batch, mode: &mut Mode) -> Result<Loss> {
        let device = self.captioner.device();
        let annotations = match &batch.input {
            EncoderInput::Annotations(annotations) => annotations.to_device(device)?,
            EncoderInput::Images(images) => {
                let images = upload(images, device)?;
                match mode {
                    Mode::Train(rng) if self.settings.train_statistics => {
                        self.captioner.encoder().annotations(&images, &mut Mode::Train(rng))?
                    }
                    _ => self.captioner.encoder().annotations(&images, &mut Mode::Eval)?,
                }
            }
        };
        match &self.reward {
            Some(reward) => self.critical(&annotations, batch, reward, mode),
            None => self.likelihood(&annotations, batch, mode),
        }
    }

    /// The loss of people's captions.
    fn likelihood(&self, annotations: &Annotations, batch: &Batch, mode: &mut Mode) -> Result<Loss> {
        let (decoder, device) = (&self.captioner.decoder, self.captioner.device());
        let captions = &batch.captions;
        let (mut words, targets) = (captions.words.to_device(device)?, captions.targets.to_device(device)?);
        let mut memory = decoder.memory(&source(annotations)?)?;
        if let Some(sources) = &captions.sources {
            memory = decoder.select_memory(&memory, &Tensor::new(sources.as_slice(), device)?)?;
        }
        if let (Mode::Train(rng), true) = (&mut *mode, batch.own_words > 0.0) {
            let special = [&NEVER_SAID[..], &[END]].concat();
            words = mix_in_samples(decoder, &words, &memory, (batch.own_words, &special), rng)?;
        }
        let read = decoder.read(&words, &captions.lengths, &memory, mode)?;
        let loss = caption_loss(&read.forced, &targets, &self.settings.loss, PAD)?;
        let mut baseline = self.baseline.lock().unwrap_or_else(PoisonError::into_inner);
        let (loss, mean) = add_reinforce(loss, &read, &targets, (&self.settings.loss, baseline.value()), PAD)?;
        mean.into_iter().for_each(|mean| baseline.update(mean));
        let value = loss.total.clone();
        Ok(Loss { value, count: captions.lengths.iter().sum(), parts: parts(loss, None) })
    }

    /// The words in their order, and what people said of the training pictures.
    fn texts(&self) -> PhotoHash {
        let tokenizer = &self.captioner.tokenizer;
        let words = (0..tokenizer.vocab_size() as u32).filter_map(|id| tokenizer.word(id));
        let mut all: Vec<String> = words.collect();
        all.extend(self.train.references.iter().flatten().cloned());
        PhotoHash::of(all.join("\n").as_bytes())
    }

    /// The loss of captions that are drawn now.
    fn critical(&self, annotations: &Annotations, batch: &Batch, reward: &Reward, mode: &mut Mode) -> Result<Loss> {
        let decoder = &self.captioner.decoder;
        let Some(drawing) = &self.settings.self_critical else {
            return Err(Error::task("self_critical: no settings for this task"));
        };
        let Mode::Train(rng) = mode else {
            return Err(Error::task("self_critical: captions are drawn in training only"));
        };
        let memory = decoder.memory(&source(annotations)?)?;
        let longest = self.captioner.generation().max_new_tokens;
        let judge = Judge { tokenizer: &self.captioner.tokenizer, reward, longest };
        let drawn = drawing.draw(decoder, &memory, &batch.pictures, judge, rng)?;
        let judged = match drawing.dropout {
            true => drawn.loss(decoder, &memory, &mut Mode::Train(rng))?,
            false => drawn.loss(decoder, &memory, &mut Mode::Eval)?,
        };
        let loss = add_attention_penalty(
            CaptionLoss::of_words(judged.value),
            &judged.forced,
            &judged.targets,
            &self.settings.loss,
            PAD,
        )?;
        let reward = Tensor::new(drawn.reward as f32, &Device::Cpu)?;
        let (mut value, mut parts) = (loss.total.clone(), parts(loss, Some(reward)));
        if drawing.likelihood > 0.0 {
            let people = self.likelihood(annotations, batch, mode)?.value;
            value = (value + (&people * drawing.likelihood)?)?;
            parts.push(("likelihood", people));
        }
        Ok(Loss { value, count: judged.count, parts })
    }
}

/// One in so many captions that are longer than those that are generated is worth a line.
const MANY: usize = 10;

/// What of the average of earlier batches stays at each batch (Xu et al. 2015).
const BASELINE_DECAY: f64 = 0.9;

/// What the logs show of a loss.
fn parts(loss: CaptionLoss, reward: Option<Tensor>) -> Vec<(&'static str, Tensor)> {
    let parts = [
        ("words", Some(loss.words)),
        ("attention", loss.attention),
        ("positions", loss.positions),
        ("entropy", loss.entropy),
        ("reward", reward),
    ];
    parts.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

impl Task for CaptioningTask {
    type Batch = Batch;

    fn parameters(&self) -> &Parameters {
        &self.captioner.parameters
    }

    fn batches_per_epoch(&self) -> usize {
        self.captions.batches(self.batch_by)
    }

    fn batches<'a>(
        &'a self,
        epoch: usize,
        skip: usize,
        shard: Shard,
    ) -> Result<Box<dyn Iterator<Item = Result<Batch>> + 'a>> {
        // Batch norm would tell a picture's caption length from its batch if all captions there were alike: an encoder that
        // takes the batch's statistics gets batches of any lengths.
        let order = self.captions.order(self.batch_by, !self.settings.train_statistics, self.settings.seed, epoch);
        let jobs: Vec<(usize, Vec<usize>)> = shard.select(order, skip).collect();
        let (views, seed) = (self.settings.views.clone(), self.settings.seed);
        let (set, captions, batch_by) = (Arc::clone(&self.train), Arc::clone(&self.captions), self.batch_by);
        let schedule = self.settings.scheduled_sampling.as_ref().filter(|_| self.reward.is_none());
        let own_words = schedule.map_or(0.0, |schedule| schedule.probability(epoch));
        let config = LoaderConfig { workers: self.settings.batches.workers, ..LoaderConfig::default() };
        let first = epoch * self.batches_per_epoch();
        let loader = Loader::new(jobs, config, move |(at, rows): (usize, Vec<usize>)| {
            let mut rng = Rng::derive(seed, "views", (first + at) as u64);
            let mut input = |of: &[usize]| Ok(set.pictures.input_through(of, &mut || View::drawn(&views, &mut rng))?);
            captions.batch(&mut input, batch_by, &rows, own_words)
        });
        Ok(Box::new(loader))
    }

    fn loss(&self, batch: &Batch, mode: &mut Mode) -> Result<Loss> {
        self.forward(batch, mode)
    }

    fn validate(&mut self, epoch: usize) -> Result<Scores> {
        self.validate_told(epoch, &mut |_, _| ())
    }

    fn validate_told(&mut self, _: usize, progress: &mut dyn FnMut(usize, usize)) -> Result<Scores> {
        let (generation, count) = (self.captioner.generation(), self.settings.batches.validated);
        let total = self.dev.pictures.len().min(count.unwrap_or(usize::MAX));
        let batch = self.settings.batches.decoded;
        let mut told = |done| progress(done, total);
        let captions = crate::report::decode(&self.captioner, &self.dev, count, batch, generation, &mut told)?;
        self.dev.scores(&captions)
    }

    fn items(&self) -> &'static str {
        "words"
    }

    fn score_names(&self) -> Vec<&'static str> {
        self.dev.score_names()
    }

    fn save(&self, folder: &Path) -> Result<()> {
        self.captioner.save(folder)
    }

    fn state(&self) -> serde_json::Value {
        let baseline = self.baseline.lock().unwrap_or_else(PoisonError::into_inner);
        serde_json::json!({ "baseline": baseline.state() })
    }

    fn restore(&mut self, state: serde_json::Value) -> Result<()> {
        let baseline = self.baseline.get_mut().unwrap_or_else(PoisonError::into_inner);
        baseline.restore(state.get("baseline").unwrap_or(&serde_json::Value::Null));
        Ok(())
    }

    fn config(&self) -> serde_json::Value {
        let mut captioner = serde_json::json!(self.captioner.config());
        // The same weights may lie elsewhere when the run goes on.
        if let Some(weights) = captioner.pointer_mut("/encoder/weights").and_then(serde_json::Value::as_object_mut) {
            weights.remove("file");
        }
        let drawn_words = self.reward.as_ref().map(|_| self.captioner.generation().max_new_tokens);
        serde_json::json!({
            "captioner": captioner,
            "preprocessing": self.captioner.preprocessing(),
            "texts": self.texts().to_string(),
            "photos": self.digests[0].to_string(),
            "dev_split": self.digests[1].to_string(),
            "encoder_rate": self.settings.encoder_rate,
            "drawn_words": drawn_words,
            "captions": self.captions.len(),
            "batch_size": self.settings.batches.size,
            "by_picture": matches!(self.batch_by, BatchBy::Pictures(_)),
            "loss": self.settings.loss,
            "scheduled_sampling": self.settings.scheduled_sampling,
            "self_critical": self.settings.self_critical,
            "views": self.settings.views,
            "regions": self.train.pictures.regions_file(),
            "seed": self.settings.seed,
        })
    }

    fn data(&self) -> serde_json::Value {
        let of = |set: &CaptionDataset| {
            let items = set.names.iter().enumerate().map(|(row, name)| {
                let said = format!("{name}\t{}", set.references[row].join("\t"));
                (set.pictures.paths().get(row).map(PathBuf::as_path), said)
            });
            let captions: usize = set.references.iter().map(Vec::len).sum();
            serde_json::json!({ "pictures": set.names.len(), "captions": captions, "sha256": data_hash(items) })
        };
        serde_json::json!({ "train": of(&self.train), "dev": of(&self.dev) })
    }

    fn learning_rate_factor(&self, parameter: &str) -> f64 {
        if parameter.starts_with("encoder.") { self.settings.encoder_rate } else { 1.0 }
    }
}
