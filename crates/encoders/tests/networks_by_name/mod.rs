//! Networks by name, which tests take for granted.
#![allow(dead_code, clippy::unwrap_used)]

use candle_core::Result;
use candlewick_encoders::{Architecture, Encoder, NetworkConfig};
use candlewick_parameters::VarBuilder;

pub fn find(name: &str) -> &'static Architecture {
    Architecture::find(name).unwrap()
}

pub fn network(name: &str, config: &NetworkConfig, vb: VarBuilder) -> Result<Box<dyn Encoder>> {
    find(name).build(config, vb)
}
