//! Words that somebody wants or refuses in captions, as the ids that they may come as.

use super::pipeline::SPACE;
use super::{UNK, WordTokenizer};
use crate::error::{Error, Result};
use crate::text::scripts::is_written_without_spaces;
use tokenizers::Model as _;

/// What some words may come as in a caption.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Phrases {
    /// The sequences of ids, each of which says the words; none for a text without words.
    pub ids: Vec<Vec<u32>>,
    /// The first word that the vocabulary lacks; then no sequence says them.
    pub unknown: Option<String>,
}

impl WordTokenizer {
    /// The sequences of ids that say this text.
    ///
    /// There is one where words are whole. Where a word has the space before it in itself there is one with it and one without, and in
    /// scripts that are written without spaces the single pieces that hold the text count too; pieces of which the text is
    /// the end of one and the beginning of the next do not.
    ///
    /// # Errors
    /// When a loaded tokenizer's rules fail on the text.
    pub fn phrases(&self, text: &str) -> Result<Phrases> {
        let mut found = Phrases::default();
        for parts in self.written(text)? {
            let mut ids = Vec::new();
            for part in &parts {
                let pieces =
                    self.inner.get_model().tokenize(part).map_err(|error| Error::tokenizer("tokenizer", error))?;
                if pieces.is_empty() || pieces.iter().any(|piece| piece.id == UNK) {
                    found.unknown.get_or_insert(part.trim_start_matches(SPACE).to_owned());
                    ids.clear();
                    break;
                }
                ids.extend(pieces.into_iter().map(|piece| piece.id));
            }
            if !ids.is_empty() && !found.ids.contains(&ids) {
                found.ids.push(ids);
            }
        }
        let apart = text.trim().chars().next().is_some_and(is_written_without_spaces);
        if apart && self.inner.get_decoder().is_some() {
            let holding = (0..self.vocab_size() as u32)
                .filter(|&id| self.word(id).is_some_and(|word| word.contains(text.trim())));
            let holding: Vec<Vec<u32>> = holding.map(|id| vec![id]).filter(|ids| !found.ids.contains(ids)).collect();
            found.ids.extend(holding);
        }
        if !found.ids.is_empty() {
            found.unknown = None;
        }
        Ok(found)
    }

    /// The words of a text as they may stand in a caption: at its beginning, after a space, or where no space is.
    fn written(&self, text: &str) -> Result<Vec<Vec<String>>> {
        let mut all = vec![self.split(text)?];
        if self.inner.get_decoder().is_none() {
            all.retain(|words| !words.is_empty());
            return Ok(all);
        }
        all.push(self.split(&format!(" {text}"))?);
        if let Some((first, rest)) = all[0].split_first() {
            let without =
                first.strip_prefix(SPACE).filter(|bare| bare.chars().next().is_some_and(is_written_without_spaces));
            let first = without.map_or_else(|| format!("{SPACE}{}", first.trim_start_matches(SPACE)), str::to_owned);
            all.push(std::iter::once(first).chain(rest.iter().cloned()).collect());
        }
        all.retain(|words| !words.is_empty());
        all.dedup();
        Ok(all)
    }
}
