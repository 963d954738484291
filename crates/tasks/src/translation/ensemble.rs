//! Several translators that tell as one.

use super::translator::{Translation, Translator};
use crate::{Error, Result};
use candlewick_generation::{DecoderEnsemble, GenerationConfig, generate};
use candlewick_parameters::Mode;

/// M translators whose probabilities of each next token are averaged: p(y) = 1/M Σ_m p_m(y).
///
/// They must have the same tokens. Where all attend, their α are averaged; settings of the search are the first one's.
pub struct TranslatorEnsemble {
    first: Translator,
    others: Vec<Translator>,
}

impl TranslatorEnsemble {
    /// Puts translators together.
    ///
    /// # Errors
    /// When there is none, or they have different tokens.
    pub fn new(members: Vec<Translator>) -> Result<Self> {
        let mut members = members.into_iter();
        let first = members.next().ok_or_else(|| Error::Setting("an ensemble needs at least one translator".into()))?;
        let others: Vec<Translator> = members.collect();
        if others.iter().any(|other| other.tokenizer() != first.tokenizer()) {
            let fault =
                "the translators of an ensemble have different tokens; take models that were trained on one set";
            return Err(Error::Setting(fault.into()));
        }
        Ok(Self { first, others })
    }

    /// The first of them.
    pub fn first(&self) -> &Translator {
        &self.first
    }

    /// The best translation of each sentence.
    ///
    /// # Errors
    /// As [`Translator::translate`] says.
    pub fn translate(&self, texts: &[&str], generation: &GenerationConfig) -> Result<Vec<Translation>> {
        Ok(self.n_best(texts, generation)?.into_iter().filter_map(|found| found.into_iter().next()).collect())
    }

    /// The `num_return_sequences` best translations of each sentence, the best first.
    ///
    /// # Errors
    /// As [`Translator::translate`] says.
    pub fn n_best(&self, texts: &[&str], generation: &GenerationConfig) -> Result<Vec<Vec<Translation>>> {
        if self.others.is_empty() {
            return self.first.n_best(texts, generation);
        }
        let generation = self.first.own_ends(generation);
        let members = || std::iter::once(&self.first).chain(&self.others);
        let decoder = DecoderEnsemble::new(members().map(|member| member.decoder.clone()).collect())?;
        self.first.in_batches(texts, |ids, lengths| {
            let memories = members().map(|member| member.memory(ids, lengths, &mut Mode::Eval));
            let memories = memories.collect::<candle_core::Result<Vec<_>>>()?;
            Ok(generate(&decoder, &memories, lengths.len(), &generation)?)
        })
    }
}
