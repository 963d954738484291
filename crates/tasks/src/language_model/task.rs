//! Training a language model by truncated backpropagation through time.

use super::model::LanguageModel;
use super::recipe::BatchConfig;
use super::samples::{self, SAMPLES};
use super::score::Score;
use super::unrolled::Unrolled;
use crate::{Error, Result};
use candle_core::Tensor;
use candlewick_data::tokens::{Chunk, Streams};
use candlewick_generation::Decoder as _;
use candlewick_kernels::loss::{CrossEntropy, cross_entropy};
use candlewick_parameters::{Mode, Parameters, Rng};
use candlewick_recurrent::CarriedState;
use candlewick_training::{Loss, Scores, Shard, Task};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A text with its tokens in streams.
pub struct StreamedText {
    /// The tokens.
    pub streams: Streams,
    /// How many characters they are.
    pub characters: usize,
    /// A hash of the text, by which a run is known again.
    pub hash: String,
}

/// Trains a [`LanguageModel`] on a text and validates it on another.
pub struct LanguageModelTask {
    model: LanguageModel,
    train: StreamedText,
    dev: StreamedText,
    batches: BatchConfig,
    seed: u64,
    /// Carried from a batch to the next.
    state: Mutex<CarriedState>,
    out: PathBuf,
    /// The fresh model over a recipe's own text.
    pub(super) unrolled: Option<Unrolled>,
}

/// How many characters a sample has.
const SAMPLE: usize = 300;

impl LanguageModelTask {
    /// A task that writes its samples into the folder `out`.
    ///
    /// # Errors
    /// When the text is shorter than a batch.
    pub fn new(
        model: LanguageModel,
        [train, dev]: [StreamedText; 2],
        batches: BatchConfig,
        seed: u64,
        out: &Path,
    ) -> Result<Self> {
        let BatchConfig { size, steps, .. } = batches;
        if steps == 0 || train.streams.steps() < steps {
            let (found, wanted) = (train.streams.tokens(), size.saturating_mul(steps));
            return Err(Error::NoData(format!(
                "the text to train on has {found} tokens, and a batch of {size} streams and {steps} steps wants {wanted}; give a longer text or make batches smaller"
            )));
        }
        Ok(Self { model, train, dev, batches, seed, state: Mutex::default(), out: out.to_owned(), unrolled: None })
    }

    /// The model as it is now.
    pub fn model(&self) -> &LanguageModel {
        &self.model
    }

    /// How many chunks the text has.
    fn chunks(&self) -> usize {
        self.train.streams.steps().div_ceil(self.batches.steps)
    }

    /// Where the chunks of a pass through the text begin and end: the same number in each, elsewhere where they are varied.
    fn cuts(&self, pass: usize) -> Vec<usize> {
        let (length, count) = (self.train.streams.steps(), self.chunks());
        let mut rng = Rng::derive(self.seed, "cuts", pass as u64);
        let reach = if self.batches.varied { self.batches.steps / 8 } else { 0 };
        let cut = |k: usize| match k {
            0 => 0,
            k if k == count => length,
            k => (k * length / count + rng.below(2 * reach + 1)).saturating_sub(reach),
        };
        (0..=count).map(cut).collect()
    }

    fn state(&self) -> MutexGuard<'_, CarriedState> {
        // It is replaced whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn score(&self) -> Result<Score> {
        self.model.score_streams(&self.dev.streams, self.dev.characters)
    }
}

/// A score's numbers under their names.
pub(super) fn scores(score: &Score) -> Scores {
    let named = [
        ("nats_per_character", score.nats_per_character()),
        ("bits_per_character", score.bits_per_character()),
        ("perplexity", score.perplexity()),
    ];
    named.into_iter().collect()
}

impl Task for LanguageModelTask {
    type Batch = Chunk;

    fn parameters(&self) -> &Parameters {
        &self.model.parameters
    }

    fn batches_per_epoch(&self) -> usize {
        self.chunks() * self.batches.passes
    }

