//! BLEU and chrF of translations as sacreBLEU computes them (Post 2018, "A Call for Clarity in Reporting BLEU Scores"), with its signatures.
//!
//! Translations and references are plain text; the metric tokenises them, so that scores can be compared whatever a model's own tokens
//! are. A score comes with its signature, which says how it was computed.
//!
//! ```
//! use candlewick_metrics::sacrebleu::{Bleu, Chrf, Segment};
//!
//! let segments = [
//!     Segment { hypothesis: "A dog runs along the beach.", references: vec!["A dog runs on the beach.", "The dog is running."] },
//!     Segment { hypothesis: "It's 5 o'clock!", references: vec!["It is 5 o'clock!", "It's five!"] },
//! ];
//! let bleu = Bleu::default().corpus(&segments)?;
//! assert_eq!(bleu.signature, "nrefs:2|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0");
//! assert!(bleu.to_string().starts_with("BLEU = 40.15 90.9/66.7/"));
//! assert_eq!(Chrf::plus_plus().corpus(&segments)?.to_string(), "chrF2++ = 71.68");
//! # Ok::<(), candlewick_metrics::sacrebleu::Error>(())
//! ```

mod bleu;
mod chrf;
mod tokenizer;

pub use bleu::{Bleu, BleuScore, Smoothing};
pub use chrf::{Chrf, ChrfScore};
pub use tokenizer::Tokenizer;

/// The version of sacreBLEU whose scores these are.
pub const VERSION: &str = "2.6.0";

/// What cannot be scored.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is nothing to score.
    #[error("no translations to score; give at least one")]
    NoSegments,
    /// A translation has nothing to be compared with.
    #[error("translation {0} has no reference; give each at least one")]
    NoReferences(usize),
    /// A setting that cannot be used as it is.
    #[error("{0}")]
    Setting(String),
}

/// A translation, as written, and what people wrote; not tokenised.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Segment<'a> {
    /// The translation to score.
    pub hypothesis: &'a str,
    /// The translations of people, at least one.
    pub references: Vec<&'a str>,
}

impl Segment<'_> {
    /// Hypothesis and references, first the one.
    fn texts<T>(&self, make: impl Fn(&str) -> T) -> Texts<T> {
        Texts { hypothesis: make(self.hypothesis), references: self.references.iter().map(|text| make(text)).collect() }
    }
}

/// A segment's texts as a metric prepared them.
struct Texts<T> {
    hypothesis: T,
    references: Vec<T>,
}

/// What a signature says of the references, `nrefs:N`, and of the case.
fn head(segments: &[Segment], lowercase: bool) -> Result<String, Error> {
    let first = segments.first().ok_or(Error::NoSegments)?.references.len();
    if let Some(without) = segments.iter().position(|segment| segment.references.is_empty()) {
        return Err(Error::NoReferences(without));
    }
    let same = segments.iter().all(|segment| segment.references.len() == first);
    let count = if same { first.to_string() } else { "var".to_owned() };
    Ok(format!("nrefs:{count}|case:{}", if lowercase { "lc" } else { "mixed" }))
}

fn cased(text: &str, lowercase: bool) -> String {
    if lowercase { text.to_lowercase() } else { text.to_owned() }
}
