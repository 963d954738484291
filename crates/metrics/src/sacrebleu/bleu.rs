//! BLEU (Papineni et al. 2002, "BLEU: a Method for Automatic Evaluation of Machine Translation") as sacreBLEU computes it.
//!
//! With m_n of a translation's t_n n-grams in some reference (each counted at most as often as in the reference that has it most), summed
//! over the corpus, c the translations' length and r that of the closest references:
//!
//! ```text
//! BLEU = 100 · min(1, exp(1 − r/c)) · (p_1 · p_2 · p_3 · p_4)^(1/4),   p_n = m_n / t_n
//! ```
//!
//! Where m_n is 0, smoothing gives p_n (Chen and Cherry 2014, "A Systematic Comparison of Smoothing Techniques for Sentence-Level BLEU").

use super::tokenizer::Tokenizer;
use super::{Error, Segment, VERSION, cased, head};
use crate::ngram;
use serde::{Deserialize, Serialize};
use std::fmt;

const MAX_N: usize = 4;

/// What p_n is where no n-gram matches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Smoothing {
    /// 0, and so is BLEU.
    None,
    /// This number, sacreBLEU's is 0.1, over t_n.
    Floor(f64),
    /// All of m_n and t_n but the first have this number added, sacreBLEU's is 1 (Lin and Och 2004).
    AddK(f64),
    /// 1 / (2^k · t_n), at the k-th n for which nothing matches.
    #[default]
    Exp,
}

impl fmt::Display for Smoothing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Floor(value) => write!(f, "floor[{value:.2}]"),
            Self::AddK(value) => write!(f, "add-k[{value:.2}]"),
            Self::Exp => f.write_str("exp"),
        }
    }
}

/// How BLEU is computed; by default as sacreBLEU does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Bleu {
    /// What a token is.
    pub tokenizer: Tokenizer,
    /// Whether all letters are made small first.
    pub lowercase: bool,
    /// What p_n is where nothing matches.
    pub smoothing: Smoothing,
    /// Whether only those n count that the translation has n-grams of; always so for one sentence.
    pub effective_order: bool,
}

/// BLEU and what it was made of.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BleuScore {
    /// BLEU, 0 to 100.
    pub score: f64,
    /// 100 · p_n, smoothed, for n from 1 to 4.
    pub precisions: [f64; MAX_N],
    /// m_n, the n-grams of the translations that are in a reference, not smoothed.
    pub matches: [u64; MAX_N],
    /// t_n, the n-grams of the translations.
    pub ngrams: [u64; MAX_N],
    /// min(1, exp(1 − r/c)).
    pub brevity_penalty: f64,
    /// c, the tokens of the translations.
    pub hypothesis_length: usize,
    /// r, the tokens of the references that are closest in length.
    pub reference_length: usize,
    /// How it was computed, as sacreBLEU writes it.
    pub signature: String,
}

impl fmt::Display for BleuScore {
    /// As sacreBLEU's own line: `BLEU = 60.44 100.0/72.1/58.9/49.0 (BP = 0.895 ratio = 0.900 hyp_len = 11961 ref_len = 13289)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let precisions = self.precisions.map(|precision| format!("{precision:.1}")).join("/");
        let (hypothesis, reference) = (self.hypothesis_length, self.reference_length);
        let ratio = if reference > 0 { hypothesis as f64 / reference as f64 } else { 0.0 };
        write!(f, "BLEU = {:.2} {precisions} (BP = {:.3} ", self.score, self.brevity_penalty)?;
        write!(f, "ratio = {ratio:.3} hyp_len = {hypothesis} ref_len = {reference})")
    }
}

impl Bleu {
    /// BLEU of a corpus, from summed counts: not the mean of its sentences'.
    ///
    /// # Errors
    /// When there is no segment, one without a reference, or smoothing by a number that is not positive.
    pub fn corpus(&self, segments: &[Segment]) -> Result<BleuScore, Error> {
        self.check()?;
        let signature = format!(
            "{}|eff:{}|tok:{}|smooth:{}|version:{VERSION}",
            head(segments, self.lowercase)?,
            if self.effective_order { "yes" } else { "no" },
            self.tokenizer.name(),
            self.smoothing,
        );
        let mut counts = Counts::default();
        segments.iter().for_each(|segment| counts.add(self, segment));
        Ok(self.score(&counts, signature))
    }

