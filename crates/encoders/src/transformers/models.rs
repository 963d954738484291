//! Each family's model of candle-transformers: its parameters, and its forward pass to tokens or to a pooled vector.

use super::config::{Family, VisionConfig};
use super::detached_builder::DetachedParameters;
use super::position_embeddings::{Bicubic, resized, rotary};
use crate::blocks::{Head, MlpConfig};
use crate::config::NetworkConfig;
use crate::counter::count;
use crate::encoder::LayerInfo;
use candle_core::{Result, Shape, Tensor};
use candle_nn::{Activation, LayerNorm, Module, layer_norm};
use candle_transformers::models::beit::BeitVisionTransformer;
use candle_transformers::models::clip::text_model::Activation as ClipActivation;
use candle_transformers::models::clip::vision_model::{ClipVisionConfig, ClipVisionTransformer};
use candle_transformers::models::dinov2::DinoVisionTransformer;
use candle_transformers::models::eva2::EVA2VisionTransformer;
use candle_transformers::models::{siglip, vit};
use candlewick_parameters::VarBuilder;
use std::collections::HashMap;

/// The registers of a DINOv2 that has them.
const REGISTERS: usize = 4;

/// The output that is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Output {
    /// The tokens (N, P, C) after this layer.
    Layer(usize),
    /// The tokens (N, P, C) of the map.
    Map,
    /// The vector (N, C) of the whole image; the two DINOv2s concatenate the mean of the map, (N, 2C).
    Pooled,
}

/// The names of the head's parts.
pub(super) fn head_parts(family: Family) -> &'static [&'static str] {
    match family {
        Family::Dinov2 | Family::Dinov2Registers => &["head"],
        Family::Beit | Family::Eva02 => &["fc_norm", "head"],
        Family::Vit | Family::Clip | Family::Siglip => &["classifier"],
    }
}

/// The head, where one is wanted or in the file.
pub(super) fn head(sizes: &VisionConfig, config: &NetworkConfig, vb: VarBuilder) -> Result<Option<Head>> {
    let (size, dropout) = (sizes.hidden_size, config.dropout.unwrap_or(0.0));
    let (inputs, mlp) = match sizes.family {
        Family::Dinov2 | Family::Dinov2Registers => (2 * size, MlpConfig { dropout, ..MlpConfig::linear("head") }),
        Family::Beit | Family::Eva02 => (size, MlpConfig { norm: Some("fc_norm"), ..MlpConfig::linear("head") }),
        Family::Vit | Family::Clip | Family::Siglip => (size, MlpConfig { dropout, ..MlpConfig::linear("classifier") }),
    };
    Head::mlp(inputs, &mlp, config, vb)
}

/// The name of each layer before its number, and of the layer norm that makes the map.
pub(super) fn layer_names(family: Family) -> (&'static str, Option<&'static str>) {
    match family {
        Family::Vit => ("vit.encoder.layer", Some("vit.layernorm")),
        Family::Dinov2 | Family::Dinov2Registers => ("blocks", Some("norm")),
        Family::Beit | Family::Eva02 => ("blocks", None),
        Family::Clip => ("vision_model.encoder.layers", None),
        Family::Siglip => ("vision_model.encoder.layers", Some("vision_model.post_layernorm")),
    }
}

/// The layers on offer: SigLIP's model gives the last alone.
pub(super) fn layers(config: &VisionConfig) -> Vec<LayerInfo> {
    let (prefix, last) = layer_names(config.family);
    let numbers = if config.family == Family::Siglip { 0..0 } else { 0..config.num_hidden_layers };
    let names = numbers.map(|number| format!("{prefix}.{number}")).chain(last.map(str::to_owned));
    names.map(|name| LayerInfo::new(name, config.hidden_size, config.patch_size)).collect()
}

/// Builds the model once, so that the builder sees every parameter.
pub(super) fn every_parameter(config: &VisionConfig, vb: VarBuilder) -> Result<()> {
    let depth = config.num_hidden_layers;
    match config.family {
        Family::Vit => Vit::new(config, depth, vb).map(|_| ()),
        Family::Dinov2 => dinov2(config, depth, vb).map(|_| ()),
        Family::Dinov2Registers => {
            vb.get((1, REGISTERS, config.hidden_size), "register_tokens")?;
            dinov2(config, depth, vb).map(|_| ())
        }
        Family::Beit => beit(config, depth, vb).map(|_| ()),
        Family::Eva02 => eva02(config, depth, vb).map(|_| ()),
        Family::Clip => clip(config, depth, vb).map(|_| ()),
        Family::Siglip => siglip(config, true, vb).map(|_| ()),
    }
}

