//! How a text is cut, and the fast ways for characters and bytes, which must equal what their `tokenizer.json` says.

use super::{Token, UNKNOWN, Units};
use crate::text::words::{Pipeline, split_with};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::models::wordlevel::WordLevel;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{ModelWrapper, Result, SplitDelimiterBehavior, Tokenizer, decoders::fuse::Fuse};

/// Any character, a line end too.
const CHARACTER: &str = "(?s).";

/// A word between spaces, or a line end.
const WORD: &str = r"[^\s]+|\n";

/// How a tokenizer cuts, where there is a faster way than its own.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Characters { ids: HashMap<char, u32>, unknown: Option<u32> },
    Bytes,
    Other,
}

impl Kind {
    /// The kind of a tokenizer, told by its rules.
    pub fn of(tokenizer: &Tokenizer) -> Result<Self> {
        let same = |rules: PreTokenizerWrapper| -> Result<bool> {
            let own = tokenizer.get_pre_tokenizer().map(serde_json::to_value).transpose()?;
            Ok(own == Some(serde_json::to_value(rules)?) && tokenizer.get_normalizer().is_none())
        };
        if same(characters()?)? {
            let vocab = tokenizer.get_vocab(true);
            let unknown = vocab.get(UNKNOWN).copied();
            let one = |(token, id): (String, u32)| {
                let mut letters = token.chars();
                letters.next().filter(|_| letters.next().is_none()).map(|letter| (letter, id))
            };
            let ids = vocab.into_iter().filter_map(one).collect();
            return Ok(Self::Characters { ids, unknown });
        }
        let is_byte = |byte: u8| tokenizer.token_to_id(&letter_of(byte).to_string()) == Some(byte.into());
        Ok(if same(bytes()?)? && (0..=255).all(is_byte) { Self::Bytes } else { Self::Other })
    }

    /// The ids of a text, where there is a faster way than the tokenizer's own, which tells what is wrong with it.
    pub fn encode(&self, text: &str) -> Option<Vec<u32>> {
        match self {
            Self::Characters { ids, unknown } => {
                text.chars().map(|letter| ids.get(&letter).copied().or(*unknown)).collect()
            }
            Self::Bytes => Some(text.bytes().map(u32::from).collect()),
            _ => None,
        }
    }

    /// Whether a closed vocabulary has no such character.
    pub fn lacks(&self, letter: char) -> bool {
        matches!(self, Self::Characters { ids, unknown: None } if !ids.contains_key(&letter))
    }

    /// Where the tokens of a text that [`Kind::encode`] gives stand in it.
    pub fn places(&self, text: &str) -> Option<Vec<Token>> {
        let ids = self.encode(text)?;
        let letters = || text.char_indices().map(|(at, letter)| at..at + letter.len_utf8());
        Some(match self {
            Self::Characters { .. } => ids.into_iter().zip(letters()).map(|(id, bytes)| Token { id, bytes }).collect(),
            _ => ids.into_iter().zip(0..).map(|(id, at)| Token { id, bytes: at..at + 1 }).collect(),
        })
    }
}

fn split(pattern: &str, behavior: SplitDelimiterBehavior, invert: bool) -> Result<PreTokenizerWrapper> {
    Ok(Split::new(SplitPattern::Regex(pattern.into()), behavior, invert)?.into())
}

fn characters() -> Result<PreTokenizerWrapper> {
    split(CHARACTER, SplitDelimiterBehavior::Isolated, false)
}

/// Each byte as a letter of its own.
fn bytes() -> Result<PreTokenizerWrapper> {
    Ok(Sequence::new(vec![byte_level(false).into(), characters()?]).into())
}

fn spaces() -> Result<PreTokenizerWrapper> {
    split(WORD, SplitDelimiterBehavior::Removed, true)
}

fn byte_level(words: bool) -> ByteLevel {
    ByteLevel::new(false, false, words)
}

/// The letter that stands for a byte (GPT-2's): printable ones for themselves, the others from U+0100 on.
fn letter_of(byte: u8) -> char {
    let itself = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    match itself(byte) {
        true => char::from(byte),
        false => {
            let before = (0..byte).filter(|&byte| !itself(byte)).count();
            char::from_u32(0x100 + before as u32).unwrap_or(char::REPLACEMENT_CHARACTER)
        }
    }
}

