//! Tests of the whole program: each runs the real binary in a folder of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

/// A backbone of the caller's own as the encoder of a captioner.
mod backbone;
/// Wrong files, wrong arguments: one line that says what to do, and nothing lost.
mod bad_input;
/// Folders, lists, files beside pictures, pages.
mod caption;
/// The commands as a user calls them.
mod command_line;
/// Captioners side by side: trained in order, and refused before training.
mod compare;
/// A crate outside the workspace that uses the public API only.
mod downstream;
/// Models to give away, and what a run keeps of how it came about.
mod export;
/// Weights from the Hugging Face hub.
mod hub;
/// Classifiers, checkpoints, and what the lecture compares.
mod lecture;
/// Looks at pictures and drawings, from a recipe to strips and animations.
mod looks_and_drawings;
/// Photos: the caption formats, pretrained weights, evaluation.
mod photos;
/// Questions about pictures, from a recipe to answers.
mod questions;
/// Killed and resumed runs.
mod resume;
/// Language models, from a text to a text.
mod sample;
/// The JSON schemas of recipes.
mod schema;
/// How captions are searched for, and by several models as one.
mod search;
/// Classifiers of sounds, tables, notes and clips, from files to answers.
mod sequences;
/// Classifiers of texts, from labelled sentences to answers.
mod texts;
/// Translators, from pairs of sentences to translations.
mod translate;
/// Which units of a language model tell what a text has where.
mod units;

#[path = "../support/mod.rs"]
mod support;

use support::{candlewick, fail, run, scene, small, succeed, text};
