//! WUPS: how near answers are to the true ones, by their places in WordNet (Malinowski and Fritz 2014, "A Multi-World Approach to
//! Question Answering about Real-World Scenes based on Uncertain Input").
//!
//! With A the set of words of an answer, T those of the truth, and WUP(a, t) the Wu–Palmer similarity of two words:
//!
//! ```text
//! WUPS = mean over questions of min(Π_{a∈A} max_{t∈T} μ(a, t), Π_{t∈T} max_{a∈A} μ(a, t))
//! μ(a, t) = WUP(a, t) where that is at least the threshold, otherwise a tenth of it
//! ```
//!
//! WordNet is not part of this crate: [`WordNet::open`] reads its own files. DAQUAR's figures have the thresholds 0.9 and 0.0.
//!
//! ```no_run
//! use candlewick_metrics::wups::{WordNet, Wups};
//!
//! let wordnet = WordNet::open("/usr/share/wordnet".as_ref())?;
//! let strict = Wups { wordnet: &wordnet, threshold: 0.9 };
//! assert_eq!(strict.score(&["night_stand"], &["night stand"]), 1.0);
//! assert!(strict.score(&["lamp"], &["lamp", "television"]) < 0.1);
//! # Ok::<(), candlewick_metrics::wups::Error>(())
//! ```

mod base_forms;
mod files;
mod wordnet;

pub use wordnet::WordNet;

use std::path::PathBuf;

/// What goes wrong with WordNet's files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be read.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not there.
    #[error("{folder}: has neither {name} nor {name}.gz; name the folder of WordNet's database files")]
    Missing {
        /// The folder.
        folder: PathBuf,
        /// The file's name without `.gz`.
        name: &'static str,
    },
    /// A line is not as WordNet's format asks.
    #[error("{path}, line {line}: {fault}; take the file of WordNet 3.0 or 3.1 as it is")]
    Format {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The fault.
        fault: String,
    },
}

/// WUPS at a threshold.
#[derive(Clone, Copy, Debug)]
pub struct Wups<'a> {
    /// Where the words lie.
    pub wordnet: &'a WordNet,
    /// What words must be alike at least to count in full, 0 to 1.
    pub threshold: f64,
}

impl Wups<'_> {
    /// The score of an answer's words against the true ones, 0 to 1; their order says nothing, and the sides may be exchanged.
    ///
    /// An answer without words scores 0, but where the truth has none either.
    pub fn score(&self, truth: &[impl AsRef<str>], answer: &[impl AsRef<str>]) -> f64 {
        let of_answer: f64 = answer.iter().map(|word| self.best(word.as_ref(), truth)).product();
        let of_truth: f64 = truth.iter().map(|word| self.best(word.as_ref(), answer)).product();
        of_answer.min(of_truth)
    }

    fn best(&self, word: &str, others: &[impl AsRef<str>]) -> f64 {
        others.iter().map(|other| self.word(word, other.as_ref())).fold(0.0, f64::max)
    }

    /// μ(a, b).
    fn word(&self, a: &str, b: &str) -> f64 {
        let similarity = self.wordnet.similarity(a, b);
        if similarity < self.threshold { 0.1 * similarity } else { similarity }
    }
}
