//! Captions as word ids, on the `tokenizers` crate, so that `tokenizer.json` is one that everybody reads.

mod adopted;
mod config;
mod phrases;
mod pipeline;

pub use config::{BpeConfig, Words};
pub use phrases::Phrases;
pub(crate) use pipeline::Pipeline;

use super::utf8;
use crate::error::{Error, Result};
use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::models::wordlevel::WordLevel;
use tokenizers::{
    NormalizedString, Normalizer as _, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer as _, Tokenizer,
    Trainer as _,
};

/// The id of `<pad>`, which fills rows up.
pub const PAD: u32 = 0;
/// The id of `<start>`, which every caption begins with.
pub const START: u32 = 1;
/// The id of `<end>`, which every caption ends with.
pub const END: u32 = 2;
/// The id of `<unk>`, which stands for words that are not in the vocabulary.
pub const UNK: u32 = 3;

const SPECIALS: [(&str, u32); 4] = [("<pad>", PAD), ("<start>", START), ("<end>", END), (UNKNOWN, UNK)];
const UNKNOWN: &str = "<unk>";

/// A tokenizer of captions: of whole words, characters or pieces of words, as [`Words`] says; rare ones are `<unk>`.
#[derive(Clone, Debug)]
pub struct WordTokenizer {
    inner: Tokenizer,
}

/// Tokenizers are equal that have the same words in the same order and write them one after the other in the same way.
impl PartialEq for WordTokenizer {
    fn eq(&self, other: &Self) -> bool {
        let words = self.vocab_size();
        let written = |of: &Self| serde_json::to_value(of.inner.get_decoder()).ok();
        words == other.vocab_size()
            && (0..words as u32).all(|id| self.word(id) == other.word(id))
            && written(self) == written(other)
    }
}

impl WordTokenizer {
    /// Takes the words that come at least `min_count` times in `captions` as the vocabulary: lower case, punctuation dropped
    /// ([`Words::Ptb`]).
    ///
    /// Ids 0 to 3 are `<pad>`, `<start>`, `<end>` and `<unk>`; then come the words, the most frequent first, equally
    /// frequent ones in alphabetical order.
    ///
    /// # Errors
    /// When no word comes often enough.
    pub fn train<S: AsRef<str>>(captions: impl IntoIterator<Item = S>, min_count: usize) -> Result<Self> {
        Self::train_whole(Pipeline::Ptb, captions, min_count)
    }

    /// The tokenizer of [`Words::Ptb`] whose vocabulary is the special tokens and then `words` in their order.
    ///
    /// # Errors
    /// When a word comes twice.
    pub fn with_words<S: AsRef<str>>(words: &[S]) -> Result<Self> {
        Self::whole(Pipeline::Ptb, words)
    }

    /// Whole words, or characters, that come `min_count` times.
    fn train_whole<S: AsRef<str>>(
        pipeline: Pipeline,
        captions: impl IntoIterator<Item = S>,
        min_count: usize,
    ) -> Result<Self> {
        let empty = Self::whole::<S>(pipeline, &[])?;
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for caption in captions {
            for word in empty.split(caption.as_ref())? {
                *counts.entry(word).or_default() += 1;
            }
        }
        let special = |word: &str| SPECIALS.iter().any(|&(token, _)| token == word);
        let often = |(word, count): &(String, usize)| *count >= min_count && !special(word);
        let mut words: Vec<(String, usize)> = counts.into_iter().filter(often).collect();
        if words.is_empty() {
            return Err(too_rare("word", min_count));
        }
        // The sort is stable, and the map was in alphabetical order.
        words.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
        let words: Vec<String> = words.into_iter().map(|(word, _)| word).collect();
        Self::whole(pipeline, &words)
    }

    fn whole<S: AsRef<str>>(pipeline: Pipeline, words: &[S]) -> Result<Self> {
        let mut seen: HashSet<&str> = SPECIALS.iter().map(|&(token, _)| token).collect();
        if let Some(twice) = words.iter().map(AsRef::as_ref).find(|&word| !seen.insert(word)) {
            return Err(Error::tokenizer("tokenizer", format!("the word {twice:?} comes twice")));
        }
        let all = SPECIALS.iter().map(|&(token, _)| token).chain(words.iter().map(AsRef::as_ref));
        let vocab = all.zip(0u32..).map(|(word, id)| (word.to_string(), id)).collect();
        let model = WordLevel::builder().vocab(vocab).unk_token(UNKNOWN.to_string()).build();
        let built = model.and_then(|model| pipeline.tokenizer(model));
        Ok(Self::ready(built.map_err(|error| Error::tokenizer("tokenizer", error))?))
    }

