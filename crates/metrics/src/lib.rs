//! Caption metrics as the COCO scorer computes them: BLEU, ROUGE-L, CIDEr and METEOR, without Java.
//!
//! Strings go in and numbers come out. [`coco::evaluate`] does everything at once: it tokenises captions like
//! Stanford's PTBTokenizer ([`tokenizer`]), runs every metric and gives corpus and per-image scores that serialise to
//! COCO's result files. Each metric is also a module of its own that works on tokens already made.
//!
//! ```
//! use candlewick_metrics::{Segment, bleu, tokenizer::tokenize};
//!
//! let segment = Segment {
//!     references: vec![tokenize("A dog runs on the beach."), tokenize("The dog is running.")],
//!     hypothesis: tokenize("A dog runs on the sand."),
//! };
//! let [bleu_1, ..] = bleu::score(&[segment]);
//! assert!((bleu_1.corpus - 5.0 / 6.0).abs() < 1e-6);
//! ```

#![forbid(unsafe_code)]

pub mod bleu;
pub mod cider;
pub mod coco;
pub mod meteor;
mod ngram;
pub mod rouge;
pub mod tokenizer;

/// One image's tokenised captions: what a model wrote and what people wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// The human captions, each a list of tokens; a metric gives 0 where there are none.
    pub references: Vec<Vec<String>>,
    /// The caption to score, a list of tokens.
    pub hypothesis: Vec<String>,
}

/// What one metric says of a corpus and of each of its segments, in the order given.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MetricScore {
    /// The corpus score; for ROUGE-L and CIDEr the mean of `per_image`, for BLEU and METEOR from summed statistics.
    pub corpus: f64,
    /// One score a segment.
    pub per_image: Vec<f64>,
}

impl MetricScore {
    /// The score whose corpus value is the mean of its segments' (0 for no segments).
    fn mean_of(per_image: Vec<f64>) -> Self {
        let corpus = per_image.iter().sum::<f64>() / per_image.len().max(1) as f64;
        Self { corpus, per_image }
    }
}
