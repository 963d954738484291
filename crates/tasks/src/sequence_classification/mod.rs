//! Telling the class of a whole sequence: words or numbers in, a label out.
//!
//! [`SequenceClassifier`] is the way in: it opens a model folder and classifies. [`SequenceClassificationTask`] trains one as a
//! [`SequenceClassificationRecipe`] says.

mod batch;
mod classifier;
mod config;
mod evaluate;
mod labelled;
mod prepare;
mod recipe;
mod task;

pub use batch::Batch;
pub use classifier::{Classified, SequenceClassifier, SequenceClassifierInit};
pub use config::{InputKind, SequenceClassifierConfig};
pub use evaluate::evaluate;
pub use labelled::{Input, Labelled, LabelledSequences};
pub use recipe::{BatchConfig, DataConfig, Fold, SequenceClassificationRecipe};
pub use task::SequenceClassificationTask;
