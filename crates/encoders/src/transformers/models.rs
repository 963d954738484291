//! What each family's model is asked for, through candle-transformers' public pieces.

use super::handed::Given;
use super::positions::resized;
use super::{Family, VisionConfig};
use crate::cost::count;
use crate::encoder::LayerInfo;
use candle_core::{Result, Tensor};
use candle_nn::{Activation, LayerNorm, Module, layer_norm};
use candle_transformers::models::clip::text_model::Activation as ClipActivation;
use candle_transformers::models::clip::vision_model::{ClipVisionConfig, ClipVisionTransformer};
use candle_transformers::models::dinov2::DinoVisionTransformer;
use candle_transformers::models::{siglip, vit};
use candlewick_parameters::VarBuilder;

/// What is wanted of pictures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Wanted {
    /// The tokens (N, P, C) after this layer.
    Layer(usize),
    /// The tokens (N, P, C) of the map.
    Map,
    /// The vector (N, C) of the whole picture; DINOv2's has the mean of the map behind it, (N, 2C).
    Pooled,
}

/// The name of the head, and the size of what it reads.
pub(super) fn head(config: &VisionConfig) -> (&'static str, usize) {
    match config.family {
        Family::Dinov2 => ("head", 2 * config.hidden_size),
        _ => ("classifier", config.hidden_size),
    }
}

/// The name of each layer before its number, and of the layer norm that makes the map.
pub(super) fn layer_names(family: Family) -> (&'static str, Option<&'static str>) {
    match family {
        Family::Vit => ("vit.encoder.layer", Some("vit.layernorm")),
        Family::Dinov2 => ("blocks", Some("norm")),
        Family::Clip => ("vision_model.encoder.layers", None),
        Family::Siglip => ("vision_model.encoder.layers", Some("vision_model.post_layernorm")),
    }
}

/// The layers that can be asked for: SigLIP's model gives the last alone.
pub(super) fn layers(config: &VisionConfig) -> Vec<LayerInfo> {
    let (prefix, last) = layer_names(config.family);
    let numbers = if config.family == Family::Siglip { 0..0 } else { 0..config.num_hidden_layers };
    let names = numbers.map(|number| format!("{prefix}.{number}")).chain(last.map(str::to_owned));
    names.map(|name| LayerInfo::new(name, config.hidden_size, config.patch_size)).collect()
}

/// Asks the builder for every parameter of the model.
pub(super) fn every_parameter(config: &VisionConfig, vb: VarBuilder) -> Result<()> {
    let depth = config.num_hidden_layers;
    match config.family {
        Family::Vit => Vit::new(config, depth, vb).map(|_| ()),
        Family::Dinov2 => dinov2(config, depth, vb).map(|_| ()),
        Family::Clip => clip(config, depth, vb).map(|_| ()),
        Family::Siglip => siglip(config, true, vb).map(|_| ()),
    }
}

/// Whether candle-transformers reads a parameter of the head, which is ours and there only where it is wanted.
pub(super) fn is_of_head(name: &str) -> bool {
    name.starts_with("head.")
}

/// Runs the model on square pictures.
pub(super) fn run(config: &VisionConfig, given: &Given, wanted: Wanted, images: &Tensor) -> Result<Tensor> {
    let depth = match wanted {
        Wanted::Layer(number) => number + 1,
        _ => config.num_hidden_layers,
    };
    let (n, size) = (images.dim(0)?, images.dim(2)?);
    count_costs(config, depth, n, size / config.patch_size);
    let vb = given.builder(instead(config, given, n, size / config.patch_size)?);
    // The model counts its positions by the side of the pictures.
    let config = &VisionConfig { image_size: size, ..*config };
    match config.family {
        Family::Vit => Vit::new(config, depth, vb)?.run(wanted, images),
        Family::Dinov2 => run_dinov2(&dinov2(config, depth, vb)?, depth, wanted, images),
        Family::Clip => run_clip(&clip(config, depth, vb)?, wanted, images),
        Family::Siglip => siglip(config, wanted == Wanted::Pooled, vb)?.forward(images),
    }
}

/// The parameters that are other ones for n pictures with side × side positions.
fn instead(config: &VisionConfig, given: &Given, n: usize, side: usize) -> Result<Vec<(&'static str, Tensor)>> {
    const IN_CLIP: &str = "vision_model.embeddings.position_embedding.weight";
    let c = config.hidden_size;
    Ok(match config.family {
        Family::Vit => {
            let name = "vit.embeddings.position_embeddings";
            let positions = after_class(&given.tensor(name)?.squeeze(0)?, config, side, 0.0)?;
            vec![(name, positions.unsqueeze(0)?)]
        }
        Family::Clip => vec![(IN_CLIP, after_class(given.tensor(IN_CLIP)?, config, side, 0.0)?)],
        Family::Siglip => vec![(IN_CLIP, resized(given.tensor(IN_CLIP)?, config.native(), side, 0.0)?)],
        Family::Dinov2 => {
            // Its authors add a tenth to the number of positions before they divide.
            let positions = after_class(&given.tensor("pos_embed")?.squeeze(0)?, config, side, 0.1)?;
            let class = given.tensor("cls_token")?;
            // The model adds and joins the two without widening them to the pictures. Its head, as one that changes
            // nothing, lets out what the head reads.
            vec![
                ("pos_embed", positions.unsqueeze(0)?.broadcast_as((n, side * side + 1, c))?),
                ("cls_token", class.broadcast_as((n, 1, c))?),
                ("head.weight", Tensor::eye(2 * c, class.dtype(), class.device())?),
                ("head.bias", Tensor::zeros(2 * c, class.dtype(), class.device())?),
            ]
        }
    })
}

