//! How likely a language model holds a text.

use super::model::LanguageModel;
use crate::{Error, Result};
use candle_core::{D, Tensor};
use candle_nn::ops::log_softmax;
use candlewick_data::tokens::{Chunk, Streams};
use candlewick_parameters::Mode;
use candlewick_recurrent::CarriedState;

/// The negative log-likelihood of a text, −Σ_t ln p(y_t | y_1 … y_{t−1}), of every token but the first.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Score {
    /// Σ_t −ln p, in nats.
    pub nats: f64,
    /// How many characters the tokens that were told are.
    pub characters: usize,
    /// How many tokens were told.
    pub tokens: usize,
}

impl Score {
    /// Nats a character, so that models of different tokens compare.
    pub fn nats_per_character(&self) -> f64 {
        self.nats / self.characters.max(1) as f64
    }

    /// Bits a character.
    pub fn bits_per_character(&self) -> f64 {
        self.nats_per_character() / std::f64::consts::LN_2
    }

    /// exp(nats a token).
    pub fn perplexity(&self) -> f64 {
        (self.nats / self.tokens.max(1) as f64).exp()
    }
}

/// Steps that are read at a time.
const STEPS: usize = 512;

impl LanguageModel {
    /// The score of a text, read once from its first token on; what it did not learn counts as the token for unknown ones.
    ///
    /// # Errors
    /// When it has fewer than two tokens.
    pub fn score(&self, text: &str) -> Result<Score> {
        let ids = self.tokenizer.encode(text)?;
        if ids.len() < 2 {
            return Err(Error::Setting("the text has fewer than two tokens; give a longer one".into()));
        }
        let (mut state, mut nats) = (CarriedState::default(), 0.0);
        for start in (0..ids.len() - 1).step_by(STEPS) {
            let steps = STEPS.min(ids.len() - 1 - start);
            let inputs = ids[start..start + steps].to_vec();
            let targets = ids[start + 1..start + steps + 1].to_vec();
            nats += self.nats(&Chunk { start, inputs, targets, rows: 1, steps }, &mut state)?;
        }
        let first = self.tokenizer.decode(&ids[..1])?.chars().count();
        let characters = text.chars().count().saturating_sub(first);
        Ok(Score { nats, characters, tokens: ids.len() - 1 })
    }

    /// The score of a text as streams that are read side by side, of which each character counts the same share.
    ///
    /// # Errors
    /// When the tokens cannot be read.
    pub fn score_streams(&self, streams: &Streams, characters: usize) -> Result<Score> {
        let (mut state, mut nats, mut start) = (CarriedState::default(), 0.0, 0);
        while start < streams.steps() {
            let chunk = streams.chunk(start, STEPS)?;
            nats += self.nats(&chunk, &mut state)?;
            start += chunk.steps;
        }
        let tokens = streams.steps() * streams.rows();
        let characters = (characters as f64 * tokens as f64 / streams.tokens() as f64).round() as usize;
        Ok(Score { nats, characters, tokens })
    }

    /// Σ −ln p of a chunk's targets.
    fn nats(&self, chunk: &Chunk, state: &mut CarriedState) -> Result<f64> {
        let (inputs, targets) = self.tensors(chunk)?;
        let (logits, last) = self.logits(&inputs, state.get(), &mut Mode::Eval)?;
        state.keep(&last);
        let told = log_softmax(&logits, D::Minus1)?.gather(&targets.unsqueeze(2)?, 2)?;
        let rows = told.flatten_all()?.to_vec1::<f32>()?;
        Ok(-rows.into_iter().map(f64::from).sum::<f64>())
    }

    /// A chunk's inputs and targets (N, T) on the model's device.
    pub(super) fn tensors(&self, chunk: &Chunk) -> candle_core::Result<(Tensor, Tensor)> {
        use candlewick_generation::Decoder as _;
        let tensor = |ids: &[u32]| Tensor::from_slice(ids, (chunk.rows, chunk.steps), self.device());
        Ok((tensor(&chunk.inputs)?, tensor(&chunk.targets)?))
    }
}
