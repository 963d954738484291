//! Whole words of tokens, and where each was looked for: the alignment as a person reads it.

use crate::Result;
use candlewick_data::tokens::{TextDecoder, TextTokenizer};

/// The words of a sentence, and of each token the word that it is of.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Words {
    pub words: Vec<String>,
    of_tokens: Vec<usize>,
}

impl Words {
    /// The words of tokens: what stands between spaces, with punctuation apart.
    pub fn of(tokenizer: &TextTokenizer, ids: &[u32]) -> Result<Self> {
        let (mut words, mut of_tokens): (Vec<String>, Vec<usize>) = (Vec::new(), Vec::new());
        let mut decoder = TextDecoder::default();
        // The text of a character of several tokens comes with its last.
        let mut waiting = 0;
        for &id in ids {
            waiting += 1;
            let piece = decoder.push(tokenizer, id)?;
            if piece.is_empty() {
                continue;
            }
            // A space that is a token of its own begins the word behind it.
            let begins = match words.last().map(|word| word.chars().next_back()) {
                None => true,
                Some(None) => false,
                Some(Some(last)) => {
                    let first = piece.chars().next().is_none_or(char::is_alphanumeric);
                    !(first && last.is_alphanumeric())
                }
            };
            match words.last_mut().filter(|_| !begins) {
                Some(word) => word.push_str(if word.is_empty() { piece.trim_start() } else { &piece }),
                None => words.push(piece.trim_start().to_owned()),
            }
            of_tokens.extend(std::iter::repeat_n(words.len() - 1, waiting));
            waiting = 0;
        }
        let rest = decoder.finish(tokenizer)?;
        if waiting > 0 {
            words.push(rest);
            of_tokens.extend(std::iter::repeat_n(words.len() - 1, waiting));
        }
        Ok(Self { words, of_tokens })
    }

    /// The same with one more token that is a word of its own.
    pub fn and(mut self, word: &str) -> Self {
        self.of_tokens.push(self.words.len());
        self.words.push(word.to_owned());
        self
    }
}

/// α of words: of each written word the mean over its tokens of the sum over each read word's tokens, from `alpha` of tokens.
pub(super) fn of_words(alpha: &[Vec<f32>], written: &Words, read: &Words) -> Vec<Vec<f32>> {
    let mut sums = vec![vec![0.0; read.words.len()]; written.words.len()];
    let mut counts = vec![0usize; written.words.len()];
    for (weights, &word) in alpha.iter().zip(&written.of_tokens) {
        counts[word] += 1;
        for (&weight, &source) in weights.iter().zip(&read.of_tokens) {
            sums[word][source] += weight;
        }
    }
    for (row, &count) in sums.iter_mut().zip(&counts) {
        row.iter_mut().for_each(|weight| *weight /= count.max(1) as f32);
    }
    sums
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use candlewick_data::text::Text;
    use candlewick_data::tokens::Units;

    #[test]
    fn tokens_become_words_and_their_weights_add_up() {
        let pieces = TextTokenizer::train(Units::Bpe { vocab_size: 256 }, &Text::of("x")).unwrap();
        // Single bytes: every letter is a token, and 雨 three.
        let words = |text: &str| Words::of(&pieces, &pieces.encode(text).unwrap()).unwrap();
        let read = words("Ein Hund.");
        assert_eq!(read.words, ["Ein", "Hund", "."]);
        assert_eq!(read.of_tokens, [0, 0, 0, 1, 1, 1, 1, 1, 2]);
        let written = words("a 雨!");
        assert_eq!(written.words, ["a", "雨", "!"]);
        assert_eq!(written.of_tokens, [0, 1, 1, 1, 1, 2]);
        let even = vec![1.0 / 9.0; 9];
        let first = [vec![1.0], vec![0.0; 8]].concat();
        let alpha = [vec![first], vec![even; 5]].concat();
        let found = of_words(&alpha, &written, &read);
        assert_eq!(found[0], [1.0, 0.0, 0.0]);
        let near = |found: &[f32], wanted: [f32; 3]| found.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(near(&found[1], [3.0 / 9.0, 5.0 / 9.0, 1.0 / 9.0]), "{found:?}");
        assert_eq!(read.and("</s>").words.len(), 4);
    }
}