/// The parameters of ours that stand for one of candle-transformers': none where it is computed or of the head, which is our own.
pub(super) fn own_parameters(config: &VisionConfig, name: &str, shape: Shape) -> Vec<(String, Shape)> {
    let (family, c) = (config.family, config.hidden_size);
    let of_head = name.starts_with("head.") || (config.is_of_one_size() && name.starts_with("norm."));
    match name.strip_suffix("qkv.bias").filter(|_| family == Family::Beit) {
        // The keys have none.
        Some(attention) => ["q_bias", "v_bias"].map(|bias| (format!("{attention}{bias}"), c.into())).into(),
        None if of_head || name == "rot_pos_embed" => Vec::new(),
        None => vec![(name.to_owned(), shape)],
    }
}

/// The forward pass on square images.
pub(super) fn run(
    config: &VisionConfig,
    parameters: &DetachedParameters,
    output: Output,
    images: &Tensor,
) -> Result<Tensor> {
    let depth = match output {
        Output::Layer(number) => number + 1,
        _ => config.num_hidden_layers,
    };
    let (n, size) = (images.dim(0)?, images.dim(2)?);
    count_costs(config, depth, n, size / config.patch_size);
    let vb = parameters.builder(overrides(config, parameters, n, size / config.patch_size)?);
    // The model counts its positions by the side of the images.
    let config = &VisionConfig { image_size: size, ..*config };
    match config.family {
        Family::Vit => Vit::new(config, depth, vb)?.run(output, images),
        Family::Dinov2 => run_dinov2(&dinov2(config, depth, vb)?, depth, output, images),
        Family::Dinov2Registers => run_with_registers(&dinov2(config, depth, vb)?, depth, output, images),
        Family::Beit => run_beit(&beit(config, depth, vb)?, depth, output, images),
        Family::Eva02 => {
            let tokens =
                eva02(config, depth, vb)?.get_intermediate_layers(images, &[depth - 1], false, false, false)?;
            mean_or_map(tokens.squeeze(0)?, output)
        }
        Family::Clip => run_clip(&clip(config, depth, vb)?, output, images),
        Family::Siglip => siglip(config, output == Output::Pooled, vb)?.forward(images),
    }
}

/// The parameters that differ for n images of side × side positions.
fn overrides(
    config: &VisionConfig,
    parameters: &DetachedParameters,
    n: usize,
    side: usize,
) -> Result<HashMap<String, Tensor>> {
    const IN_CLIP: &str = "vision_model.embeddings.position_embedding.weight";
    let c = config.hidden_size;
    // DINOv2's and EVA-02's models do not broadcast over the batch what precedes the patches.
    let broadcast = |tensor: &Tensor| tensor.broadcast_as((n, tensor.dim(1)?, c));
    let tensors = match config.family {
        Family::Vit => {
            let name = "vit.embeddings.position_embeddings";
            let positions = after_class(&parameters.tensor(name)?.squeeze(0)?, config, side, Bicubic::Plain(0.0))?;
            vec![(name, positions.unsqueeze(0)?)]
        }
        Family::Clip => vec![(IN_CLIP, after_class(parameters.tensor(IN_CLIP)?, config, side, Bicubic::Plain(0.0))?)],
        Family::Siglip => {
            vec![(IN_CLIP, resized(parameters.tensor(IN_CLIP)?, config.native(), side, Bicubic::Plain(0.0))?)]
        }
        Family::Dinov2 => {
            // Its authors add a tenth to the number of positions before they divide.
            let positions =
                after_class(&parameters.tensor("pos_embed")?.squeeze(0)?, config, side, Bicubic::Plain(0.1))?;
            let class = parameters.tensor("cls_token")?;
            // The identity as the model's head gives what our head reads.
            vec![
                ("pos_embed", broadcast(&positions.unsqueeze(0)?)?),
                ("cls_token", broadcast(class)?),
                ("head.weight", Tensor::eye(2 * c, class.dtype(), class.device())?),
                ("head.bias", Tensor::zeros(2 * c, class.dtype(), class.device())?),
            ]
        }
        Family::Dinov2Registers => {
            let (positions, tokens) = with_registers(config, parameters, side)?;
            let mut tensors = unread(config, parameters.tensor("cls_token")?)?;
            tensors.extend([("pos_embed", broadcast(&positions)?), ("cls_token", broadcast(&tokens)?)]);
            tensors
        }
        Family::Eva02 => {
            let (class, head_size) = (parameters.tensor("cls_token")?, c / config.num_attention_heads);
            let mut tensors = unread(config, class)?;
            tensors.push(("pos_embed", broadcast(parameters.tensor("pos_embed")?)?));
            tensors.push(("cls_token", broadcast(class)?));
            // Its authors count positions as in images of 224 pixels.
            let rotary = rotary(side, 224 / config.patch_size, head_size, class.device())?;
            tensors.push(("rot_pos_embed", rotary.to_dtype(class.dtype())?));
            tensors
        }
        Family::Beit => unread(config, parameters.tensor("cls_token")?)?,
    };
    let mut tensors: HashMap<String, Tensor> =
        tensors.into_iter().map(|(name, tensor)| (name.to_owned(), tensor)).collect();
    if config.family == Family::Beit {
        tensors.extend(attention_biases(config, parameters)?);
    }
    Ok(tensors)
}

