//! The parameters of a network: an ordered store behind candle's [`VarBuilder`], seeded initial values, strict loading
//! and the training [`Mode`].
//!
//! A fresh store draws each parameter from a generator of its own, derived from the seed and the parameter's name, so
//! that neither the order of construction nor other layers change it:
//!
//! ```
//! use candle_core::Device;
//! use candlewick_parameters::{Initial, ParameterBuilder, Parameters};
//!
//! # fn main() -> candle_core::Result<()> {
//! let parameters = Parameters::new(7);
//! let vb = parameters.builder(&Device::Cpu);
//! let weight = vb.pp("head").parameter((10, 4), "weight", Initial::fan_in(4))?;
//! assert_eq!(parameters.names(), ["head.weight"]);
//! assert_eq!(weight.dims(), [10, 4]);
//! # Ok(())
//! # }
//! ```
//!
//! A loaded store takes every value from its file; [`Parameters::verify`] then names what was missing, unused or of
//! another shape, all at once.

mod file;
mod initial;
mod legacy;
mod mode;
mod pytorch;
mod rng;
mod store;

pub use candle_nn::VarBuilder;
pub use file::{SafetensorsFile, write_safetensors};
pub use initial::{Initial, ParameterBuilder};
pub use mode::Mode;
pub use pytorch::{read_pytorch, strip_data_parallel};
pub use rng::Rng;
pub use store::Parameters;
