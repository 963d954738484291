//! Caption metrics as the COCO scorer computes them: BLEU, ROUGE-L, CIDEr and METEOR, without Java.
//!
//! [`coco::evaluate`] does everything at once: it tokenises captions like Stanford's PTBTokenizer ([`tokenizer`]), runs every metric
//! and gives corpus and per-image scores that serialise to COCO's result files. Each metric is also a module of its own that works on
//! tokens already made.
//!
//! ```
//! use candlewick_metrics::caption::{Segment, bleu, tokenizer::tokenize};
//!
//! let segment = Segment {
//!     references: vec![tokenize("A dog runs on the beach."), tokenize("The dog is running.")],
//!     hypothesis: tokenize("A dog runs on the sand."),
//! };
//! let [bleu_1, ..] = bleu::score(&[segment]);
//! assert!((bleu_1.corpus - 5.0 / 6.0).abs() < 1e-6);
//! ```

pub mod bleu;
pub mod cider;
pub mod coco;
pub mod meteor;
pub mod rouge;
mod segment;
pub mod tokenizer;

pub use segment::{MetricScore, Segment};
