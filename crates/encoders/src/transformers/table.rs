//! The vision transformers whose weights are published.

use super::config::{Family, VisionConfig};
use super::models::{head_parts, layer_names};
use super::vision_transformer::VisionTransformer;
use crate::architecture::Architecture;
use crate::preprocessing::{Interpolation, Preprocessing, Resize};

/// A row of the papers' tables.
#[derive(Clone, Copy, Debug)]
struct Variant {
    name: &'static str,
    family: Family,
    sizes: Sizes,
    image_size: usize,
    patch_size: usize,
    /// The published ImageNet top-1, as a share of 1.
    top1: Option<f32>,
}

/// Channels C, layers and heads; the hidden layers have 4C where the family says nothing else.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    channels: usize,
    layers: usize,
    heads: usize,
}

const TINY: Sizes = Sizes { channels: 192, layers: 12, heads: 3 };
const SMALL: Sizes = Sizes { channels: 384, layers: 12, heads: 6 };
const BASE: Sizes = Sizes { channels: 768, layers: 12, heads: 12 };
const LARGE: Sizes = Sizes { channels: 1024, layers: 24, heads: 16 };

const fn variant(name: &'static str, family: Family, sizes: Sizes, image_size: usize, patch_size: usize) -> Variant {
    Variant { name, family, sizes, image_size, patch_size, top1: None }
}

/// The top-1s are those of timm's results for ViT (`augreg_in21k_ft_in1k`), BEiT (`in22k_ft_in22k_in1k`) and EVA-02
/// (`mim_in22k_ft_in22k_in1k`, the large one `mim_m38m_ft_in22k_in1k`), and of its authors' README for DINOv2 with a linear head.
const TABLE: [Variant; 20] = [
    variant("vit_tiny_patch16_224", Family::Vit, TINY, 224, 16).top1(0.75454),
    variant("vit_small_patch16_224", Family::Vit, SMALL, 224, 16).top1(0.81384),
    variant("vit_base_patch16_224", Family::Vit, BASE, 224, 16).top1(0.84532),
    variant("vit_large_patch16_224", Family::Vit, LARGE, 224, 16).top1(0.85834),
    variant("dinov2_vits14", Family::Dinov2, SMALL, 518, 14).top1(0.811),
    variant("dinov2_vitb14", Family::Dinov2, BASE, 518, 14).top1(0.845),
    variant("dinov2_vitl14", Family::Dinov2, LARGE, 518, 14).top1(0.863),
    variant("dinov2_vits14_reg", Family::Dinov2Registers, SMALL, 518, 14).top1(0.809),
    variant("dinov2_vitb14_reg", Family::Dinov2Registers, BASE, 518, 14).top1(0.846),
    variant("dinov2_vitl14_reg", Family::Dinov2Registers, LARGE, 518, 14).top1(0.867),
    variant("clip_vit_base_patch32", Family::Clip, BASE, 224, 32),
    variant("clip_vit_base_patch16", Family::Clip, BASE, 224, 16),
    variant("clip_vit_large_patch14", Family::Clip, LARGE, 224, 14),
    variant("clip_vit_large_patch14_336", Family::Clip, LARGE, 336, 14),
    variant("siglip_base_patch16_224", Family::Siglip, BASE, 224, 16),
    variant("siglip_large_patch16_256", Family::Siglip, LARGE, 256, 16),
    variant("beit_base_patch16_384", Family::Beit, BASE, 384, 16).top1(0.86800),
    variant("beit_large_patch16_384", Family::Beit, LARGE, 384, 16).top1(0.88402),
    variant("eva02_base_patch14_448", Family::Eva02, BASE, 448, 14).top1(0.88692),
    variant("eva02_large_patch14_448", Family::Eva02, LARGE, 448, 14).top1(0.90052),
];

impl Variant {
    /// The same with the published ImageNet top-1, as a share of 1.
    const fn top1(self, top1: f32) -> Self {
        Self { top1: Some(top1), ..self }
    }

    fn config(&self) -> VisionConfig {
        let Sizes { channels, layers, heads } = self.sizes;
        VisionConfig {
            family: self.family,
            hidden_size: channels,
            num_hidden_layers: layers,
            num_attention_heads: heads,
            intermediate_size: self.family.fixed(channels).map_or(4 * channels, |(.., size)| size),
            image_size: self.image_size,
            patch_size: self.patch_size,
        }
    }