/// Resizes position embeddings (1 + positions, C), of which the class token's is the first and stays.
fn after_class(embeddings: &Tensor, config: &VisionConfig, side: usize, offset: f64) -> Result<Tensor> {
    let patches = embeddings.narrow(0, 1, embeddings.dim(0)? - 1)?;
    Tensor::cat(&[&embeddings.narrow(0, 0, 1)?, &resized(&patches, config.native(), side, offset)?], 0)
}

/// Counts the convolution, the linear layers and attention's two products as [`crate::cost`] wants them.
fn count_costs(config: &VisionConfig, depth: usize, n: usize, side: usize) {
    let (c, hidden, heads) = (config.hidden_size, config.intermediate_size, config.num_attention_heads);
    count(n * side * side * c, 3 * config.patch_size * config.patch_size);
    let tokens = side * side + usize::from(config.family != Family::Siglip);
    for _ in 0..depth {
        count(n * tokens * 4 * c, c);
        count(n * heads * tokens * tokens, c / heads);
        count(n * tokens * c, tokens);
        count(n * tokens * hidden, c);
        count(n * tokens * c, hidden);
    }
}

/// (N, 1 + P, C) → the class token (N, C).
fn class_token(tokens: &Tensor) -> Result<Tensor> {
    tokens.narrow(1, 0, 1)?.squeeze(1)
}

/// (N, 1 + P, C) → the patches' tokens (N, P, C).
fn patch_tokens(tokens: &Tensor) -> Result<Tensor> {
    tokens.narrow(1, 1, tokens.dim(1)? - 1)
}

/// ViT up to its head: the model with the head gives logits alone.
struct Vit {
    embeddings: vit::Embeddings,
    encoder: vit::Encoder,
    norm: LayerNorm,
}

impl Vit {
    fn new(config: &VisionConfig, depth: usize, vb: VarBuilder) -> Result<Self> {
        let vb = vb.pp("vit");
        let sizes = vit::Config {
            hidden_size: config.hidden_size,
            num_hidden_layers: depth,
            num_attention_heads: config.num_attention_heads,
            intermediate_size: config.intermediate_size,
            hidden_act: Activation::Gelu,
            layer_norm_eps: 1e-12,
            image_size: config.image_size,
            patch_size: config.patch_size,
            num_channels: 3,
            qkv_bias: true,
        };
        Ok(Self {
            embeddings: vit::Embeddings::new(&sizes, false, vb.pp("embeddings"))?,
            encoder: vit::Encoder::new(&sizes, vb.pp("encoder"))?,
            norm: layer_norm(config.hidden_size, sizes.layer_norm_eps, vb.pp("layernorm"))?,
        })
    }

    fn run(&self, wanted: Wanted, images: &Tensor) -> Result<Tensor> {
        let tokens = self.encoder.forward(&self.embeddings.forward(images, None, false)?)?;
        match wanted {
            Wanted::Layer(_) => patch_tokens(&tokens),
            Wanted::Map => self.norm.forward(&patch_tokens(&tokens)?.contiguous()?),
            Wanted::Pooled => self.norm.forward(&class_token(&tokens)?.contiguous()?),
        }
    }
}

fn dinov2(config: &VisionConfig, depth: usize, vb: VarBuilder) -> Result<DinoVisionTransformer> {
    DinoVisionTransformer::new(vb, depth, config.hidden_size, config.num_attention_heads)
}

fn run_dinov2(model: &DinoVisionTransformer, depth: usize, wanted: Wanted, images: &Tensor) -> Result<Tensor> {
    match wanted {
        Wanted::Pooled => model.forward(images),
        _ => model.get_intermediate_layers(images, &[depth - 1], false, false, wanted == Wanted::Map)?.squeeze(0),
    }
}

fn clip(config: &VisionConfig, depth: usize, vb: VarBuilder) -> Result<ClipVisionTransformer> {
    let sizes = ClipVisionConfig {
        embed_dim: config.hidden_size,
        activation: ClipActivation::QuickGelu,
        intermediate_size: config.intermediate_size,
        num_hidden_layers: depth,
        num_attention_heads: config.num_attention_heads,
        projection_dim: config.hidden_size,
        num_channels: 3,
        image_size: config.image_size,
        patch_size: config.patch_size,
    };
    ClipVisionTransformer::new(vb.pp("vision_model"), &sizes)
}

fn run_clip(model: &ClipVisionTransformer, wanted: Wanted, images: &Tensor) -> Result<Tensor> {
    // The tokens after each layer, and the class token after the layer norm behind them.
    let states = model.output_hidden_states(images)?;
    match (states.as_slice(), wanted) {
        ([.., pooled], Wanted::Pooled) => Ok(pooled.clone()),
        ([.., tokens, _], _) => patch_tokens(tokens),
        _ => candle_core::bail!("CLIP: gave no tokens"),
    }
}

fn siglip(config: &VisionConfig, pooling: bool, vb: VarBuilder) -> Result<siglip::VisionModel> {
    let sizes = siglip::VisionConfig {
        hidden_size: config.hidden_size,
        intermediate_size: config.intermediate_size,
        num_hidden_layers: config.num_hidden_layers,
        num_attention_heads: config.num_attention_heads,
        num_channels: 3,
        image_size: config.image_size,
        patch_size: config.patch_size,
        hidden_act: Activation::GeluPytorchTanh,
        layer_norm_eps: 1e-6,
    };
    siglip::VisionModel::new(&sizes, pooling, vb.pp("vision_model"))
}
