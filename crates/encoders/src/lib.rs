//! Convolutional image networks on candle, as classifiers and as encoders, with torchvision's names and numbers where torchvision has
//! the network.
//!
//! [`network`] builds any of [`networks`] by name and gives an [`Encoder`]: feature maps, pooled vectors, logits and named
//! intermediate layers. What a network offers is data ([`Encoder::layers`], [`Encoder::vectors`]). [`Preprocessing`] makes of a picture what the
//! weights were trained on.
//!
//! With the feature `transformers`, the vision transformers of candle-transformers are among them. [`add_network`] puts one of your own
//! beside them, for which [`Backbone`] makes an encoder of any model that gives tokens or a map.
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use candlewick_encoders::{Encoder, NetworkConfig, network};
//! use candlewick_parameters::{Mode, Parameters};
//!
//! # fn main() -> candle_core::Result<()> {
//! let parameters = Parameters::new(7);
//! let encoder = network("convnet", &NetworkConfig::default(), parameters.builder(&Device::Cpu))?;
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
mod cost;
mod encoder;
mod file_hash;
mod networks;
mod preprocessing;
#[cfg(feature = "transformers")]
pub mod transformers;

pub use architecture::{
    Architecture, NetworkConfig, add_network, auxiliary_prefixes, frozen_prefixes, head_prefix, head_prefixes,
    logit_prefixes, network, networks, own_weights, preprocessing, stages,
};
pub use backbone::Backbone;
pub use blocks::feature_map::Map;
pub use blocks::head::{classes_in, without_head};
pub use blocks::layers;
pub use cost::{Cost, cost};
pub use encoder::{Classified, Encoder, LayerInfo, VectorInfo};
pub use file_hash::file_hash;
pub use networks::convnet::ConvBlock;
pub use networks::fractalnet::FractalConfig;
pub use preprocessing::{Interpolation, Preprocessing, Resize};
