//! Captions as word ids, on the `tokenizers` crate, so that `tokenizer.json` is one that everybody reads.

use super::utf8;
use crate::error::{Error, Result};
use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use tokenizers::models::wordlevel::WordLevel;
use tokenizers::normalizers::{Lowercase, NFC, Replace, Sequence};
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{AddedToken, SplitDelimiterBehavior, Tokenizer};
use tokenizers::{
    NormalizedString, Normalizer as _, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer as _,
};

/// The id of `<pad>`, which fills rows up.
pub const PAD: u32 = 0;
/// The id of `<start>`, which every caption begins with.
pub const START: u32 = 1;
/// The id of `<end>`, which every caption ends with.
pub const END: u32 = 2;
/// The id of `<unk>`, which stands for words that are not in the vocabulary.
pub const UNK: u32 = 3;

const SPECIALS: [(&str, u32); 4] = [("<pad>", PAD), ("<start>", START), ("<end>", END), ("<unk>", UNK)];

/// What counts as a word in lower-cased text; everything between words is dropped.
///
/// In this order: a word before n't, which stands alone (do n't); n't and the clitics ('s, 're …); numbers with their
/// points and commas (2,000); letters and digits joined by single hyphens (t-shirt).
const WORD: &str = concat!(
    r"[\p{L}\p{N}]+(?=n't\b)|n't\b|'(?:s|re|ve|ll|d|m)\b",
    r"|\p{N}+(?:[.,]\p{N}+)+(?![\p{L}\p{N}])",
    r"|[\p{L}\p{N}][\p{L}\p{N}\p{M}]*(?:-[\p{L}\p{N}][\p{L}\p{N}\p{M}]*)*",
);

/// A tokenizer of whole words: lower case, punctuation dropped, rare words as `<unk>`.
#[derive(Clone, Debug)]
pub struct WordTokenizer {
    inner: Tokenizer,
}

/// Tokenizers are equal that have the same words in the same order.
impl PartialEq for WordTokenizer {
    fn eq(&self, other: &Self) -> bool {
        let words = self.vocab_size();
        words == other.vocab_size() && (0..words as u32).all(|id| self.word(id) == other.word(id))
    }
}

impl WordTokenizer {
    /// Takes the words that come at least `min_count` times in `captions` as the vocabulary.
    ///
    /// Ids 0 to 3 are `<pad>`, `<start>`, `<end>` and `<unk>`; then come the words, the most frequent first, equally
    /// frequent ones in alphabetical order.
    ///
    /// # Errors
    /// When no word comes often enough.
    pub fn train<S: AsRef<str>>(captions: impl IntoIterator<Item = S>, min_count: usize) -> Result<Self> {
        let empty = Self::with_words::<S>(&[])?;
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for caption in captions {
            for word in empty.split(caption.as_ref())? {
                *counts.entry(word).or_default() += 1;
            }
        }
        let mut words: Vec<(String, usize)> = counts.into_iter().filter(|&(_, count)| count >= min_count).collect();
        if words.is_empty() {
            let fault =
                format!("no word comes {min_count} times in the captions; lower min_count or give more captions");
            return Err(Error::tokenizer("tokenizer", fault));
        }
        // The sort is stable, and the map was in alphabetical order.
        words.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
        let words: Vec<String> = words.into_iter().map(|(word, _)| word).collect();
        Self::with_words(&words)
    }

    /// The tokenizer whose vocabulary is the special tokens and then `words` in their order.
    ///
    /// # Errors
    /// When a word comes twice.
    pub fn with_words<S: AsRef<str>>(words: &[S]) -> Result<Self> {
        let mut seen: HashSet<&str> = SPECIALS.iter().map(|&(token, _)| token).collect();
        if let Some(twice) = words.iter().map(AsRef::as_ref).find(|&word| !seen.insert(word)) {
            return Err(Error::tokenizer("tokenizer", format!("the word {twice:?} comes twice")));
        }
        let all = SPECIALS.iter().map(|&(token, _)| token).chain(words.iter().map(AsRef::as_ref));
        let vocab: Vec<_> = all.zip(0u32..).map(|(word, id)| (word.to_string(), id)).collect();
        Self::build(vocab).map_err(|error| Error::tokenizer("tokenizer", error))
    }

