//! From a recipe to a trained captioner.

mod batches;
mod loss;
mod outcome;
mod prepare;
mod recipe;
mod scheduled_sampling;
mod self_critical;
mod task;

pub use batches::{Batch, BatchConfig};
pub use loss::{CaptionLoss, LossConfig, caption_loss};
pub use prepare::prepare;
pub use recipe::{CaptioningRecipe, DataConfig};
pub use scheduled_sampling::ScheduledSampling;
pub use self_critical::{Baseline, SelfCritical};
pub use task::{CaptioningTask, TaskSettings};
