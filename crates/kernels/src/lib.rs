//! Operations with gradients that candle lacks, does slowly or does wrongly, on candle's tensors.
//!
//! Each operation is a function on tensors whose gradient flows through candle's `backward`. Operations with kernels or
//! several outputs become one node of candle's graph through [`node`]. Maps are (N, C, h, w) as everywhere in candle; a whole
//! network is faster on the CPU with the operations of [`channels_last`], on (N, h, w, C).

pub mod activation;
pub mod additive_attention;
pub mod attention_lstm;
mod backend;
pub mod channels_last;
pub mod conv;
mod cpu;
#[cfg_attr(
    not(any(test, feature = "cuda", feature = "emulator")),
    allow(dead_code, reason = "what operations ask of a device is read by devices alone")
)]
mod cuda;
pub mod device;
pub mod embedding;
pub mod gaussian_grid;
pub mod linear;
pub mod loss;
pub mod node;
pub mod norm;
pub mod optimizer;
pub mod pool;
pub mod precision;
pub mod recurrence;
pub mod residual;
pub mod scale;
pub mod softmax;
#[cfg(test)]
mod test_values;
pub mod top_k;

pub use cpu::thread_pool;
#[cfg(feature = "emulator")]
pub use cuda::emulator::{emulated, emulated_in};

/// The README's examples, as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
