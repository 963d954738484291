//! What recurrent layers are compared with: layers over sequences that carry no state.

pub mod self_attention;
mod steps;
pub mod temporal_convolution;
