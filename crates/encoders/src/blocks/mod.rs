//! What networks are built from: feature maps, layers, blocks, heads, and the network around them.

mod block;
mod conv;
mod conv_norm;
mod feature_map;
mod head;
mod linear;
mod mlp_head;
mod network;
mod norm;

pub(crate) use block::{Block, Sequential};
pub use conv::{Conv2d, Conv2dConfig, ConvInitial};
pub use conv_norm::ConvNorm;
pub use feature_map::FeatureMap;
pub(crate) use head::Head;
pub(crate) use linear::{Linear, LinearInit, pytorch_linear_init};
pub(crate) use mlp_head::{HiddenLayer, MlpConfig, MlpHead, keep_as_buffers};
pub(crate) use network::{AuxiliaryHead, Body, NamedLayers, Network};
pub use norm::{BatchNorm2d, BatchNormConfig, LayerNorm};
