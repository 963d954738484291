//! Decoding any autoregressive network: the [`Decoder`] trait, greedy search, sampling and beams for many sources in one batch.
//!
//! [`generate`] runs the search that a [`GenerationConfig`] asks for to its end. A [`Search`] is a value that owns what it needs: it
//! moves on a word at a time with [`advance`](Search::advance) and shows what it has so far, so that a caller can show, stop and batch;
//! [`stream`] gives the words of a [`Sampling`] one by one. What changes the scores of the next word is a list of
//! [`processors`].

#![forbid(unsafe_code)]

mod batch;
mod beam;
mod config;
mod constrained;
mod decoder;
mod ensemble;
mod generate;
mod hypothesis;
mod normaliser;
mod phrases;
pub mod processors;
mod sampling;
mod search;
mod select_rows;

pub use beam::BeamSearch;
pub use config::{EarlyStopping, GenerationConfig};
pub use constrained::ConstrainedBeamSearch;
pub use decoder::{Decoder, Step, TeacherForced, unrolled_teacher_forcing};
pub use ensemble::DecoderEnsemble;
pub use generate::{generate, generate_after, search, search_after};
pub use hypothesis::Hypothesis;
pub use normaliser::log_sum_exp;
pub use processors::{LogitsProcessor, LogitsProcessors};
pub use sampling::{Sampling, StreamedWord, stream};
pub use search::Search;
pub use select_rows::SelectRows;

/// The README's examples, as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