/// A tokenizer of these units, with the vocabulary of a text; of words those that stand in it `least` times.
pub(super) fn train(units: Units, least: usize, text: impl Iterator<Item = String> + Send) -> Result<Tokenizer> {
    match units {
        Units::Characters => {
            let mut letters = BTreeSet::new();
            text.for_each(|piece| letters.extend(piece.chars()));
            of_letters(std::iter::once(UNKNOWN.to_owned()).chain(letters.into_iter().map(String::from)))
        }
        Units::Bytes => {
            let mut tokenizer = whole((0..=255).map(|byte| letter_of(byte).to_string()), None)?;
            tokenizer.with_pre_tokenizer(Some(bytes()?)).with_decoder(Some(byte_level(false)));
            Ok(tokenizer)
        }
        Units::Words => {
            let cut = |tokens| -> Result<Tokenizer> {
                let mut tokenizer = whole(tokens, Some(UNKNOWN))?;
                Pipeline::Ptb.cut(&mut tokenizer)?;
                Ok(tokenizer)
            };
            let none = cut(vec![UNKNOWN.to_owned()])?;
            // No word goes on over a line's end.
            let mut counts = Counts::default();
            for piece in text {
                for line in piece.lines() {
                    split_with(&none, line)?.iter().for_each(|word| counts.add(word));
                }
            }
            cut(counts.frequent_first(least))
        }
        Units::Spaces => {
            let mut counts = Counts::default();
            text.for_each(|piece| {
                piece.split_whitespace().chain(piece.matches('\n')).for_each(|word| counts.add(word))
            });
            let mut tokenizer = whole(counts.frequent_first(least), Some(UNKNOWN))?;
            tokenizer.with_pre_tokenizer(Some(spaces()?));
            Ok(tokenizer)
        }
        Units::Bpe { vocab_size } => {
            let mut tokenizer = Tokenizer::new(BPE::default());
            tokenizer.with_pre_tokenizer(Some(byte_level(true))).with_decoder(Some(byte_level(true)));
            let mut trainer: TrainerWrapper = BpeTrainer::builder()
                .vocab_size(vocab_size)
                .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
                .show_progress(false)
                .build()
                .into();
            let lines = text.flat_map(|piece| piece.split_inclusive('\n').map(str::to_owned).collect::<Vec<_>>());
            tokenizer.train(&mut trainer, lines)?;
            Ok(tokenizer)
        }
    }
}

/// A tokenizer of the characters of a text alone, in the order in which they first stand in it.
pub(super) fn closed(text: &str) -> Result<Tokenizer> {
    let mut seen = BTreeSet::new();
    of_letters(text.chars().filter(|&letter| seen.insert(letter)).map(String::from))
}

fn of_letters(tokens: impl Iterator<Item = String>) -> Result<Tokenizer> {
    let mut tokenizer = whole(tokens, Some(UNKNOWN))?;
    tokenizer.with_pre_tokenizer(Some(characters()?)).with_decoder(Some(Fuse::new()));
    Ok(tokenizer)
}

/// How often words are met.
#[derive(Default)]
struct Counts(BTreeMap<String, usize>);

impl Counts {
    fn add(&mut self, word: &str) {
        match self.0.get_mut(word) {
            Some(count) => *count += 1,
            None => drop(self.0.insert(word.to_owned(), 1)),
        }
    }

    /// Each word that came `least` times and the unknown one, the most frequent first, equally frequent ones in alphabetical order.
    fn frequent_first(mut self, least: usize) -> Vec<String> {
        self.0.retain(|_, count| *count >= least);
        self.0.entry(UNKNOWN.to_owned()).or_default();
        let mut words: Vec<(String, usize)> = self.0.into_iter().collect();
        // The sort is stable, and the map was in alphabetical order.
        words.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
        words.into_iter().map(|(word, _)| word).collect()
    }
}

/// A tokenizer whose tokens are looked up whole, with ids in their order.
fn whole(tokens: impl IntoIterator<Item = String>, unknown: Option<&str>) -> Result<Tokenizer> {
    let vocab = tokens.into_iter().zip(0u32..).collect();
    let model = WordLevel::builder().vocab(vocab);
    // A word of the text's own stands where there is none: the model wants one.
    let model = model.unk_token(unknown.map_or_else(|| letter_of(0).to_string(), str::to_owned)).build()?;
    Ok(Tokenizer::new(ModelWrapper::from(model)))
}
