//! The vision transformers of candle-transformers as encoders: ViT, DINOv2 with registers and without, CLIP's image tower, SigLIP's,
//! BEiT and EVA-02.
//!
//! An image is cut into patches; the tokens of the P = h·w patches (N, P, C), in rows from the top left, are the
//! annotations, and as (N, C, h, w) the map. The class token and the registers are in no map:
//!
//! | [`Family`] | the map | [`crate::Encoder::pooled`] | the head, and what it reads |
//! |---|---|---|---|
//! | `Vit` | tokens after the last layer norm | class token after it | `classifier` on the class token |
//! | `Dinov2`, `Dinov2Registers` | tokens after the last layer norm | class token after it | `head` on class token and mean of the map, (N, 2C) |
//! | `Clip` | tokens after the last layer | class token after the last layer norm | `classifier` on the mean of the map |
//! | `Siglip` | tokens after the last layer norm | attention's pooling | `classifier` on the mean of the map |
//! | `Beit`, `Eva02` | tokens after the last layer | mean of the map | layer norm `fc_norm` and `head` on the mean of the map |
//!
//! Parameter names are DINOv2's own, timm's for BEiT and EVA-02, and Hugging Face's for the others. Load a published file
//! through [`crate::Architecture::canonical_weights`], which leaves out what is not of the network, such as CLIP's text tower, and renames BEiT's `gamma_1`;
//! [`crate::Architecture::preprocessing`] says what the published weights want; a captioner's recipe whose encoder they are has to say the same.
//!
//! Images are squares whose side is a multiple of the patch's. Position embeddings are resized to them bicubically,
//! as PyTorch does it; BEiT and EVA-02 take images of their own size alone, and BEiT one after the other. Where candle-transformers
//! differs from the original it stays so: the DINOv2s and BEiT have the tanh approximation of GELU, the DINOv2s layer norms with
//! ε = 10⁻⁵ in place of 10⁻⁶.
//!
//! [`crate::Backbone`] makes an encoder of any other model.
//!
//! **They cannot be trained:** candle's fused layer norm and softmax have no gradients, so that those of the layers would
//! be wrong. A head on frozen layers can: name the head in a recipe's `fine_tune`. [`crate::Encoder::map`] in
//! `Mode::Train` on layers that are not frozen is an error.
//!
//! ConvNeXt and EfficientNet, of which candle-transformers gives the mean of the map only, are networks of this crate's own, with
//! torchvision's names, and can be trained.

mod config;
mod detached_builder;
mod models;
mod position_embeddings;
mod table;
mod vision_transformer;

pub use config::{Family, VisionConfig};
pub(crate) use table::architectures;
pub use vision_transformer::VisionTransformer;