    fn batches<'a>(
        &'a self,
        epoch: usize,
        skip: usize,
        shard: Shard,
    ) -> Result<Box<dyn Iterator<Item = Result<Chunk>> + 'a>> {
        if shard.of > 1 {
            return Err(Error::Setting("a text is read in order; ranks cannot share it".into()));
        }
        let passes = epoch * self.batches.passes..(epoch + 1) * self.batches.passes;
        let cuts = |pass| self.cuts(pass).windows(2).map(|pair| [pair[0], pair[1]]).collect::<Vec<_>>();
        let chunk = |[start, end]: [usize; 2]| Ok(self.train.streams.chunk(start, end - start)?);
        Ok(Box::new(passes.flat_map(cuts).skip(skip).map(chunk)))
    }

    fn loss(&self, chunk: &Chunk, mode: &mut Mode) -> Result<Loss> {
        let (inputs, targets) = self.model.tensors(chunk)?;
        let mut carried = self.state();
        if chunk.start == 0 {
            carried.reset();
        }
        let (logits, last) = self.model.logits(&inputs, carried.get(), mode)?;
        carried.keep(&last);
        let rows = chunk.rows * chunk.steps;
        let logits = logits.reshape((rows, ()))?;
        let value = cross_entropy(&logits, &targets.flatten_all()?, &CrossEntropy::default(), None)?;
        Ok(Loss::new(value, rows))
    }

    fn validate(&mut self, epoch: usize) -> Result<Scores> {
        let score = self.score()?;
        let generation = candlewick_generation::GenerationConfig {
            max_new_tokens: SAMPLE,
            seed: self.seed,
            ..self.model.generation.clone()
        };
        let text: String = self.model.sample("", &generation)?.collect::<Result<_>>()?;
        let about = format!("{:.3} nats a character", score.nats_per_character());
        samples::add(&self.out.join(SAMPLES), epoch, &about, &text)?;
        Ok(scores(&score))
    }

    fn items(&self) -> &'static str {
        "tokens"
    }

    fn data(&self) -> serde_json::Value {
        let of = |text: &StreamedText| serde_json::json!({ "tokens": text.streams.tokens(), "sha256": text.hash });
        serde_json::json!({ "train": of(&self.train), "dev": of(&self.dev) })
    }

    fn score_names(&self) -> Vec<&'static str> {
        vec!["nats_per_character", "bits_per_character", "perplexity"]
    }

    fn save(&self, folder: &Path) -> Result<()> {
        self.model.save(folder)
    }

    fn tensors(&self) -> Result<Vec<(String, Tensor)>> {
        let carried = self.state();
        let cells = carried.get().unwrap_or_default().iter().enumerate();
        let named = cells.flat_map(|(cell, tensors)| {
            tensors.iter().enumerate().map(move |(at, tensor)| (format!("state.{cell}.{at}"), tensor.clone()))
        });
        Ok(named.collect())
    }

    fn restore_tensors(&mut self, tensors: Vec<(String, Tensor)>) -> Result<()> {
        let mut state = self.model.zero_state(self.batches.size)?;
        let wanted = state.iter().map(Vec::len).sum::<usize>();
        let mut carried = self.state();
        carried.reset();
        if tensors.is_empty() {
            return Ok(());
        }
        if tensors.len() != wanted {
            return Err(Error::task(format!("the state has {wanted} tensors, got {}", tensors.len())));
        }
        for (name, tensor) in tensors {
            let place = name.strip_prefix("state.").and_then(|rest| rest.split_once('.'));
            let place = place.and_then(|(cell, at)| Some((cell.parse::<usize>().ok()?, at.parse::<usize>().ok()?)));
            let own = place.and_then(|(cell, at)| state.get_mut(cell)?.get_mut(at));
            match own {
                Some(own) if own.dims() == tensor.dims() => *own = tensor.to_device(self.model.device())?,
                _ => return Err(Error::task(format!("{name} is no part of this model's state"))),
            }
        }
        carried.keep(&state);
        Ok(())
    }

    fn config(&self) -> serde_json::Value {
        serde_json::json!({
            "model": self.model.config,
            "batches": self.batches,
            "text": self.train.hash,
            "dev_text": self.dev.hash,
            "tokens": self.train.streams.tokens(),
            "seed": self.seed,
        })
    }
}
