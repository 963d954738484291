//! Units that one can read: which unit of a language model tells best where a text has quotes, comments, or its line's end.
//!
//! Karpathy, Johnson and Li 2015, "Visualizing and understanding recurrent networks".

mod correlation;
mod properties;
mod reading;
mod scores;

pub use correlation::{pearson, spearman};
pub use properties::{Marking, NEAR, Pattern, Property, properties, property_names};
pub use scores::{LEAST_CHARACTERS, Telling, UnitScores, score_units};
