//! Texts as token ids and back to the very letter, by a `tokenizer.json` that everybody reads.
//!
//! Unlike [`crate::text::words`], which takes of a caption what counts, nothing of a text is lost here but by [`Units::Words`] and
//! [`Units::Spaces`]: case, spaces and line ends are tokens like all else.

mod decoding;
mod kinds;
mod streams;

pub use decoding::TextDecoder;
pub use streams::{Chunk, Streams};

use crate::error::{Error, Result};
use crate::text::Text;
use kinds::Kind;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::path::Path;
use tokenizers::{AddedToken, Tokenizer};

/// What stands for tokens that are not in the vocabulary.
pub const UNKNOWN: &str = "<unk>";

/// What the tokens of a text are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Units {
    /// Characters, each code point one.
    #[default]
    Characters,
    /// The 256 bytes of UTF-8: no character is unknown.
    Bytes,
    /// Words as captions have them, [`Words::Ptb`](crate::text::words::Words::Ptb): in lower case, without punctuation and line ends.
    Words,
    /// What stands between spaces, and each line end: a text that was cut into words before, such as the Penn Treebank's.
    Spaces,
    /// Pieces of words that byte-pair encoding found in the text, down to single bytes (Sennrich et al. 2016): nothing is unknown.
    Bpe {
        /// V, the number of pieces, at least 256.
        vocab_size: usize,
    },
}

/// A token where it stands in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its id.
    pub id: u32,
    /// The bytes of the text that it is of; a character that is cut into several tokens may be whole in each.
    pub bytes: Range<usize>,
}

/// A tokenizer of whole texts.
#[derive(Clone, Debug)]
pub struct TextTokenizer {
    inner: Tokenizer,
    kind: Kind,
}

/// Tokenizers are equal that have the same tokens in the same order.
impl PartialEq for TextTokenizer {
    fn eq(&self, other: &Self) -> bool {
        let tokens = self.vocab_size();
        tokens == other.vocab_size() && (0..tokens as u32).all(|id| self.token(id) == other.token(id))
    }
}

impl TextTokenizer {
    /// The tokens of a text: characters in the order of their code points, words and pieces the most frequent first.
    ///
    /// # Errors
    /// When the text is empty or cannot be read, or fewer pieces are wanted than there are bytes.
    pub fn train(units: Units, text: &Text) -> Result<Self> {
        Self::train_frequent(units, text, 1)
    }

    /// The tokens of a text, of words and of what stands between spaces those that come at least `least` times: others are unknown.
    ///
    /// # Errors
    /// As [`TextTokenizer::train`], and when there are no words to count.
    pub fn train_frequent(units: Units, text: &Text, least: usize) -> Result<Self> {
        if least > 1 && !matches!(units, Units::Words | Units::Spaces) {
            let fault = format!("least_count is {least}; it is for the units words and spaces, leave it at 1");
            return Err(Error::setting(fault));
        }
        if text.characters() == 0 {
            return Err(Error::tokenizer("tokenizer", "the text is empty; give a longer one"));
        }
        if let Units::Bpe { vocab_size } = units
            && vocab_size < 256
        {
            return Err(Error::setting(format!("vocab_size is {vocab_size}; wanted at least the 256 bytes")));
        }
        let mut fault = None;
        // What ends the pieces early is told below.
        let pieces = text.pieces()?.map_while(|piece| piece.map_err(|error| fault = Some(error)).ok());
        let inner = kinds::train(units, least, pieces);
        match fault {
            Some(fault) => Err(fault),
            None => Self::of("tokenizer", inner.map_err(|error| Error::tokenizer("tokenizer", error))?),
        }
    }

    /// The characters of a text alone, in the order in which they first stand in it: a closed vocabulary, in which nothing stands for what
    /// is unknown.
    ///
    /// # Errors
    /// When the text is empty.
    pub fn closed(text: &str) -> Result<Self> {
        if text.is_empty() {
            return Err(Error::tokenizer("tokenizer", "the text is empty; give a longer one"));
        }
        Self::of("tokenizer", kinds::closed(text).map_err(|error| Error::tokenizer("tokenizer", error))?)
    }

    /// Opens a `tokenizer.json`.
    ///
    /// # Errors
    /// When it cannot be read, or is no tokenizer.
    pub fn open(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let text = crate::text::read_utf8(path)?;
        Self::of(&name, text.parse().map_err(|error| Error::tokenizer(&name, error))?)
    }

