//! Telling the class of a whole sequence, of each step or of the next one, which of several come next, or a number: words, numbers or
//! frames in, labels out.
//!
//! [`SequenceClassifier`] is the way in: it opens a model folder and classifies. [`SequenceClassificationTask`] trains one as a
//! [`SequenceClassificationRecipe`] says.

mod batch;
mod check;
mod classified;
mod classifier;
mod config;
mod evaluate;
mod files;
mod folder;
mod frame_encoder;
mod inputs;
mod prepare;
mod recipe;
mod sequences;
mod several;
mod start;
mod targets;
mod task;

pub use batch::Batch;
pub use classified::Classified;
pub use classifier::{SequenceClassifier, SequenceClassifierInit};
pub use config::{InputKind, OutputKind, SequenceClassifierConfig};
pub use evaluate::evaluate;
pub use files::Named;
pub use frame_encoder::{FrameEncoderConfig, FrameVector};
pub use inputs::{
    AddingConfig, ClipsConfig, DataConfig, Fold, FramesConfig, Input, Labelled, LabelledSequences, MovingConfig,
    SequencePreprocessing, SoundConfig, ValuesConfig,
};
pub use recipe::{BatchConfig, SequenceClassificationRecipe};
pub use task::SequenceClassificationTask;
