//! From batches to checkpoints: tasks, optimisers, schedules, fit, logs and resuming.
//!
//! A [`Task`] gives batches, a loss and scores; [`fit`] does the rest: it goes back through the loss, clips, steps,
//! schedules, logs, validates, writes checkpoints, and goes on with a run that was stopped at any moment, bit for bit.

#![forbid(unsafe_code)]

mod card;
mod checkpoint;
mod checksums;
pub mod clip;
mod config;
pub mod curves;
mod durable;
mod error;
mod export;
mod fit;
mod gradients;
mod logs;
mod loss_scale;
mod metric;
pub mod model_folder;
pub mod optim;
mod progress;
pub mod recipe;
mod record;
mod recovery;
pub mod reinforce;
mod report;
mod resume_identity;
mod run;
mod run_folder;
mod schedule;
mod task;
mod tensorboard;

pub use card::About;
pub use checkpoint::{Checkpoint, RunFile, TrainerState, best_checkpoint, open_best};
pub use checksums::check_model;
pub use config::{EarlyStopping, FitConfig, MatmulPrecision, Resume, Target, Unreached};
pub use error::{Error, Result};
pub use export::export;
pub use fit::{fit, fit_recorded};
pub use logs::LOG_FILE;
pub use metric::Metric;
pub use model_folder::{Export, ModelFolder, write_weights};
pub use optim::OptimizerConfig;
pub use progress::{Event, Observer, ProgressBarObserver, Silent, bar, picture_bar, spinner};
pub use recipe::{Inputs, Outcome, Recipe, check_shares, check_sizes};
pub use record::{Machine, RECIPE_FILE, Record, Session, data_hash, utc};
pub use report::{Report, StopReason};
pub use run::check;
pub use schedule::{Patience, Position, Schedule};
pub use task::{Loss, MODEL_FILE, Scores, Shard, Task};
pub use tensorboard::EVENTS_FILE;

/// The README's examples, as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
