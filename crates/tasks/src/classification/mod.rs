//! Telling which of a list of things a picture shows.
//!
//! [`Classifier`] is the way in: it opens a model folder, or a checkpoint of torchvision's, and tells what pictures show.
//! [`ClassificationTask`] trains one as a [`Recipe`] says.

mod augment;
mod classifier;
mod prepare;
mod recipe;
mod task;

pub use augment::Augmentation;
pub use classifier::{Classifier, ClassifierConfig, Guess};
pub use prepare::prepare;
pub use recipe::{BatchConfig, DataConfig, NetworkRecipe, Recipe};
pub use task::{Batch, ClassificationTask};
