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
//! [`Parameters::open`] builds a network of exactly what a file holds, and names what was missing, unused or of another shape,
//! all at once:
//!
//! ```
//! # use candle_core::{Device, Result, Tensor};
//! # use candlewick_parameters::{Initial, ParameterBuilder, Parameters, VarBuilder};
//! fn head(vb: VarBuilder) -> Result<Tensor> {
//!     vb.pp("head").parameter((10, 4), "weight", Initial::fan_in(4))
//! }
//! # fn main() -> Result<()> {
//! # let folder = std::env::temp_dir().join(format!("candlewick-doc-{}", std::process::id()));
//! # std::fs::create_dir_all(&folder)?;
//! # let path = folder.join("head.safetensors");
//! let fresh = Parameters::new(7);
//! head(fresh.builder(&Device::Cpu))?;
//! fresh.save(&path)?;
//! let (weight, parameters) = Parameters::open(&path, &Device::Cpu, head)?;
//! assert_eq!((weight.dims(), parameters.count()), ([10, 4].as_slice(), 40));
//! # std::fs::remove_dir_all(&folder)?;
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

mod content;
mod convert;
mod dtype;
mod file;
mod foreign;
mod header;
mod initial;
mod memory;
mod mode;
mod nearest;
mod pickle;
mod prefix;
mod rng;
mod store;
mod text;
mod write;

pub use candle_nn::VarBuilder;
pub use convert::{Conversion, Converted, convert};
pub use file::SafetensorsFile;
pub use initial::{Initial, ParameterBuilder};
pub use memory::available_memory;
pub use mode::Mode;
pub use nearest::nearest;
pub use rng::Rng;
pub use store::Parameters;
pub use write::write_safetensors;

/// The README's examples, as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
