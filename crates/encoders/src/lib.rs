//! Convolutional image networks on candle, as classifiers and as encoders, with torchvision's names and numbers where torchvision has
//! the network.
//!
//! [`Architecture::find`] finds any of [`networks`] by name and builds an [`Encoder`]: feature maps, pooled vectors, logits and
//! intermediate layers by name ([`Encoder::layers`], [`Encoder::pre_logits_layers`]). [`Preprocessing`] makes an image what the weights were
//! trained on.
//!
//! With the feature `transformers`, the vision transformers of candle-transformers are among them. [`add_network`] adds one of your own,
//! for which [`Backbone`] makes an encoder of any model that gives tokens or a map.
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use candlewick_encoders::{Architecture, NetworkConfig};
//! use candlewick_parameters::{Mode, Parameters};
//!
//! # fn main() -> candle_core::Result<()> {
//! let parameters = Parameters::new(7);
//! let convnet = Architecture::find("convnet")?;
//! let encoder = convnet.build(&NetworkConfig::default(), parameters.builder(&Device::Cpu))?;
//! let images = Tensor::zeros((2, 3, 64, 64), DType::F32, &Device::Cpu)?;
//! let map = encoder.map(&images, &mut Mode::Eval)?;
//! assert_eq!(map.dims(), [2, encoder.channels(), 64 / encoder.stride(), 64 / encoder.stride()]);
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

mod architecture;
mod backbone;
mod blocks;
mod config;
mod cost;
mod counter;
mod encoder;
mod file_hash;
mod networks;
mod preprocessing;
mod registry;
#[cfg(feature = "transformers")]
pub mod transformers;

pub use architecture::Architecture;
pub use backbone::Backbone;
pub use blocks::FeatureMap;
pub use config::{ConvBlock, FractalConfig, NetworkConfig};
pub use cost::cost;
pub use counter::Cost;
pub use encoder::{ClassifierOutput, Encoder, LayerInfo, PreLogitsInfo};
pub use file_hash::file_hash;
pub use image;
pub use preprocessing::{Interpolation, Preprocessing, Resize};
pub use registry::{add_network, networks};

/// The layers that image networks are made of, with PyTorch's names and initial values.
pub mod layers {
    pub use crate::blocks::{BatchNorm2d, BatchNormConfig, Conv2d, Conv2dConfig, ConvInitial, ConvNorm, LayerNorm};
}

/// The README's examples, as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
