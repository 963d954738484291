//! Telling the class of a whole sequence, of each step or of the next one, or a number: words or numbers in, labels out.
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
mod targets;
mod task;

pub use batch::Batch;
pub use classifier::{Classified, SequenceClassifier, SequenceClassifierInit};
pub use config::{InputKind, OutputKind, SequenceClassifierConfig};
pub use evaluate::evaluate;
pub use labelled::{Input, Labelled, LabelledSequences};
pub use recipe::{BatchConfig, DataConfig, Fold, SequenceClassificationRecipe};
pub use task::SequenceClassificationTask;