    fn build<V>(vocab: V) -> tokenizers::Result<Self>
    where
        V: IntoIterator<Item = (String, u32)>,
    {
        let vocab = vocab.into_iter().collect();
        let model = WordLevel::builder().vocab(vocab).unk_token("<unk>".to_string()).build()?;
        let mut inner = Tokenizer::new(model);
        let apostrophe = Replace::new("\u{2019}", "'")?;
        inner.with_normalizer(Some(Sequence::new(vec![NFC.into(), Lowercase.into(), apostrophe.into()])))?;
        let words = SplitPattern::Regex(WORD.to_string());
        inner.with_pre_tokenizer(Some(Split::new(words, SplitDelimiterBehavior::Removed, true)?));
        let template = TemplateProcessing::builder()
            .try_single("<start> $A <end>")?
            .try_pair("<start> $A <end> $B:1 <end>:1")?
            .special_tokens(vec![("<start>", START), ("<end>", END)])
            .build()
            .map_err(|error| error.to_string())?;
        inner.with_post_processor(Some(template));
        inner.add_special_tokens(SPECIALS.map(|(token, _)| AddedToken::from(token, true)))?;
        Ok(Self::ready(inner))
    }

    /// A caption that has `<end>` written in it says these five letters; it does not end there.
    fn ready(mut inner: Tokenizer) -> Self {
        inner.set_encode_special_tokens(true);
        Self { inner }
    }

    /// The words of a text, those outside the vocabulary too.
    ///
    /// # Errors
    /// When a loaded tokenizer's rules fail on the text.
    pub fn split(&self, text: &str) -> Result<Vec<String>> {
        let split = || -> tokenizers::Result<Vec<String>> {
            let mut normal = NormalizedString::from(text);
            if let Some(normalizer) = self.inner.get_normalizer() {
                normalizer.normalize(&mut normal)?;
            }
            let mut parts = PreTokenizedString::from(normal);
            if let Some(pre_tokenizer) = self.inner.get_pre_tokenizer() {
                pre_tokenizer.pre_tokenize(&mut parts)?;
            }
            let parts = parts.get_splits(OffsetReferential::Normalized, OffsetType::Byte);
            Ok(parts.into_iter().map(|(word, _, _)| word.to_string()).collect())
        };
        split().map_err(|error| Error::tokenizer("tokenizer", error))
    }

