//! A language model of letter pairs that writes: words sampled as they come, and the likeliest by beams.
//!
//! `cargo run -p candlewick-generation --example bigrams`

#![allow(clippy::print_stdout)]

use candle_core::{Device, Result, Tensor};
use candlewick_generation::{Decoder, GenerationConfig, Sampling, Step, generate, stream};
use candlewick_parameters::Mode;

const TEXT: &str = "the wick is lit and the light is in the hall and the hall is still ";
const LETTERS: &str = "\0\u{1} abcdefghijklmnopqrstuvwxyz";

/// log p(next letter | letter), counted in a text: (V, V). It has no memory and no state but the letter itself.
struct Bigrams(Tensor);

impl Decoder for Bigrams {
    type Memory = ();
    type State = ();

    fn vocab_size(&self) -> usize {
        LETTERS.len()
    }

    fn device(&self) -> &Device {
        self.0.device()
    }

    fn start(&self, _: &(), _: &mut Mode) -> Result<()> {
        Ok(())
    }

    fn step(&self, letters: &Tensor, _: &(), _: &(), _: &mut Mode) -> Result<Step<()>> {
        Ok(Step { logits: self.0.index_select(letters, 0)?, alpha: None, state: () })
    }

    fn select_memory(&self, _: &(), _: &Tensor) -> Result<()> {
        Ok(())
    }
}

fn id(letter: char) -> u32 {
    LETTERS.find(letter).map_or(0, |at| at as u32)
}

fn main() -> Result<()> {
    let v = LETTERS.len();
    let mut counts = vec![1e-3f32; v * v];
    let letters: Vec<u32> = TEXT.chars().map(id).collect();
    for pair in letters.windows(2) {
        counts[pair[0] as usize * v + pair[1] as usize] += 1.0;
    }
    let model = Bigrams(Tensor::from_vec(counts, (v, v), &Device::Cpu)?.log()?);
    // It begins as if a space stood before, and letter 1, which never comes, would end it.
    let start = GenerationConfig {
        bos_token_id: Some(id(' ')),
        eos_token_id: Some(1),
        max_new_tokens: 60,
        ..Default::default()
    };

    let sampled = GenerationConfig { do_sample: true, seed: 3, ..start.clone() };
    let text = stream(Sampling::new(&model, (), 1, &sampled)?)
        .map(|written| Ok(written?.word.and_then(|word| LETTERS.chars().nth(word as usize)).unwrap_or('.')))
        .collect::<Result<String>>()?;
    println!("sampled: {text}");

    let beams = GenerationConfig { num_beams: 4, max_new_tokens: 12, ..start };
    for found in &generate(&model, &(), 1, &beams)?[0] {
        let text: String = found.words.iter().filter_map(|&word| LETTERS.chars().nth(word as usize)).collect();
        println!("likeliest: {text:?}, Σ log p / length = {:.3}", found.score);
    }
    Ok(())
}