/// DINOv2's positions (1, P, C) with registers, and the tokens that go before the patches (1, 1 + R, C).
///
/// The model knows no registers and drops the first token. To attention their order is all the same, so a register stands first.
fn with_registers(config: &VisionConfig, parameters: &DetachedParameters, side: usize) -> Result<(Tensor, Tensor)> {
    let positions = after_class(&parameters.tensor("pos_embed")?.squeeze(0)?, config, side, Bicubic::Antialiased)?;
    let (class, registers) = (parameters.tensor("cls_token")?, parameters.tensor("register_tokens")?);
    let (first, others) = (registers.narrow(1, 0, 1)?, registers.narrow(1, 1, REGISTERS - 1)?);
    let nowhere = |count: usize| Tensor::zeros((count, config.hidden_size), class.dtype(), class.device());
    let (at_class, at_patches) = (positions.narrow(0, 0, 1)?, positions.narrow(0, 1, side * side)?);
    let positions = Tensor::cat(&[&nowhere(1)?, &at_class, &nowhere(REGISTERS - 1)?, &at_patches], 0)?;
    Ok((positions.unsqueeze(0)?, Tensor::cat(&[&first, class, &others], 1)?))
}

/// The parameters of the model's head, which is never run.
fn unread(config: &VisionConfig, like: &Tensor) -> Result<Vec<(&'static str, Tensor)>> {
    let zero = Tensor::zeros(1, like.dtype(), like.device())?;
    let names = ["head.weight", "head.bias", "norm.weight", "norm.bias"];
    let count = if config.is_of_one_size() { 4 } else { 2 };
    Ok(names.into_iter().take(count).map(|name| (name, zero.clone())).collect())
}

/// The biases of queries, keys and values in one, as BEiT's model has them.
fn attention_biases(config: &VisionConfig, parameters: &DetachedParameters) -> Result<Vec<(String, Tensor)>> {
    let bias = |number: usize| {
        let part = |name: &str| parameters.tensor(&format!("blocks.{number}.attn.{name}"));
        let (queries, values) = (part("q_bias")?, part("v_bias")?);
        let bias = Tensor::cat(&[queries, &queries.zeros_like()?, values], 0)?;
        Ok((format!("blocks.{number}.attn.qkv.bias"), bias))
    };
    (0..config.num_hidden_layers).map(bias).collect()
}

/// Resizes position embeddings (1 + positions, C), of which the class token's is the first and stays.
fn after_class(embeddings: &Tensor, config: &VisionConfig, side: usize, bicubic: Bicubic) -> Result<Tensor> {
    let patches = embeddings.narrow(0, 1, embeddings.dim(0)? - 1)?;
    Tensor::cat(&[&embeddings.narrow(0, 0, 1)?, &resized(&patches, config.native(), side, bicubic)?], 0)
}

