//! Text as a language model writes it, token by token.

use super::model::{LanguageModel, Rows};
use crate::{Error, Result};
use candle_core::Tensor;
use candle_nn::ops::softmax;
use candlewick_data::tokens::TextDecoder;
use candlewick_generation::{Decoder as _, GenerationConfig, Sampling, Search as _};
use candlewick_parameters::Mode;

/// What the network is given of each token that it wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Feed {
    /// The token itself.
    #[default]
    Drawn,
    /// The whole distribution that it was drawn from, which the network never saw in training.
    Softmax,
}

/// Text as it comes: an iterator over pieces of it.
pub struct Writer<'a> {
    model: &'a LanguageModel,
    search: Sampling<&'a LanguageModel>,
    decoder: TextDecoder,
    more: bool,
}

impl LanguageModel {
    /// Writes on from `prime`, which may be empty, `max_new_tokens` tokens; with `do_sample` unset the likeliest each time.
    ///
    /// A model that was trained on whole texts begins with a line end where `prime` is empty.
    ///
    /// # Errors
    /// When `prime` has a token that is unknown, or a setting makes no sense.
    pub fn sample(&self, prime: &str, generation: &GenerationConfig) -> Result<Writer<'_>> {
        let prompt = self.prompt(prime)?;
        let generation = self.without_unknown(generation);
        let decoder = self.decoder(prime, &prompt)?;
        let search = Sampling::after(self, Rows(1), &[prompt], &generation)?;
        Ok(Writer { model: self, search, decoder, more: true })
    }

    /// What gives the text of tokens after a prime: a word has a space before it where one stands before.
    fn decoder(&self, prime: &str, prompt: &[u32]) -> Result<TextDecoder> {
        let mut decoder = TextDecoder::default();
        if !prime.is_empty() && !prime.ends_with(char::is_whitespace) {
            for &id in prompt {
                decoder.push(&self.tokenizer, id)?;
            }
        }
        Ok(decoder)
    }

    /// The tokens of a prime; those of a line end where it is empty.
    fn prompt(&self, prime: &str) -> Result<Vec<u32>> {
        if let Some(unknown) = self.tokenizer.first_unknown(prime) {
            let fault = format!("the model does not know {unknown:?}; leave it out, or take another model");
            return Err(Error::Setting(fault));
        }
        let ids = self.tokenizer.encode(prime)?;
        if !ids.is_empty() {
            return Ok(ids);
        }
        // A closed vocabulary without line ends refuses them; a text without them begins with its first token.
        let line = self.tokenizer.encode("\n").unwrap_or_default();
        let known = |ids: &Vec<u32>| !ids.is_empty() && !ids.iter().any(|id| Some(*id) == self.tokenizer.unknown());
        Ok(if known(&line) { line } else { vec![u32::from(self.tokenizer.unknown() == Some(0))] })
    }

    /// The settings without the token for what is unknown, where the model did not learn to write it.
    fn without_unknown(&self, generation: &GenerationConfig) -> GenerationConfig {
        let mut generation = generation.clone();
        generation.suppress_tokens.extend(self.tokenizer.unknown());
        generation
    }

    /// Writes `count` tokens after `prime`, each time feeding back the distribution in place of the token that was drawn from it; the
    /// likeliest token is what is written down.
    ///
    /// # Errors
    /// As [`LanguageModel::sample`] says.
    pub fn sample_feeding_softmax(&self, prime: &str, count: usize) -> Result<String> {
        let (prompt, mode) = (self.prompt(prime)?, &mut Mode::Eval);
        let tokens = Tensor::new(prompt.as_slice(), self.device())?.unsqueeze(0)?;
        let (logits, mut state) = self.logits(&tokens, None, mode)?;
        let mut logits = logits.narrow(1, prompt.len() - 1, 1)?.squeeze(1)?;
        let (mut decoder, mut text) = (self.decoder(prime, &prompt)?, String::new());
        for _ in 0..count {
            text += &decoder.push(&self.tokenizer, logits.argmax(1)?.to_vec1::<u32>()?[0])?;
            (logits, state) = self.next(&self.expected_inputs(&softmax(&logits, 1)?)?, &state, mode)?;
        }
        Ok(text + &decoder.finish(&self.tokenizer)?)
    }
}

impl Writer<'_> {
    fn advance(&mut self) -> Result<String> {
        let mut text = String::new();
        self.more = self.search.advance()?;
        for written in self.search.last_words() {
            match written.word {
                Some(id) => text += &self.decoder.push(&self.model.tokenizer, id)?,
                None => self.more = false,
            }
        }
        if !self.more {
            text += &std::mem::take(&mut self.decoder).finish(&self.model.tokenizer)?;
        }
        Ok(text)
    }
}

impl Iterator for Writer<'_> {
    type Item = Result<String>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.more {
            match self.advance() {
                Ok(text) if text.is_empty() => {}
                Ok(text) => return Some(Ok(text)),
                Err(error) => {
                    self.more = false;
                    return Some(Err(error));
                }
            }
        }
        None
    }
}
