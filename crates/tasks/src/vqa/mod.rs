//! Answering questions about pictures: a picture and a question in, known answers or choices out.
//!
//! [`VqaModel`] is the way in: it opens a model folder and answers. [`VqaTask`] trains one as a [`VqaRecipe`] says, on questions about
//! photos or about generated scenes; with [`Join::None`] it tells what language alone can.

mod answer;
mod batch;
mod config;
mod dataset;
mod evaluate;
mod export;
mod model;
mod network;
mod prepare;
mod recipe;
mod task;

pub use answer::{Answered, Ask};
pub use batch::Batch;
pub use config::{Join, VqaConfig, VqaNetworkConfig};
pub use dataset::{PictureQuestion, SceneWorld, VqaDataset};
pub use evaluate::{Evaluation, KindScores, evaluate};
pub use model::{EmbeddedFiles, VqaInit, VqaModel};
pub use recipe::{BatchConfig, DataConfig, VqaRecipe};
pub use task::VqaTask;
