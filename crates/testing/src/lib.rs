//! What the tests of the other crates share. Everything panics where something is wrong.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod compare;
mod fixture;
#[cfg(feature = "tensors")]
mod hashed;

pub use compare::{Values, assert_close};
#[cfg(feature = "tensors")]
pub use compare::{bits, flat, values};
#[cfg(feature = "tensors")]
pub use fixture::tensors;
pub use fixture::{fixture, json, words};
#[cfg(feature = "tensors")]
pub use hashed::{Hashed, digest, fnv, hashed, images};
