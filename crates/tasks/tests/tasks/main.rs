//! The tasks: what each learns to the end, that runs resume, and what is refused.
#![allow(clippy::unwrap_used, clippy::panic)]

mod activations;
mod classification;
mod draw;
mod glimpses;
mod language_model;
mod resumed;
mod sequence_classification;
mod stored_units;
mod toy_task;
mod translation;
mod vqa;
