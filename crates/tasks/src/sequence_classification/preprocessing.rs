//! What is done to files before the network reads their numbers: the model folder's `preprocessor_config.json`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The files that sequences of numbers are read from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum ValuesConfig {
    /// Tables, arrays and UCI's vowels, as `candlewick_data::values` reads them.
    #[default]
    Tables,
    /// Pieces of music in the JSON of `candlewick_data::values::notes`: a step has 88 numbers, 1 for a note that sounds and 0 for one that does
    /// not.
    Notes,
}

/// What is done to files and their numbers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SequencePreprocessing {
    /// What the numbers are read from.
    #[serde(default)]
    pub values: ValuesConfig,
}
