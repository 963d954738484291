//! Metrics: strings and numbers in, numbers out.

#![forbid(unsafe_code)]

pub mod accuracy;
pub mod caption;
mod ngram;
pub mod sacrebleu;
pub mod wups;

/// The README's examples, as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
