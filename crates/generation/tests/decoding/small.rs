//! A decoder small enough to know everything about it, and what every sentence of it must satisfy.

use candle_core::{DType, Device, Result, Tensor};
use candlewick_generation::{Decoder, Hypothesis, Step};
use candlewick_parameters::{Mode, Rng};
use std::sync::Mutex;

/// The word that ends a sentence.
pub const EOS: u32 = 2;

/// Knows the last two words and the time: logits = table[last] + before[the one before] + time[t] + source.
///
/// The attention weights of a step are [source, last word, word before, t], so that each tells where it comes from.
pub struct Small {
    table: Tensor,
    before: Tensor,
    time: Tensor,
    pub rows: Mutex<Vec<usize>>,
}

impl Small {
    pub fn new(table: Tensor, before: Tensor, time: Tensor) -> Self {
        Self { table, before, time, rows: Mutex::default() }
    }

    pub fn random(seed: u64, vocab_size: usize) -> Self {
        let draw = |purpose, rows, std| {
            Rng::derive(seed, purpose, 0).normal_tensor(0.0, std, (rows, vocab_size), &Device::Cpu).unwrap()
        };
        Self::new(draw("table", vocab_size, 1.5), draw("before", vocab_size, 1.0), draw("time", 24, 0.7))
    }

    /// The same first-order chain at each time.
    pub fn markov(table: &[Vec<f32>]) -> Self {
        let size = table.len();
        let table = Tensor::new(table.to_vec(), &Device::Cpu).unwrap();
        let zeros = |rows| Tensor::zeros((rows, size), DType::F32, &Device::Cpu).unwrap();
        Self::new(table, zeros(size), zeros(24))
    }
}

pub fn sources(seed: u64, count: usize, vocab_size: usize) -> Tensor {
    Rng::derive(seed, "sources", 0).normal_tensor(0.0, 1.0, (count, vocab_size), &Device::Cpu).unwrap()
}

/// No sources' own words: `count` rows of zeros.
pub fn plain(count: usize, vocab_size: usize) -> Tensor {
    Tensor::zeros((count, vocab_size), DType::F32, &Device::Cpu).unwrap()
}

impl Decoder for Small {
    type Memory = Tensor;
    type State = (Tensor, Vec<Tensor>);

    fn vocab_size(&self) -> usize {
        self.table.dims()[1]
    }

    fn device(&self) -> &Device {
        self.table.device()
    }

    fn start(&self, memory: &Tensor, _: &mut Mode) -> Result<Self::State> {
        let zeros = Tensor::zeros(memory.dim(0)?, DType::U32, &Device::Cpu)?;
        Ok((zeros.clone(), vec![zeros]))
    }

    fn step(&self, words: &Tensor, state: &Self::State, memory: &Tensor, _: &mut Mode) -> Result<Step<Self::State>> {
        let (before, time) = (&state.0, &state.1[0]);
        self.rows.lock().unwrap().push(words.dim(0)?);
        let language = (self.table.index_select(words, 0)? + self.before.index_select(before, 0)?)?;
        let logits = ((language + self.time.index_select(time, 0)?)? + memory)?;
        let number = |xs: &Tensor| xs.to_dtype(DType::F32);
        let source = memory.narrow(1, 0, 1)?.squeeze(1)?;
        let alpha = Tensor::stack(&[source, number(words)?, number(before)?, number(time)?], 1)?;
        Ok(Step { logits, alpha: Some(alpha), state: (words.clone(), vec![(time + 1.0)?]) })
    }

    fn select_memory(&self, memory: &Tensor, rows: &Tensor) -> Result<Tensor> {
        memory.index_select(rows, 0)
    }
}

pub fn words(hypotheses: &[Hypothesis]) -> Vec<Vec<u32>> {
    hypotheses.iter().map(|hypothesis| hypothesis.words.clone()).collect()
}

/// log softmax of the logits after `history` (start included), on its own in f64.
pub fn log_probabilities(decoder: &Small, source: &Tensor, history: &[u32]) -> Vec<f64> {
    let row = |table: &Tensor, row: u32| table.get(row as usize).unwrap().to_vec1::<f32>().unwrap();
    let last = *history.last().unwrap();
    let before = if history.len() > 1 { history[history.len() - 2] } else { 0 };
    let parts = [row(&decoder.table, last), row(&decoder.before, before), row(&decoder.time, history.len() as u32 - 1)];
    let source = source.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let logits: Vec<f64> = source
        .iter()
        .enumerate()
        .map(|(v, &x)| parts.iter().map(|part| f64::from(part[v])).sum::<f64>() + f64::from(x))
        .collect();
    let sum: f64 = logits.iter().map(|x| x.exp()).sum();
    logits.iter().map(|x| x - sum.ln()).collect()
}

/// All sentences of at most `max` words with their scores, the best first.
pub fn all_sentences(decoder: &Small, source: &Tensor, max: usize, length_penalty: f64) -> Vec<(f64, Vec<u32>)> {
    let (mut open, mut done) = (vec![(0.0, vec![1u32])], Vec::new());
    for length in 1..=max {
        let mut longer = Vec::new();
        for (sum, history) in open {
            for (word, p) in (0u32..).zip(log_probabilities(decoder, source, &history)) {
                let score = (sum + p) / (length as f64).powf(length_penalty);
                let sentence = [&history[..], &[word]].concat();
                if word == EOS {
                    done.push((score, history[1..].to_vec()));
                } else if length == max {
                    done.push((score, sentence[1..].to_vec()));
                } else {
                    longer.push((sum + p, sentence));
                }
            }
        }
        open = longer;
    }
    done.sort_by(|a, b| b.0.total_cmp(&a.0));
    done
}

/// Each word's log-probability is the decoder's own, and they make up the score.
pub fn check_probabilities(decoder: &Small, source: &Tensor, hypothesis: &Hypothesis, penalty: f64) {
    let mut history = vec![1];
    let mut sum = 0.0;
    let end = if hypothesis.finished { Some(EOS) } else { None };
    for (word, &p) in hypothesis.words.iter().copied().chain(end).zip(&hypothesis.log_probabilities) {
        let wanted = log_probabilities(decoder, source, &history)[word as usize];
        assert!((wanted - f64::from(p)).abs() < 1e-5);
        history.push(word);
        sum += wanted;
    }
    let length = hypothesis.words.len() + usize::from(hypothesis.finished);
    assert_eq!(hypothesis.log_probabilities.len(), length);
    assert!((sum / (length as f64).powf(penalty) - f64::from(hypothesis.score)).abs() < 1e-4 * sum.abs().max(1.0));
}

/// Each word's alpha tells its source, the word before it, the one before that, and its time.
pub fn check_alphas(source: &Tensor, hypothesis: &Hypothesis) {
    let source = source.get(0).unwrap().to_scalar::<f32>().unwrap();
    let history: Vec<u32> = [0, 1].into_iter().chain(hypothesis.words.iter().copied()).collect();
    assert_eq!(hypothesis.alpha.len(), hypothesis.words.len());
    for (t, alpha) in hypothesis.alpha.iter().enumerate() {
        assert_eq!(alpha, &[source, history[t + 1] as f32, history[t] as f32, t as f32]);
    }
}