    /// The tokenizer in the text of a `tokenizer.json`.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self> {
        Self::of("tokenizer.json", text.parse().map_err(|error| Error::tokenizer("tokenizer.json", error))?)
    }

    /// The same with tokens that stand for no text, such as a sentence's start and end, after all others; a text that has one of them to the
    /// letter is cut as any text.
    ///
    /// # Errors
    /// When a token is there already.
    pub fn with_special_tokens(mut self, tokens: &[&str]) -> Result<Self> {
        for &token in tokens {
            if self.id(token).is_some() {
                return Err(Error::tokenizer("tokenizer", format!("has a token {token} already; take another name")));
            }
            let added = self.inner.add_special_tokens([AddedToken::from(token, true)]);
            added.map_err(|error| Error::tokenizer("tokenizer", error))?;
        }
        Self::of("tokenizer", self.inner)
    }

    fn of(name: &str, mut inner: Tokenizer) -> Result<Self> {
        inner.set_encode_special_tokens(true);
        let kind = Kind::of(&inner).map_err(|error| Error::tokenizer(name, error))?;
        Ok(Self { inner, kind })
    }

    /// Writes a `tokenizer.json`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let text = self.inner.to_string(true).map_err(|error| Error::tokenizer(path.display().to_string(), error))?;
        std::fs::write(path, text + "\n").map_err(Error::io(path))
    }

    /// The ids of a text's tokens.
    ///
    /// # Errors
    /// When a loaded tokenizer's rules fail on the text, or the vocabulary is closed and lacks a character.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        match self.kind.encode(text) {
            Some(ids) => Ok(ids),
            None => {
                let encoded = self.inner.encode_fast(text, false);
                Ok(encoded.map_err(|error| self.refused(text, error))?.get_ids().to_vec())
            }
        }
    }

    /// A text's tokens and where they stand in it; what no token is of, such as the spaces between words, is left out.
    ///
    /// # Errors
    /// As [`TextTokenizer::encode`] says.
    pub fn tokens(&self, text: &str) -> Result<Vec<Token>> {
        if let Some(tokens) = self.kind.places(text) {
            return Ok(tokens);
        }
        let encoded = self.inner.encode(text, false).map_err(|error| self.refused(text, error))?;
        let tokens = encoded.get_ids().iter().zip(encoded.get_offsets());
        Ok(tokens.map(|(&id, &(start, end))| Token { id, bytes: start..end }).collect())
    }

    /// Why a text was refused: a closed vocabulary says which character it lacks.
    fn refused(&self, text: &str, error: tokenizers::Error) -> Error {
        match text.chars().find(|&letter| self.kind.lacks(letter)) {
            Some(letter) => Error::tokenizer(
                "tokenizer",
                format!("knows its own characters only, and not {letter:?}; leave it out"),
            ),
            None => Error::tokenizer("tokenizer", error),
        }
    }

    /// The text of tokens.
    ///
    /// # Errors
    /// When a loaded tokenizer's rules fail on the tokens.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        self.inner.decode(ids, false).map_err(|error| Error::tokenizer("tokenizer", error))
    }

    /// V, the number of tokens.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// The token of an id, as the vocabulary writes it.
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// The id of a token, as the vocabulary writes it.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// The id of what is not in the vocabulary, where there can be such.
    pub fn unknown(&self) -> Option<u32> {
        self.id(UNKNOWN)
    }

    /// The first token of a text that is not in the vocabulary.
    pub fn first_unknown(&self, text: &str) -> Option<String> {
        let unknown = self.unknown();
        text.split_inclusive('\n').find_map(|line| {
            let Ok(tokens) = self.tokens(line) else {
                // A closed vocabulary refuses the line.
                return line.chars().map(String::from).find(|letter| self.encode(letter).is_err());
            };
            let written = tokens.into_iter().filter(|token| Some(token.id) == unknown);
            let mut written = written.map(|token| line.get(token.bytes).unwrap_or_default());
            written.find(|&word| word != UNKNOWN).map(str::to_owned)
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const TEXT: &str = "ROMEO:\nO, she doth teach the torches!\n\n  It seems, naïve 雨 — 🙂 \t\r\nthe the the\n";

    #[test]
    fn every_kind_gives_the_text_back_to_the_letter() {
        for units in [Units::Characters, Units::Bytes, Units::Bpe { vocab_size: 280 }] {
            let tokenizer = TextTokenizer::train(units, &Text::of(TEXT)).unwrap();
            let ids = tokenizer.encode(TEXT).unwrap();
            assert_eq!(tokenizer.decode(&ids).unwrap(), TEXT, "{units:?}");
            assert!(ids.iter().all(|&id| (id as usize) < tokenizer.vocab_size()));
        }
        let bytes = TextTokenizer::train(Units::Bytes, &Text::of("a")).unwrap();
        assert_eq!(bytes.encode("aü").unwrap(), [97, 0xc3, 0xbc]);
        assert_eq!(bytes.vocab_size(), 256);
        assert_eq!(bytes.unknown(), None);
        let pieces = TextTokenizer::train(Units::Bpe { vocab_size: 280 }, &Text::of(TEXT)).unwrap();
        assert!(pieces.encode(TEXT).unwrap().len() < TEXT.len());
        assert_eq!(pieces.decode(&pieces.encode("новый").unwrap()).unwrap(), "новый");
        assert!(TextTokenizer::train(Units::Bpe { vocab_size: 99 }, &Text::of(TEXT)).is_err());
        assert!(TextTokenizer::train(Units::Characters, &Text::of("")).is_err());
    }

    #[test]
    fn special_tokens_stand_for_no_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokenizer.json");
        for units in [Units::Characters, Units::Bpe { vocab_size: 260 }, Units::Spaces] {
            let plain = TextTokenizer::train(units, &Text::of("a </s> b\n")).unwrap();
            if plain.id("</s>").is_some() {
                assert!(plain.with_special_tokens(&["</s>"]).is_err());
                continue;
            }
            let own = plain.clone().with_special_tokens(&["<s>", "</s>"]).unwrap();
            let (before, ids) = (plain.vocab_size() as u32, plain.encode("a </s> b").unwrap());
            assert_eq!((own.id("<s>"), own.id("</s>")), (Some(before), Some(before + 1)));
            own.save(&path).unwrap();
            for tokenizer in [own, TextTokenizer::open(&path).unwrap()] {
                assert_eq!(tokenizer.vocab_size() as u32, before + 2);
                assert_eq!(tokenizer.encode("a </s> b").unwrap(), ids, "{units:?}");
                assert_eq!(tokenizer.decode(&ids).unwrap(), plain.decode(&ids).unwrap());
            }
        }
    }

    #[test]
    fn what_is_fast_equals_what_the_file_says() {
        for units in [Units::Characters, Units::Bytes] {
            let tokenizer = TextTokenizer::train(units, &Text::of(TEXT)).unwrap();
            assert!(tokenizer.kind.encode(TEXT).is_some());
            let slow = tokenizer.inner.encode(TEXT, false).unwrap();
            assert_eq!(slow.get_ids(), tokenizer.encode(TEXT).unwrap(), "{units:?}");
        }
    }

    #[test]
    fn a_file_is_the_same_tokenizer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokenizer.json");
        let pieces = Units::Bpe { vocab_size: 270 };
        for units in [Units::Characters, Units::Bytes, Units::Words, Units::Spaces, pieces] {
            let tokenizer = TextTokenizer::train(units, &Text::of(TEXT)).unwrap();
            tokenizer.save(&path).unwrap();
            let opened = TextTokenizer::open(&path).unwrap();
            assert_eq!(opened, tokenizer);
            assert_eq!(opened.encode(TEXT).unwrap(), tokenizer.encode(TEXT).unwrap(), "{units:?}");
            assert_eq!(opened.kind, tokenizer.kind);
        }
        std::fs::write(&path, "{}").unwrap();
        assert!(TextTokenizer::open(&path).is_err());
    }

    #[test]
    fn what_is_unknown_is_told() {
        let tokenizer = TextTokenizer::train(Units::Characters, &Text::of("abc\n")).unwrap();
        assert_eq!(tokenizer.first_unknown("ab\nd").as_deref(), Some("d"));
        assert_eq!(tokenizer.first_unknown("cab"), None);
        assert_eq!(tokenizer.encode("ad").unwrap()[1], tokenizer.unknown().unwrap());
        let closed = TextTokenizer::closed("hello").unwrap();
        assert_eq!((closed.vocab_size(), closed.unknown()), (4, None));
        assert_eq!(closed.encode("hello").unwrap(), [0, 1, 2, 2, 3]);
        assert_eq!(closed.first_unknown("help").as_deref(), Some("p"));
        let refused = [closed.encode("help").unwrap_err(), closed.tokens("help").unwrap_err()];
        assert!(refused.iter().all(|error| error.to_string().contains("not 'p'; leave it out")), "{refused:?}");
        let words = TextTokenizer::train(Units::Spaces, &Text::of(" the <unk> N\n the cat\n")).unwrap();
        assert_eq!(words.encode("the <unk>\n").unwrap().len(), 3);
        assert_eq!(words.first_unknown("the dog").as_deref(), Some("dog"));
        assert_eq!(words.first_unknown("the <unk>"), None);
        assert_eq!(words.encode(" the\n").unwrap(), words.encode("the \n").unwrap());
    }

    #[test]
    fn words_that_come_seldom_are_unknown() {
        let text = Text::of("a film , a fine film\na fine day\n");
        let tokens = |least, units| {
            let tokenizer = TextTokenizer::train_frequent(units, &text, least).unwrap();
            (0..tokenizer.vocab_size() as u32).map(|id| tokenizer.token(id).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(tokens(2, Units::Spaces), ["a", "\n", "film", "fine", UNKNOWN]);
        assert_eq!(tokens(3, Units::Words), ["a", UNKNOWN]);
        assert_eq!(tokens(1, Units::Words), ["a", "film", "fine", "day", UNKNOWN]);
        let refused = TextTokenizer::train_frequent(Units::Characters, &text, 2).unwrap_err().to_string();
        assert!(refused.starts_with("least_count is 2"), "{refused}");
    }

    #[test]
    fn words_are_those_of_captions() {
        let text = "The Man's dog didn't bark.\nA dog\u{2019}s day: 2,000 dogs\n";
        let tokenizer = TextTokenizer::train(Units::Words, &Text::of(text)).unwrap();
        let ids = tokenizer.encode(text).unwrap();
        let words: Vec<String> = ids.iter().map(|&id| tokenizer.token(id).unwrap()).collect();
        let captions = crate::text::words::WordTokenizer::train([text], 1).unwrap();
        assert_eq!(words, captions.split(text).unwrap());
        assert_eq!(tokenizer.decode(&ids).unwrap(), "the man 's dog did n't bark a dog 's day 2,000 dogs");
        let first: Vec<String> = (0..3).map(|id| tokenizer.token(id).unwrap()).collect();
        assert_eq!(first, ["'s", "dog", "2,000"]);
        assert_eq!(tokenizer.unknown(), Some(tokenizer.vocab_size() as u32 - 1));
        assert_eq!(tokenizer.first_unknown("The DOG - a Cat?").as_deref(), Some("Cat"));
        assert_eq!(tokenizer.first_unknown("the dog!"), None);
    }

    #[test]
    fn tokens_stand_where_the_text_has_them() {
        let pieces = Units::Bpe { vocab_size: 280 };
        for units in [Units::Characters, Units::Bytes, Units::Words, Units::Spaces, pieces] {
            let tokenizer = TextTokenizer::train(units, &Text::of(TEXT)).unwrap();
            let tokens = tokenizer.tokens(TEXT).unwrap();
            let ids: Vec<u32> = tokens.iter().map(|token| token.id).collect();
            assert_eq!(ids, tokenizer.encode(TEXT).unwrap(), "{units:?}");
            assert!(tokens.is_sorted_by_key(|token| token.bytes.start), "{units:?}");
            let whole = |token: &Token| TEXT.get(token.bytes.clone());
            match units {
                Units::Bytes => assert!(tokens.iter().all(|token| token.bytes.len() == 1)),
                Units::Words => assert_eq!(whole(&tokens[0]), Some("ROMEO")),
                Units::Spaces => assert_eq!(whole(&tokens[1]), Some("\n")),
                _ => assert_eq!((tokens[0].bytes.start, tokens.last().unwrap().bytes.end), (0, TEXT.len())),
            }
            if units != Units::Bytes {
                assert!(
                    tokens.iter().all(|token| whole(token).is_some_and(|written| !written.is_empty())),
                    "{units:?}"
                );
            }
        }
    }
}