    /// BLEU of one sentence, of the n that it has n-grams of.
    ///
    /// # Errors
    /// When it has no reference, or smoothing by a number that is not positive.
    pub fn sentence(&self, segment: &Segment) -> Result<BleuScore, Error> {
        Self { effective_order: true, ..*self }.corpus(std::slice::from_ref(segment))
    }

    fn check(&self) -> Result<(), Error> {
        match self.smoothing {
            Smoothing::Floor(value) | Smoothing::AddK(value) if !(value.is_finite() && value > 0.0) => {
                Err(Error::Setting(format!("smoothing is by {value}; wanted a number above 0")))
            }
            _ => Ok(()),
        }
    }

    fn score(&self, counts: &Counts, signature: String) -> BleuScore {
        let (hypothesis, reference) = (counts.hypothesis_length as f64, counts.reference_length as f64);
        let brevity_penalty = match counts.hypothesis_length < counts.reference_length {
            true if counts.hypothesis_length == 0 => 0.0,
            true => (1.0 - reference / hypothesis).exp(),
            false => 1.0,
        };
        let Precisions { values, order } = self.precisions(counts);
        let logs: f64 = values.iter().take(order).map(|precision| precision.ln()).sum();
        let score = if order > 0 { brevity_penalty * (logs / order as f64).exp() } else { 0.0 };
        BleuScore {
            score,
            precisions: values,
            matches: counts.matches,
            ngrams: counts.ngrams,
            brevity_penalty,
            hypothesis_length: counts.hypothesis_length,
            reference_length: counts.reference_length,
            signature,
        }
    }

    fn precisions(&self, counts: &Counts) -> Precisions {
        let mut values = [0.0; MAX_N];
        if counts.matches.iter().all(|&matches| matches == 0) {
            return Precisions { values, order: 0 };
        }
        let (mut order, mut halved) = (0, 1.0);
        for (n, precision) in values.iter_mut().enumerate() {
            let (mut matches, mut ngrams) = (counts.matches[n] as f64, counts.ngrams[n] as f64);
            if let (Smoothing::AddK(k), 1..) = (self.smoothing, n) {
                (matches, ngrams) = (matches + k, ngrams + k);
            }
            if ngrams == 0.0 {
                break;
            }
            order = n + 1;
            if matches == 0.0 {
                matches = match self.smoothing {
                    Smoothing::Floor(value) => value,
                    Smoothing::Exp => {
                        halved /= 2.0;
                        halved
                    }
                    Smoothing::None | Smoothing::AddK(_) => 0.0,
                };
            }
            *precision = 100.0 * matches / ngrams;
        }
        Precisions { values, order: if self.effective_order { order } else { MAX_N } }
    }
}

/// 100 · p_n, and how many of them count: none where nothing matches at all.
struct Precisions {
    values: [f64; MAX_N],
    order: usize,
}

/// What BLEU needs to know of a corpus.
#[derive(Default)]
struct Counts {
    hypothesis_length: usize,
    reference_length: usize,
    matches: [u64; MAX_N],
    ngrams: [u64; MAX_N],
}

impl Counts {
    fn add(&mut self, bleu: &Bleu, segment: &Segment) {
        let texts = segment.texts(|text| bleu.tokenizer.tokenize(&cased(text, bleu.lowercase)));
        let length = texts.hypothesis.len();
        self.hypothesis_length += length;
        self.reference_length += ngram::closest_length(length, texts.references.iter().map(Vec::len));
        for (n, (matches, ngrams)) in (1..).zip(self.matches.iter_mut().zip(&mut self.ngrams)) {
            *matches += ngram::clipped(&texts.hypothesis, texts.references.iter().map(Vec::as_slice), n);
            *ngrams += (length + 1).saturating_sub(n) as u64;
        }
    }
}
