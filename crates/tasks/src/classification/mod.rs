//! Telling which of a list of things a picture shows.
//!
//! [`Classifier`] is the way in: it opens a model folder, or a checkpoint of torchvision's, and tells what pictures show.
//! [`ClassificationTask`] trains one as a [`ClassificationRecipe`] says.

mod augment;
mod classifier;
mod evaluate;
mod prepare;
mod recipe;
mod source;
mod task;

pub use augment::Augmentation;
pub use classifier::{Classifier, ClassifierConfig, Guess};
pub use evaluate::{Evaluation, evaluate};
pub use prepare::prepare;
pub use recipe::{BatchConfig, ClassificationRecipe, DataConfig, NetworkRecipe};
pub use source::Batch;
pub use task::ClassificationTask;