    /// The ids of a caption's words between `<start>` and `<end>`.
    ///
    /// # Errors
    /// When a loaded tokenizer's rules fail on the text.
    pub fn encode(&self, caption: &str) -> Result<Vec<u32>> {
        let encoding = self.inner.encode_fast(caption, true).map_err(|error| Error::tokenizer("tokenizer", error))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The words of these ids with spaces between, up to the first `<end>`, without the special tokens.
    ///
    /// # Errors
    /// When an id is not in the vocabulary.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        if let Some(id) = ids.iter().find(|&&id| self.inner.id_to_token(id).is_none()) {
            let fault = format!("id {id} is not in the vocabulary of {} words", self.vocab_size());
            return Err(Error::tokenizer("tokenizer", fault));
        }
        let until = ids.iter().position(|&id| id == END).unwrap_or(ids.len());
        self.inner.decode(ids.get(..until).unwrap_or(ids), true).map_err(|error| Error::tokenizer("tokenizer", error))
    }

    /// V, the number of ids, the special ones included.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// The id of a word, or nothing where it is not in the vocabulary.
    pub fn id(&self, word: &str) -> Option<u32> {
        self.inner.token_to_id(word)
    }

    /// The word of an id, or nothing where there is none.
    pub fn word(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// Writes `tokenizer.json` as Hugging Face's libraries read it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let json = self.inner.to_string(true).map_err(|error| Error::tokenizer(path.display(), error))?;
        std::fs::write(path, json).map_err(Error::io(path))
    }

    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// When the file cannot be read, is no tokenizer, or has not the four special tokens with the ids 0 to 3.
    pub fn load(path: &Path) -> Result<Self> {
        let bytes = utf8::read(path)?;
        Self::from_bytes(&path.display().to_string(), &bytes)
    }

    /// Reads the bytes of a `tokenizer.json`; `name` stands for the file in messages.
    ///
    /// # Errors
    /// As [`WordTokenizer::load`].
    pub fn from_bytes(name: &str, bytes: &[u8]) -> Result<Self> {
        let inner = Tokenizer::from_bytes(bytes)
            .map_err(|error| Error::tokenizer(name, format!("is not a tokenizer.json: {error}")))?;
        for (token, wanted) in SPECIALS {
            let found = inner.token_to_id(token);
            if found != Some(wanted) {
                let found = found.map_or("not there".to_string(), |id| id.to_string());
                let fault = format!(
                    "the token {token} must have id {wanted} and is {found}; give a tokenizer of words made by this program"
                );
                return Err(Error::tokenizer(name, fault));
            }
        }
        Ok(Self::ready(inner))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn split(text: &str) -> Vec<String> {
        WordTokenizer::with_words(&["a"]).unwrap().split(text).unwrap()
    }

    #[test]
    fn words_are_split_as_captions_need_it() {
        let cases = [
            ("A Man's t-shirt, and his dog .", "a man 's t-shirt and his dog"),
            ("A man 's dog does n't bark", "a man 's dog does n't bark"),
            ("It doesn't; can't - won\u{2019}t!", "it does n't ca n't wo n't"),
            ("the boys' \"red\" hats (two)", "the boys red hats two"),
            ("They're 2,000 m from #7 -- 3.5", "they 're 2,000 m from 7 3.5"),
            ("rock-n-roll - a one-eyed cat- ", "rock-n-roll a one-eyed cat"),
            ("Café CAFE\u{301} Straße", "café café straße"),
            ("snow_board&ski<end>", "snow board ski end"),
            ("'quoted' '90s 'someone", "quoted 90s someone"),
            ("n't isn't", "n't is n't"),
            ("  ...  ", ""),
        ];
        for (text, wanted) in cases {
            assert_eq!(split(text).join(" "), wanted, "{text}");
        }
    }

    #[test]
    fn ids_follow_count_and_then_the_alphabet() {
        let captions = ["a dog runs", "a cat runs", "a dog and a bird", "zebra zebra"];
        let words = WordTokenizer::train(captions, 2).unwrap();
        let vocabulary: Vec<_> = (0..words.vocab_size() as u32).map(|id| words.word(id).unwrap()).collect();
        assert_eq!(vocabulary, ["<pad>", "<start>", "<end>", "<unk>", "a", "dog", "runs", "zebra"]);
        assert_eq!(words.encode("A dog, a bird!").unwrap(), [START, 4, 5, 4, UNK, END]);
        assert_eq!(words.encode("").unwrap(), [START, END]);
        assert_eq!(words.decode(&[START, 4, 5, 6, END, 4, PAD]).unwrap(), "a dog runs");
        assert_eq!((words.id("dog"), words.id("cow"), words.word(8)), (Some(5), None, None));
        assert!(words.decode(&[4, 99]).unwrap_err().to_string().contains("id 99"));
        assert!(WordTokenizer::train(captions, 9).unwrap_err().to_string().contains("min_count"));
        assert!(WordTokenizer::with_words(&["a", "b", "a"]).is_err());
    }

    #[test]
    fn special_tokens_written_in_a_caption_are_words() {
        let words = WordTokenizer::with_words(&["end", "start"]).unwrap();
        assert_eq!(words.encode("<end> the <start>").unwrap(), [START, 4, UNK, 5, END]);
    }

    #[test]
    fn a_saved_tokenizer_is_the_same_when_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokenizer.json");
        let words = WordTokenizer::train(["A man's t-shirt doesn't fit", "<end> of it"], 1).unwrap();
        words.save(&path).unwrap();
        let loaded = WordTokenizer::load(&path).unwrap();
        for text in ["A man's t-shirt", "it doesn't <end> unknown of the"] {
            assert_eq!(loaded.encode(text).unwrap(), words.encode(text).unwrap());
        }
        assert_eq!(loaded.decode(&[START, 4, 3, 5, END]).unwrap(), words.decode(&[4, 5]).unwrap());
        let first = std::fs::read(&path).unwrap();
        loaded.save(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), first, "saving is deterministic");
        let json: serde_json::Value = serde_json::from_slice(&first).unwrap();
        assert_eq!(json["model"]["type"], "WordLevel");
        assert_eq!(json["post_processor"]["type"], "TemplateProcessing");
        assert_eq!(json["added_tokens"][3]["content"], "<unk>");
    }

    #[test]
    fn files_that_are_no_tokenizer_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokenizer.json");
        assert!(WordTokenizer::load(&path).unwrap_err().to_string().contains("tokenizer.json: "));
        for bytes in ["", "{", "[]", "{\"version\":\"1.0\"}"] {
            let message = WordTokenizer::from_bytes("x.json", bytes.as_bytes()).unwrap_err().to_string();
            assert!(message.starts_with("x.json: is not a tokenizer.json") && !message.contains('\n'), "{message}");
        }
        let words = WordTokenizer::with_words(&["dog"]).unwrap();
        words.save(&path).unwrap();
        let other = std::fs::read_to_string(&path).unwrap().replace("<start>", "[CLS]");
        let message = WordTokenizer::from_bytes("x.json", other.as_bytes()).unwrap_err().to_string();
        assert!(message.contains("<start> must have id 1 and is not there"), "{message}");
    }
}
