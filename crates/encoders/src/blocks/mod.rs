//! What networks are built from: layers, feature maps, heads, and the network around them.

pub(crate) mod feature_map;
pub(crate) mod head;
pub mod layers;
pub(crate) mod mlp_head;
pub(crate) mod network;