    /// Byte-pair encoding: characters that come `min_count` times, and the commonest of their joins, until there are `vocab_size`.
    fn train_pieces<S: AsRef<str>>(
        captions: impl IntoIterator<Item = S>,
        min_count: usize,
        vocab_size: usize,
    ) -> Result<Self> {
        let build = |model: BPE| Pipeline::Bpe.tokenizer(model).map_err(|error| Error::tokenizer("tokenizer", error));
        let model = || BPE::builder().unk_token(UNKNOWN.to_string()).fuse_unk(true).build();
        let model = || model().map_err(|error| Error::tokenizer("tokenizer", error));
        let empty = Self::ready(build(model()?)?);
        let captions = captions.into_iter().map(|caption| empty.split(caption.as_ref())).collect::<Result<Vec<_>>>()?;
        let mut counts: BTreeMap<char, usize> = BTreeMap::new();
        captions.iter().flatten().flat_map(|word| word.chars()).for_each(|c| *counts.entry(c).or_default() += 1);
        let often = counts.values().filter(|&&count| count >= min_count).count();
        if often == 0 {
            return Err(too_rare("character", min_count));
        }
        if SPECIALS.len() + often > vocab_size {
            let fault = format!(
                "words.vocab_size is {vocab_size}, and {often} different characters come {min_count} times; make it larger"
            );
            return Err(Error::setting(fault));
        }
        let mut trainer = BpeTrainer::builder()
            // Memory for as many pieces is taken at once.
            .vocab_size(vocab_size.min(SPECIALS.len() + counts.values().sum::<usize>()))
            // What comes once is joined to nothing: it would be a sentence by heart.
            .min_frequency(min_count.max(2) as u64)
            .limit_alphabet(often)
            .special_tokens(pipeline::special_tokens())
            .show_progress(false)
            .build();
        let mut trained = model()?;
        let words = captions.iter().map(|words| words.join("\n"));
        let fed = trainer.feed(words, |words| Ok(words.split('\n').map(str::to_owned).collect()));
        fed.and_then(|()| trainer.train(&mut trained)).map_err(|error| Error::tokenizer("tokenizer", error))?;
        Ok(Self::ready(build(trained)?))
    }

    /// A caption that has `<end>` written in it says these five letters; it does not end there.
    fn ready(mut inner: Tokenizer) -> Self {
        inner.set_encode_special_tokens(true);
        Self { inner }
    }

    /// The words of a text, those outside the vocabulary too; what byte-pair encoding takes to pieces is whole.
    ///
    /// # Errors
    /// When a loaded tokenizer's rules fail on the text.
    pub fn split(&self, text: &str) -> Result<Vec<String>> {
        split_with(&self.inner, text).map_err(|error| Error::tokenizer("tokenizer", error))
    }

    /// The ids of a caption's words between `<start>` and `<end>`.
    ///
    /// # Errors
    /// When a loaded tokenizer's rules fail on the text.
    pub fn encode(&self, caption: &str) -> Result<Vec<u32>> {
        let encoding = self.inner.encode_fast(caption, true).map_err(|error| Error::tokenizer("tokenizer", error))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The text of these ids up to the first `<end>`, without the special tokens: with spaces between words, and none between the
    /// characters of a script that is written without.
    ///
    /// # Errors
    /// When an id is not in the vocabulary.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        if let Some(id) = ids.iter().find(|&&id| self.inner.id_to_token(id).is_none()) {
            let fault = format!("id {id} is not in the vocabulary of {} words", self.vocab_size());
            return Err(Error::tokenizer("tokenizer", fault));
        }
        let until = ids.iter().position(|&id| id == END).unwrap_or(ids.len());
        let text = self.inner.decode(ids.get(..until).unwrap_or(ids), true);
        // A word may have the space before it in itself.
        Ok(text.map_err(|error| Error::tokenizer("tokenizer", error))?.trim().to_owned())
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
        let wrong = |error: String| Error::tokenizer(name, format!("is not a tokenizer.json: {error}"));
        let text = std::str::from_utf8(bytes).map_err(|error| wrong(error.to_string()))?;
        // Its own `from_bytes` is generic, and would be built here anew.
        let inner: Tokenizer = text.parse().map_err(|error: tokenizers::Error| wrong(error.to_string()))?;
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

/// The words into which a tokenizer's rules cut a text, before any is looked up.
pub(crate) fn split_with(tokenizer: &Tokenizer, text: &str) -> tokenizers::Result<Vec<String>> {
    let mut normal = NormalizedString::from(text);
    if let Some(normalizer) = tokenizer.get_normalizer() {
        normalizer.normalize(&mut normal)?;
    }
    let mut parts = PreTokenizedString::from(normal);
    if let Some(pre_tokenizer) = tokenizer.get_pre_tokenizer() {
        pre_tokenizer.pre_tokenize(&mut parts)?;
    }
    let parts = parts.get_splits(OffsetReferential::Normalized, OffsetType::Byte);
    Ok(parts.into_iter().map(|(word, _, _)| word.to_string()).collect())
}

fn too_rare(what: &str, min_count: usize) -> Error {
    let fault = format!("no {what} comes {min_count} times in the captions; lower min_count or give more captions");
    Error::tokenizer("tokenizer", fault)
}

#[cfg(test)]
mod tests;
