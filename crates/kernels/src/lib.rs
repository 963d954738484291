//! Operations with gradients that candle lacks, does slowly or does wrongly, on candle's tensors.
//!
//! Each operation is a function on tensors whose gradient flows through candle's `backward`. Operations with kernels or
//! several outputs become one node of candle's graph through [`node`]. Maps are (N, C, h, w) as everywhere in candle; a whole
//! network is faster on the CPU with the operations of [`channels_last`], on (N, h, w, C).

pub mod activation;
pub mod additive_attention;
pub mod attention_lstm;
pub mod channels_last;
pub mod conv;
mod fill;
mod gemm;
pub mod linear;
pub mod loss;
pub mod node;
pub mod norm;
#[cfg(test)]
mod numbers;
pub mod pool;
pub mod precision;
pub mod recurrence;
mod reduce;
pub mod residual;
pub mod scale;
mod simd_math;
pub mod softmax;
mod team;
pub mod threads;
mod transpose;
