//! What candlewick's networks do beside captioning, a module a task.
//!
//! [`classification`] tells which of a list of things a picture shows, [`sequence_classification`] of which class a text or another sequence
//! is; [`language_model`] writes, [`translation`] gives a sentence in another language, [`vqa`] answers questions about pictures, [`glimpses`] tells what a
//! picture shows from a series of looks, and [`draw`] draws one step by step.

#![forbid(unsafe_code)]

pub mod classification;
pub mod draw;
pub mod glimpses;
mod labelled_pictures;
pub mod language_model;
pub mod sequence_classification;
pub mod translation;
pub mod vqa;

pub use candlewick_training::{Error, Result};
pub use image;

/// The README's examples, as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
