//! A small recurrent network: its searches must agree with its own teacher forcing, word for word.

use super::small::EOS;
use candle_core::{Device, Result, Tensor};
use candlewick_generation::{Decoder, GenerationConfig, Step, generate, log_sum_exp};
use candlewick_parameters::{Mode, Rng};

const WORDS: usize = 7;

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
        WORDS
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

#[test]
fn every_hypothesis_has_the_probabilities_that_reading_it_gives() {
    let decoder =
        Elman { x: normal("x", (WORDS, 5), 1.0), a: normal("a", (5, 5), 0.9), b: normal("b", (5, WORDS), 1.5) };
    let sources = normal("sources", (3, 5), 1.0);
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
