//! A character LSTM in thirty lines: it learns a line by heart, and writes it down.
//!
//! `cargo run -p candlewick-recurrent --example characters`

#![allow(clippy::print_stdout)]

use candle_core::{D, Device, Module, Result, Tensor};
use candle_nn::{AdamW, Optimizer, ParamsAdamW};
use candlewick_kernels::loss::{CrossEntropy, cross_entropy};
use candlewick_kernels::node::backward;
use candlewick_parameters::{Mode, Parameters};
use candlewick_recurrent::{Embedding, Linear, Lstm, SequenceLayer, StackConfig};

const TEXT: &str = "the candle burns down and the wick is lit again";
const LETTERS: &str = " abcdefghijklmnopqrstuvwxyz";

fn main() -> Result<()> {
    let (v, parameters) = (LETTERS.len(), Parameters::new(1));
    let vb = parameters.builder(&Device::Cpu);
    let embedding = Embedding::new(v, 16, vb.pp("embedding"))?;
    let lstm = Lstm::new(16, 64, &StackConfig::default(), vb.pp("lstm"))?;
    let head = Linear::new(64, v, vb.pp("head"))?;
    let ids: Vec<u32> = TEXT.chars().map(|letter| LETTERS.find(letter).map_or(0, |at| at as u32)).collect();
    let text = Tensor::new(ids.as_slice(), &Device::Cpu)?.unsqueeze(0)?;
    let (read, told) = (text.narrow(1, 0, ids.len() - 1)?, text.narrow(1, 1, ids.len() - 1)?);
    let vars = parameters.trainable().into_iter().map(|(_, var)| var).collect();
    let mut adam = AdamW::new(vars, ParamsAdamW { lr: 0.01, ..ParamsAdamW::default() })?;
    for step in 0..=150 {
        let (ys, _) = lstm.forward(&embedding.forward(&read)?, None, None, &mut Mode::Eval)?;
        let loss = cross_entropy(&head.forward(&ys)?, &told, &CrossEntropy::default(), None)?;
        adam.step(&backward(&loss)?)?;
        if step % 50 == 0 {
            println!("step {step:>3}: {:.3} nats a letter", loss.to_vec0::<f32>()?);
        }
    }
    // Letter by letter from the first one, each time from the state that the last one left.
    let (mut letter, mut state, mut written) = (text.narrow(1, 0, 1)?, None, TEXT[..1].to_owned());
    while written.len() < TEXT.len() {
        let (ys, last) = lstm.forward(&embedding.forward(&letter)?, state.as_deref(), None, &mut Mode::Eval)?;
        letter = head.forward(&ys)?.argmax(D::Minus1)?;
        written.extend(LETTERS.chars().nth(letter.flatten_all()?.to_vec1::<u32>()?[0] as usize));
        state = Some(last);
    }
    println!("{written}");
    Ok(())
}
