//! A caption with what the network looked at for each of its words.

use crate::{Error, Result};
use candlewick_vision::AttentionMap;

/// A caption with what the network looked at for each of its words.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Caption {
    /// The sentence.
    pub text: String,
    /// Σ log p / length^length_penalty, natural logarithms.
    pub score: f32,
    /// Its words in order.
    pub words: Vec<Word>,
    /// Whether the sentence came to its end; false where it was cut off at the longest length.
    pub finished: bool,
}

/// A word of a caption.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Word {
    /// The word.
    pub text: String,
    /// The natural logarithm of its probability.
    pub log_probability: f32,
    /// Where the network looked when it wrote the word; nothing where its decoder has no attention.
    pub attention: Option<AttentionMap>,
}

/// The first of a picture's captions; were one left out, those after it would be taken for other pictures'.
pub(crate) fn best(captions: Vec<Caption>) -> Result<Caption> {
    captions.into_iter().next().ok_or_else(|| Error::task("no caption came out"))
}
