//! How good translations are, as sacreBLEU scores them.

use super::translator::Translation;
use crate::{Error, Result};
use candlewick_data::parallel::Pair;
use candlewick_metrics::sacrebleu::{Bleu, Chrf, Segment};
use candlewick_training::Scores;

/// Sentences that are translated before progress is told.
const AT_ONCE: usize = 256;

/// The scores of translations, and how they were computed.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// `BLEU` (13a, cased) and `chrF` (chrF2), 0 to 100.
    pub scores: Scores,
    /// sacreBLEU's signatures of both.
    pub signatures: [String; 2],
    /// The translations, in the order of the pairs.
    pub translations: Vec<Translation>,
}

/// Translates the sources of pairs and scores what comes out against their targets.
///
/// `progress` is told how many of how many are done.
///
/// # Errors
/// When there are no pairs, or a sentence cannot be translated.
pub fn evaluate(
    pairs: &[Pair],
    translate: impl Fn(&[&str]) -> Result<Vec<Translation>>,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Evaluation> {
    let mut translations = Vec::with_capacity(pairs.len());
    progress(0, pairs.len());
    for some in pairs.chunks(AT_ONCE) {
        let sources: Vec<&str> = some.iter().map(|pair| pair.source.as_str()).collect();
        translations.extend(translate(&sources)?);
        progress(translations.len(), pairs.len());
    }
    let segments: Vec<Segment> = translations.iter().zip(pairs).map(|(told, pair)| segment(told, pair)).collect();
    let fault = |error: candlewick_metrics::sacrebleu::Error| Error::NoData(error.to_string());
    let bleu = Bleu::default().corpus(&segments).map_err(fault)?;
    let chrf = Chrf::default().corpus(&segments).map_err(fault)?;
    let scores = Scores::from_iter([("BLEU", bleu.score), ("chrF", chrf.score)]);
    Ok(Evaluation { scores, signatures: [bleu.signature, chrf.signature], translations })
}

fn segment<'a>(told: &'a Translation, pair: &'a Pair) -> Segment<'a> {
    Segment { hypothesis: &told.text, references: vec![&pair.target] }
}
