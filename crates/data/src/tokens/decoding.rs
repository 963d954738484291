//! Text token by token, as it is written.

use super::TextTokenizer;
use crate::error::Result;

/// Gives the text of tokens as they come: a character of several tokens once it is whole.
#[derive(Clone, Debug, Default)]
pub struct TextDecoder {
    /// Tokens of which the text is not told yet, after one whose text was, so that what stands between tokens is known.
    ids: Vec<u32>,
    /// How many bytes of their text were told.
    told: usize,
}

/// How many tokens a character can have: its bytes.
const LONGEST: usize = 4;

impl TextDecoder {
    /// The text that one more token makes sure of; empty inside a character.
    ///
    /// # Errors
    /// As [`TextTokenizer::decode`] says.
    pub fn push(&mut self, tokenizer: &TextTokenizer, id: u32) -> Result<String> {
        self.ids.push(id);
        let text = tokenizer.decode(&self.ids)?;
        let broken = text.ends_with(char::REPLACEMENT_CHARACTER) && self.ids.len() <= LONGEST;
        if broken || text.len() < self.told {
            return Ok(String::new());
        }
        let new = text.get(self.told..).unwrap_or_default().to_owned();
        self.ids.drain(..self.ids.len() - 1);
        self.told = tokenizer.decode(&self.ids)?.len();
        Ok(new)
    }

    /// What is left of a character that was not finished.
    ///
    /// # Errors
    /// As [`TextTokenizer::decode`] says.
    pub fn finish(self, tokenizer: &TextTokenizer) -> Result<String> {
        let text = tokenizer.decode(&self.ids)?;
        Ok(text.get(self.told..).unwrap_or_default().to_owned())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::Units;
    use super::*;
    use crate::text::Text;

    #[test]
    fn what_comes_token_by_token_is_the_text() {
        let text = "naïve 雨 — 🙂!\n the end";
        for units in [Units::Characters, Units::Bytes, Units::Bpe { vocab_size: 260 }] {
            let tokenizer = TextTokenizer::train(units, &Text::of(text)).unwrap();
            let mut decoder = TextDecoder::default();
            let ids = tokenizer.encode(text).unwrap();
            let parts: Vec<String> = ids.iter().map(|&id| decoder.push(&tokenizer, id).unwrap()).collect();
            assert!(!parts.concat().contains(char::REPLACEMENT_CHARACTER));
            assert_eq!(parts.concat() + &decoder.finish(&tokenizer).unwrap(), text, "{units:?}");
        }
        let words = TextTokenizer::train(Units::Spaces, &Text::of("a cat\n")).unwrap();
        let mut decoder = TextDecoder::default();
        let ids = words.encode("a cat").unwrap();
        let parts: Vec<String> = ids.iter().map(|&id| decoder.push(&words, id).unwrap()).collect();
        assert_eq!(parts, ["a", " cat"]);
    }
}
