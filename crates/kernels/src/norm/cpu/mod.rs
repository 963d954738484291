//! Batch and layer norm of f32 on the CPU.

pub mod batch;
pub mod layer;
