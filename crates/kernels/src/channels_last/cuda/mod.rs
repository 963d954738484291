//! NHWC operations on CUDA, f32.

pub mod norm;