/// Counts the convolution, the linear layers and attention's two products as [`crate::cost`] wants them.
fn count_costs(config: &VisionConfig, depth: usize, n: usize, side: usize) {
    let (c, hidden, heads) = (config.hidden_size, config.intermediate_size, config.num_attention_heads);
    count(n * side * side * c, 3 * config.patch_size * config.patch_size);
    let tokens = side * side
        + match config.family {
            Family::Siglip => 0,
            Family::Dinov2Registers => 1 + REGISTERS,
            _ => 1,
        };
    // EVA-02 gates the hidden layer by another.
    let wider = if config.family == Family::Eva02 { 2 } else { 1 };
    for _ in 0..depth {
        count(n * tokens * 4 * c, c);
        count(n * heads * tokens * tokens, c / heads);
        count(n * tokens * c, tokens);
        count(n * tokens * wider * hidden, c);
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

    fn run(&self, output: Output, images: &Tensor) -> Result<Tensor> {
        let tokens = self.encoder.forward(&self.embeddings.forward(images, None, false)?)?;
        match output {
            Output::Layer(_) => patch_tokens(&tokens),
            Output::Map => self.norm.forward(&patch_tokens(&tokens)?.contiguous()?),
            Output::Pooled => self.norm.forward(&class_token(&tokens)?.contiguous()?),
        }
    }
}

fn dinov2(config: &VisionConfig, depth: usize, vb: VarBuilder) -> Result<DinoVisionTransformer> {
    DinoVisionTransformer::new(vb, depth, config.hidden_size, config.num_attention_heads)
}

fn run_dinov2(model: &DinoVisionTransformer, depth: usize, output: Output, images: &Tensor) -> Result<Tensor> {
    match output {
        Output::Pooled => model.forward(images),
        _ => model.get_intermediate_layers(images, &[depth - 1], false, false, output == Output::Map)?.squeeze(0),
    }
}

fn run_with_registers(model: &DinoVisionTransformer, depth: usize, output: Output, images: &Tensor) -> Result<Tensor> {
    let normalised = !matches!(output, Output::Layer(_));
    let tokens = model.get_intermediate_layers(images, &[depth - 1], false, false, normalised)?.squeeze(0)?;
    let patches = tokens.narrow(1, REGISTERS, tokens.dim(1)? - REGISTERS)?;
    match output {
        Output::Pooled => Tensor::cat(&[class_token(&tokens)?, patches.mean(1)?], 1),
        _ => Ok(patches),
    }
}

fn beit(config: &VisionConfig, depth: usize, vb: VarBuilder) -> Result<BeitVisionTransformer> {
    BeitVisionTransformer::new(vb, depth, config.hidden_size, config.num_attention_heads)
}

fn run_beit(model: &BeitVisionTransformer, depth: usize, output: Output, images: &Tensor) -> Result<Tensor> {
    // The model takes one image at a time: it does not broadcast its position bias over the batch.
    let one = |number| {
        let image = images.narrow(0, number, 1)?;
        model.get_intermediate_layers(&image, &[depth - 1], false, false, false)?.squeeze(0)
    };
    let tokens = (0..images.dim(0)?).map(one).collect::<Result<Vec<_>>>()?;
    mean_or_map(Tensor::cat(&tokens, 0)?, output)
}

fn eva02(config: &VisionConfig, depth: usize, vb: VarBuilder) -> Result<EVA2VisionTransformer> {
    EVA2VisionTransformer::new(vb, depth, config.hidden_size, config.num_attention_heads)
}

/// The patches' tokens, or their mean for the whole image.
fn mean_or_map(patches: Tensor, output: Output) -> Result<Tensor> {
    if output == Output::Pooled { patches.mean(1) } else { Ok(patches) }
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

fn run_clip(model: &ClipVisionTransformer, output: Output, images: &Tensor) -> Result<Tensor> {
    // The tokens after each layer, and the class token after the layer norm behind them.
    let states = model.output_hidden_states(images)?;
    match (states.as_slice(), output) {
        ([.., pooled], Output::Pooled) => Ok(pooled.clone()),
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
