//! Metrics: strings and numbers in, numbers out.

#![forbid(unsafe_code)]
#![deny(clippy::too_many_arguments)]

pub mod accuracy;
pub mod caption;
