//! The rows that a search feeds to the decoder: which source each belongs to, its state and its memory.

use crate::config::GenerationConfig;
use crate::decoder::Decoder;
use crate::hypothesis::{Beam, Trace};
use crate::normaliser::{check_normalisers, log_sum_exps};
use crate::processors::{LogitsProcessors, apply, lowers, reads_history};
use crate::select_rows::SelectRows as _;
use candle_core::{DType, Result, Tensor, bail};
use candlewick_kernels::top_k::{TopK, is_faster, top_k};
use candlewick_parameters::Mode;

/// How many words more than wanted a GPU gives: log-probabilities of different logits may be rounded to the same, and then the lower word
/// comes first.
const ROUNDED: usize = 8;

/// A row of the next step: it goes on from row `parent` of the last one, about `source`, with `word`.
pub(crate) struct NextRow {
    pub parent: usize,
    pub source: usize,
    pub word: u32,
}

/// All sentences of all sources that are still being written, a row each.
///
/// It begins with one row per source. Whenever the sources of the rows change (the first step branches, a source is done),
/// the memory is selected anew, so that a step costs what the rows at hand need.
pub(crate) struct Batch<D: Decoder> {
    decoder: D,
    memory: D::Memory,
    /// The memory of the rows where they are not simply the sources in order.
    selected: Option<D::Memory>,
    state: D::State,
    sources: Vec<u32>,
    words: Vec<u32>,
    /// The words of a prompt.
    prompt: usize,
    pub processors: LogitsProcessors,
    pub trace: Trace,
}

impl<D: Decoder> Batch<D> {
    pub(crate) fn new(decoder: D, memory: D::Memory, count: usize, config: &GenerationConfig) -> Result<Self> {
        let Some(start) = config.bos_token_id else {
            bail!("generation config: bos_token_id is null, so there is nothing to begin with; go on from prompts")
        };
        Self::after(decoder, memory, &vec![vec![start]; count], config)
    }

    /// Rows that go on from prompts of one length; all but the last word of each is read at once.
    pub(crate) fn after(
        decoder: D,
        memory: D::Memory,
        prompts: &[Vec<u32>],
        config: &GenerationConfig,
    ) -> Result<Self> {
        let vocab_size = decoder.vocab_size();
        config.validate_for(vocab_size)?;
        let length = prompts.first().map_or(1, Vec::len);
        if length == 0 || prompts.iter().any(|prompt| prompt.len() != length) {
            bail!("decoding: prompts of one length, at least one word, are wanted")
        }
        if let Some(word) = prompts.iter().flatten().find(|&&word| word as usize >= vocab_size) {
            bail!("decoding: a prompt has word {word}; the vocabulary has {vocab_size}")
        }
        let (count, read) = (prompts.len(), length - 1);
        let mut state = decoder.start(&memory, &mut Mode::Eval)?;
        if read > 0 {
            let words: Vec<u32> = prompts.iter().flat_map(|prompt| &prompt[..read]).copied().collect();
            let words = Tensor::from_vec(words, (count, read), decoder.device())?;
            state = decoder.read_on(&words, &vec![read; count], &state, &memory, &mut Mode::Eval)?.1;
        }
        // The processors count the prompt in.
        let least = if config.min_new_tokens > 0 { config.min_new_tokens + read } else { 0 };
        let processors = GenerationConfig { min_new_tokens: least, ..config.clone() }.processors();
        Ok(Self {
            state,
            decoder,
            memory,
            selected: None,
            sources: (0..count as u32).collect(),
            prompt: length,
            words: prompts.iter().filter_map(|prompt| prompt.last().copied()).collect(),
            processors,
            trace: Trace::new(prompts.to_vec()),
        })
    }

    /// How many sources there are: as many as rows before the first step.
    pub(crate) fn sources(&self) -> usize {
        self.sources.len()
    }