    fn stages(&self) -> Vec<String> {
        let (prefix, norm) = layer_names(self.family);
        let first: &[&str] = match self.family {
            Family::Vit => &["vit.embeddings"],
            Family::Dinov2 | Family::Eva02 => &["cls_token", "pos_embed", "patch_embed"],
            Family::Dinov2Registers => &["cls_token", "register_tokens", "pos_embed", "patch_embed"],
            Family::Beit => &["cls_token", "patch_embed"],
            Family::Clip => &["vision_model.embeddings", "vision_model.pre_layrnorm"],
            Family::Siglip => &["vision_model.embeddings"],
        };
        let last: &[&str] = match self.family {
            Family::Vit | Family::Dinov2 | Family::Dinov2Registers | Family::Beit | Family::Eva02 => &[],
            Family::Clip => &["vision_model.post_layernorm"],
            Family::Siglip => &["vision_model.head"],
        };
        let layers = (0..self.sizes.layers).map(|number| format!("{prefix}.{number}"));
        let first = first.iter().map(|stage| stage.to_string());
        first.chain(layers).chain(norm.map(str::to_owned)).chain(last.iter().map(|stage| stage.to_string())).collect()
    }

    /// What the published weights were trained on.
    fn preprocessing(&self) -> Preprocessing {
        let side = (self.image_size, self.image_size);
        let squashed = Preprocessing { size: Some(Resize::Exact(side.0, side.1)), ..Preprocessing::unresized() };
        let bicubic = |preprocessing| Preprocessing { interpolation: Interpolation::Bicubic, ..preprocessing };
        let as_clip = |preprocessing| Preprocessing {
            mean: [0.48145466, 0.4578275, 0.40821073],
            std: [0.26862954, 0.261_302_6, 0.275_777_1],
            ..bicubic(preprocessing)
        };
        let cut = Preprocessing {
            size: Some(Resize::Shortest(self.image_size)),
            crop: Some(side),
            ..Preprocessing::unresized()
        };
        match self.family {
            Family::Vit => squashed,
            Family::Siglip => bicubic(squashed),
            Family::Dinov2 | Family::Dinov2Registers => bicubic(Preprocessing::imagenet()),
            Family::Clip => as_clip(cut),
            Family::Beit => bicubic(cut),
            Family::Eva02 => as_clip(squashed),
        }
    }
}

/// The name that a tensor of a published file has in the network; none for what is not of the network.
fn canonical_name(family: Family, name: &str) -> Option<String> {
    let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    let others: &[&str] = match family {
        // A file of the model without its head leaves the prefix out.
        Family::Vit if begins(&["embeddings.", "encoder.", "layernorm."]) => return Some(format!("vit.{name}")),
        Family::Vit => &["pooler.", "vit.pooler."],
        Family::Dinov2 | Family::Dinov2Registers => &["mask_token"],
        Family::Beit if name.ends_with(".relative_position_index") => return None,
        Family::Beit if begins(&["blocks."]) => {
            return Some(name.replace(".gamma_1", ".ls1.gamma").replace(".gamma_2", ".ls2.gamma"));
        }
        Family::Beit | Family::Eva02 => &[],
        Family::Clip | Family::Siglip => &[
            "text_model.",
            "text_projection.",
            "visual_projection.",
            "logit_scale",
            "logit_bias",
            "vision_model.embeddings.position_ids",
        ],
    };
    (!begins(others)).then(|| name.to_owned())
}

pub(crate) fn architectures() -> Vec<Architecture> {
    let row = |variant: Variant| {
        let config = variant.config();
        let head = head_parts(variant.family);
        Architecture::new(variant.name, variant.stages(), head, move |options, vb| {
            VisionTransformer::new(variant.name, &config, options, vb)
        })
        .with_preprocessing(variant.preprocessing())
        .with_canonical_names(move |name| canonical_name(variant.family, name))
        .with_published_top1(variant.top1)
        .without_gradients(&["cls_token", "pos_embed", "register_tokens"])
    };
    TABLE.map(row).into()
}
