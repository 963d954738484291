//! A small recurrent network: its searches must agree with its own teacher forcing, word for word.

use super::small::EOS;
use candle_core::{Device, Result, Tensor};
use candlewick_generation::{Decoder, GenerationConfig, Step, generate, log_sum_exp};
use candlewick_kernels::emulated;
use candlewick_parameters::{Mode, Rng};

/// h ← tanh(x[word] + h A), logits = h B; the first h is the memory (N, 5). No attention.
struct Elman {
    x: Tensor,
    a: Tensor,
    b: Tensor,
}

fn normal(name: &str, shape: (usize, usize), std: f64) -> Tensor {
    Rng::derive(11, name, 0).normal_tensor(0.0, std, shape, &Device::Cpu).unwrap()
}

impl Decoder for Elman {
    type Memory = Tensor;
    type State = Tensor;

    fn vocab_size(&self) -> usize {
        self.b.dims()[1]
    }

    fn device(&self) -> &Device {
        self.x.device()
    }

    fn start(&self, memory: &Tensor, _: &mut Mode) -> Result<Tensor> {
        Ok(memory.clone())
    }

    fn step(&self, words: &Tensor, h: &Tensor, _: &Tensor, _: &mut Mode) -> Result<Step<Tensor>> {
        let h = (self.x.index_select(words, 0)? + h.matmul(&self.a)?)?.tanh()?;
        Ok(Step { logits: h.matmul(&self.b)?, alpha: None, state: h })
    }

    fn select_memory(&self, memory: &Tensor, rows: &Tensor) -> Result<Tensor> {
        memory.index_select(rows, 0)
    }
}

fn elman(words: usize) -> Elman {
    Elman { x: normal("x", (words, 5), 1.0), a: normal("a", (5, 5), 0.9), b: normal("b", (5, words), 1.5) }
}

#[test]
fn searches_that_get_only_the_best_words_from_a_gpu_find_what_others_find() {
    let (decoder, sources) = (elman(300), normal("sources", (3, 5), 1.0));
    let beams = GenerationConfig { num_return_sequences: 3, ..GenerationConfig::beam(3) };
    let groups = GenerationConfig {
        num_beam_groups: 2,
        diversity_penalty: 2.0,
        num_return_sequences: 4,
        ..GenerationConfig::beam(4)
    };
    let penalised = GenerationConfig {
        repetition_penalty: 1.5,
        no_repeat_ngram_size: 2,
        min_new_tokens: 5,
        suppress_tokens: (20..40).collect(),
        bad_words_ids: vec![vec![7], vec![5, 9]],
        ..beams.clone()
    };
    let greedy = GenerationConfig { repetition_penalty: 1.5, ..GenerationConfig::greedy() };
    for (seed, config) in [beams, groups, penalised, greedy].into_iter().enumerate() {
        let config = GenerationConfig { max_new_tokens: 8, ..config };
        let search = || generate(&decoder, &sources, 3, &config).unwrap();
        let wanted = search();
        let Some(found) = emulated(seed as u64, search).unwrap() else { return };
        for (found, wanted) in found.iter().flatten().zip(wanted.iter().flatten()) {
            assert_eq!(found.words, wanted.words, "case {seed}");
            for (found, wanted) in found.log_probabilities.iter().zip(&wanted.log_probabilities) {
                assert!((found - wanted).abs() < 1e-4, "case {seed}: {found} instead of {wanted}");
            }
        }
    }
}

#[test]
fn every_hypothesis_has_the_probabilities_that_reading_it_gives() {
    let (decoder, sources) = (elman(7), normal("sources", (3, 5), 1.0));
    let beams = GenerationConfig { num_return_sequences: 4, ..GenerationConfig::beam(4) };
    let samples = GenerationConfig { num_return_sequences: 4, ..GenerationConfig::sample(1.4, 0, 1.0) };
    for config in [beams, samples, GenerationConfig::greedy()] {
        for (n, found) in generate(&decoder, &sources, 3, &config).unwrap().iter().enumerate() {
            let source = sources.narrow(0, n, 1).unwrap();
            for hypothesis in found {
                assert!(hypothesis.alpha.is_empty());
                let end = if hypothesis.finished { Some(EOS) } else { None };
                let written: Vec<u32> = hypothesis.words.iter().copied().chain(end).collect();
                let read = [&[1], &written[..written.len() - 1]].concat();
                let read = Tensor::new(read, &Device::Cpu).unwrap().unsqueeze(0).unwrap();
                let forced = decoder.teacher_forced(&read, &[written.len()], &source, &mut Mode::Eval).unwrap();
                assert!(forced.alpha.is_none());
                let rows = forced.logits.squeeze(0).unwrap().to_vec2::<f32>().unwrap();
                assert_eq!(rows.len(), hypothesis.log_probabilities.len());
                for ((row, &word), found) in rows.iter().zip(&written).zip(&hypothesis.log_probabilities) {
                    let wanted = row[word as usize] - log_sum_exp(row).unwrap();
                    assert!((wanted - found).abs() < 1e-4, "{wanted} and {found}");
                }
            }
        }
    }
}
