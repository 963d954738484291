//! What candlewick's networks do beside captioning, a module a task.
//!
//! [`classification`] tells which of a list of things a picture shows.

#![forbid(unsafe_code)]

pub mod classification;
mod error;

pub use error::{Error, Result};
