//! What the CPU forms of operations share.

pub(crate) mod disjoint;
pub(crate) mod fill;
pub(crate) mod gemm;
pub(crate) mod reduce;
pub(crate) mod simd_math;
pub(crate) mod team;
pub mod thread_pool;
pub(crate) mod transpose;
