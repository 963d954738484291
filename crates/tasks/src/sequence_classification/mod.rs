//! Telling the class of a whole sequence, of each step or of the next one, which of several come next, or a number: words or numbers in,
//! labels out.
//!
//! [`SequenceClassifier`] is the way in: it opens a model folder and classifies. [`SequenceClassificationTask`] trains one as a
//! [`SequenceClassificationRecipe`] says.

mod batch;
mod check;
mod classified;
mod classifier;
mod clip_source;
mod config;
mod evaluate;
mod folder;
mod frame_encoder;
mod labelled;
mod pictures;
mod prepare;
mod preprocessing;
mod read;
mod reading;
mod recipe;
mod sequences;
mod several;
mod sounds;
mod start;
mod targets;
mod task;

pub use batch::Batch;
pub use classified::Classified;
pub use classifier::{SequenceClassifier, SequenceClassifierInit};
pub use clip_source::{ClipsConfig, FramesConfig, MovingConfig};
pub use config::{InputKind, OutputKind, SequenceClassifierConfig};
pub use evaluate::evaluate;
pub use frame_encoder::{FrameEncoderConfig, FrameVector};
pub use labelled::{Input, Labelled, LabelledSequences};
pub use preprocessing::{AddingConfig, SequencePreprocessing, SoundConfig, ValuesConfig};
pub use read::Named;
pub use recipe::{BatchConfig, DataConfig, Fold, SequenceClassificationRecipe};
pub use task::SequenceClassificationTask;
