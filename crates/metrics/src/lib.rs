//! Metrics: strings and numbers in, numbers out.

#![forbid(unsafe_code)]

pub mod accuracy;
pub mod caption;
