//! Tokenised captions and their scores: what every caption metric takes and gives.

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
    pub(crate) fn mean_of(per_image: Vec<f64>) -> Self {
        let corpus = per_image.iter().sum::<f64>() / per_image.len().max(1) as f64;
        Self { corpus, per_image }
    }
}
