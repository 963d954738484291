//! What is told of a captioner: scores, attention overlays, comparisons.

mod attention_overlay;
mod comparison;
mod evaluate;

pub use attention_overlay::write_attention;
pub use comparison::{comparison_table, write_comparison};
pub use evaluate::{Evaluation, caption_all, decode, evaluate};