    /// Whether the words of a sentence are asked for at each step.
    pub(crate) fn reads_history(&self) -> bool {
        reads_history(&self.processors)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// One step of the decoder for all rows; the logits as f32 on the host, row after row. Where a search takes no more than the best
    /// `wanted` of a row, after the processors, a GPU gives only what may be among these.
    pub(crate) fn step(&mut self, wanted: Option<usize>) -> Result<Logits> {
        let rows = self.words.len();
        let vocab_size = self.decoder.vocab_size();
        let words = Tensor::new(self.words.as_slice(), self.decoder.device())?;
        let memory = self.selected.as_ref().unwrap_or(&self.memory);
        let step = self.decoder.step(&words, &self.state, memory, &mut Mode::Eval)?;
        if step.logits.dims() != [rows, vocab_size] {
            bail!("decoding: a step gave logits {:?}; wanted [{rows}, {vocab_size}]", step.logits.dims())
        }
        self.state = step.state;
        self.trace.push_step(step.alpha);
        let logits = step.logits.to_dtype(DType::F32)?;
        let lowered = lowers(&self.processors, self.trace.steps() + self.prompt);
        let most = wanted.zip(lowered).map(|(wanted, lowered)| wanted + lowered + ROUNDED);
        if let Some(k) = most.filter(|&k| is_faster(&logits, k)) {
            return Logits::of_best(&top_k(&logits, k)?, vocab_size);
        }
        let values: Vec<f32> = logits.flatten_all()?.to_vec1()?;
        let normalisers = log_sum_exps(&values, vocab_size)?;
        Ok(Logits { values, normalisers, vocab_size })
    }

    /// Keeps, repeats and drops rows: row m of the next step is `next[m]`.
    pub(crate) fn select(&mut self, next: &[NextRow]) -> Result<()> {
        self.words = next.iter().map(|row| row.word).collect();
        let sources: Vec<u32> = next.iter().map(|row| row.source as u32).collect();
        if !next.is_empty() {
            let parents: Vec<u32> = next.iter().map(|row| row.parent as u32).collect();
            self.state = self.state.select(&self.indices(&parents)?)?;
            if sources != self.sources {
                self.selected = Some(self.decoder.select_memory(&self.memory, &self.indices(&sources)?)?);
            }
        }
        self.sources = sources;
        Ok(())
    }

    /// The log-probabilities of a beam's next word after the processors, in place of what is in `scores`; `history` is left with the
    /// start and the beam's words.
    pub(crate) fn scores(
        &self,
        logits: &Logits,
        beam: &Beam,
        scores: &mut Vec<f32>,
        history: &mut Vec<u32>,
    ) -> Result<()> {
        logits.log_probabilities(beam.row, scores);
        self.trace.read(beam.last, history);
        apply(&self.processors, scores, history)
    }

    fn indices(&self, rows: &[u32]) -> Result<Tensor> {
        Tensor::new(rows, self.decoder.device())
    }
}

/// The logits (rows, V) of a step on the host.
pub(crate) struct Logits {
    values: Vec<f32>,
    /// log Σ exp of each row.
    normalisers: Vec<f32>,
    vocab_size: usize,
}

impl Logits {
    /// Rows in which all but the best words are impossible.
    fn of_best(best: &TopK, vocab_size: usize) -> Result<Self> {
        check_normalisers(&best.log_sum_exps)?;
        let mut values = vec![f32::NEG_INFINITY; best.log_sum_exps.len() * vocab_size];
        let found = best.indices.chunks_exact(best.k).zip(best.values.chunks_exact(best.k));
        for (row, (words, logits)) in values.chunks_exact_mut(vocab_size).zip(found) {
            for (&word, &logit) in words.iter().zip(logits) {
                if let Some(value) = row.get_mut(word as usize) {
                    *value = logit;
                }
            }
        }
        Ok(Self { values, normalisers: best.log_sum_exps.clone(), vocab_size })
    }

    /// The logits of one row; empty where there is no such row.
    pub(crate) fn row(&self, row: usize) -> &[f32] {
        self.values.chunks_exact(self.vocab_size).nth(row).unwrap_or_default()
    }

    /// log Σ exp of a row's logits.
    pub(crate) fn normaliser(&self, row: usize) -> f32 {
        self.normalisers.get(row).copied().unwrap_or(f32::NEG_INFINITY)
    }

    /// The log-probabilities of a row, in place of what is in `scores`.
    pub(crate) fn log_probabilities(&self, row: usize, scores: &mut Vec<f32>) {
        let normaliser = self.normaliser(row);
        scores.clear();
        // A row of −∞ only would otherwise become NaN.
        scores.extend(self.row(row).iter().map(|&x| if x > f32::NEG_INFINITY { x - normaliser } else { x }));
    }
}
