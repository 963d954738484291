//! The vision transformers of candle-transformers as encoders: ViT, DINOv2 with registers and without, CLIP's image tower, SigLIP's,
//! BEiT and EVA-02.
//!
//! A picture is cut into patches; the tokens of the P = h·w patches (N, P, C), in rows from the top left, are the
//! annotations, and as (N, C, h, w) the map. The class token and the registers are in no map:
//!
//! | [`Family`] | the map | [`Encoder::pooled`] | the head, and what it reads |
//! |---|---|---|---|
//! | `Vit` | tokens after the last layer norm | class token after it | `classifier` on the class token |
//! | `Dinov2`, `Dinov2Registers` | tokens after the last layer norm | class token after it | `head` on class token and mean of the map, (N, 2C) |
//! | `Clip` | tokens after the last layer | class token after the last layer norm | `classifier` on the mean of the map |
//! | `Siglip` | tokens after the last layer norm | attention's pooling | `classifier` on the mean of the map |
//! | `Beit`, `Eva02` | tokens after the last layer | mean of the map | layer norm `fc_norm` and `head` on the mean of the map |
//!
//! Parameter names are DINOv2's own, timm's for BEiT and EVA-02, and Hugging Face's for the others. Load a published file
//! through [`crate::own_weights`], which leaves out what is not of the network, such as CLIP's text tower, and renames BEiT's `gamma_1`;
//! [`crate::preprocessing`] says what the published weights want; a captioner's recipe whose encoder they are has to say the same.
//!
//! Pictures are squares whose side is a multiple of the patch's. Position embeddings are resized to them bicubically,
//! as PyTorch does it; BEiT and EVA-02 take pictures of their own size alone, and BEiT one after the other. Where candle-transformers
//! differs from the original it stays so: the DINOv2s and BEiT have the tanh approximation of GELU, the DINOv2s layer norms with
//! ε = 10⁻⁵ in place of 10⁻⁶.
//!
//! [`crate::Backbone`] makes an encoder of any other model.
//!
//! **They cannot be trained:** candle's fused layer norm and softmax hand no gradients back, so that those of the layers would
//! be wrong. A head on frozen layers can: name the head in a recipe's `fine_tune`. [`Encoder::map`] in
//! [`Mode::Train`] on layers that are not frozen is an error.
//!
//! ConvNeXt and EfficientNet, of which candle-transformers gives the mean of the map only, are networks of this crate's own, with
//! torchvision's names, and can be trained.

mod detached_builder;
mod models;
mod position_embeddings;
mod table;

use crate::architecture::NetworkConfig;
use crate::blocks::feature_map::Map;
use crate::blocks::head::Head;
use crate::encoder::{Encoder, LayerInfo, no_head, position};
use candle_core::{Result, Tensor};
use candlewick_parameters::{Mode, VarBuilder};
use detached_builder::Given;
use models::Wanted;
pub(crate) use table::rows;

/// Which of candle-transformers' models it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Dosovitskiy et al. 2021, "An image is worth 16×16 words", with Hugging Face's names.
    Vit,
    /// Oquab et al. 2023, "DINOv2: learning robust visual features without supervision", with its authors' names. Its position
    /// embeddings are for 518×518 pixels, its patches have 14×14, its hidden layers 4C.
    Dinov2,
    /// Darcet et al. 2024, "Vision transformers need registers": DINOv2 with four tokens more, with its authors' names.
    Dinov2Registers,
    /// Radford et al. 2021, "Learning transferable visual models from natural language supervision", with Hugging
    /// Face's names.
    Clip,
    /// Zhai et al. 2023, "Sigmoid loss for language image pre-training", with Hugging Face's names.
    Siglip,
    /// Bao et al. 2022, "BEiT: BERT pre-training of image transformers", with timm's names. It takes 384×384 pixels, its patches have
    /// 16×16, its hidden layers 4C.
    Beit,
    /// Fang et al. 2023, "EVA-02: a visual representation for neon genesis", with timm's names. It takes 448×448 pixels, its patches have
    /// 14×14, its heads 64 channels, its hidden layers 8C/3.
    Eva02,
}

impl Family {
    /// The side of pictures, the side of patches and the size of the hidden layers for C channels, where candle-transformers fixes them.
    fn fixed(self, c: usize) -> Option<(usize, usize, usize)> {
        match self {
            Self::Dinov2 | Self::Dinov2Registers => Some((518, 14, 4 * c)),
            Self::Beit => Some((384, 16, 4 * c)),
            Self::Eva02 => Some((448, 14, 8 * c / 3)),
            Self::Vit | Self::Clip | Self::Siglip => None,
        }
    }
}

/// The sizes of a vision transformer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VisionConfig {
    /// The model.
    pub family: Family,
    /// The channels C of a token.
    pub hidden_size: usize,
    /// The layers.
    pub num_hidden_layers: usize,
    /// The heads of attention in each layer.
    pub num_attention_heads: usize,
    /// The size of the hidden layer after attention.
    pub intermediate_size: usize,
    /// The side of the pictures that the position embeddings are for, in pixels.
    pub image_size: usize,
    /// The side of a patch, in pixels.
    pub patch_size: usize,
}

impl VisionConfig {
    /// The positions along a side of the picture that the position embeddings are for.
    fn native(&self) -> usize {
        self.image_size / self.patch_size
    }

    /// Whether no other pictures than those of `image_size` can be seen.
    fn is_of_one_size(&self) -> bool {
        matches!(self.family, Family::Beit | Family::Eva02)
    }

    /// One line about what makes no sense.
    fn check(&self, name: &str) -> Result<()> {
        let Self { family, hidden_size, num_attention_heads: heads, .. } = *self;
        let counts = [hidden_size, self.num_hidden_layers, heads, self.intermediate_size, self.patch_size];
        if counts.contains(&0) || self.native() == 0 {
            candle_core::bail!("{name}: a size is 0 in {self:?}")
        }
        if hidden_size % heads != 0 {
            candle_core::bail!("{name}: hidden_size {hidden_size} is no multiple of num_attention_heads {heads}")
        }
        let found = (self.image_size, self.patch_size, self.intermediate_size);
        if let Some(wanted) = family.fixed(hidden_size)
            && wanted != found
        {
            candle_core::bail!(
                "{name}: {family:?} has image_size, patch_size and intermediate_size {wanted:?}, not {found:?}"
            )
        }
        if family == Family::Eva02 && hidden_size != 64 * heads {
            candle_core::bail!("{name}: EVA-02 has 64 channels a head, not {}", hidden_size / heads)
        }
        Ok(())
    }
}

/// A vision transformer as an [`Encoder`]; the module's page says what its maps and vectors are.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use candlewick_encoders::transformers::{Family, VisionConfig, VisionTransformer};
/// use candlewick_encoders::{Encoder, NetworkConfig};
/// use candlewick_parameters::{Mode, Parameters};
///
/// # fn main() -> candle_core::Result<()> {
/// let sizes = VisionConfig {
///     family: Family::Vit,
///     hidden_size: 8,
///     num_hidden_layers: 2,
///     num_attention_heads: 2,
///     intermediate_size: 16,
///     image_size: 32,
///     patch_size: 8,
/// };
/// let parameters = Parameters::new(7);
/// let vit = VisionTransformer::new("vit_small", &sizes, &NetworkConfig::default(), parameters.builder(&Device::Cpu))?;
/// let images = Tensor::zeros((1, 3, 48, 48), DType::F32, &Device::Cpu)?;
/// assert_eq!(vit.map(&images, &mut Mode::Eval)?.dims(), [1, 8, 6, 6]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct VisionTransformer {
    name: String,
    config: VisionConfig,
    infos: Vec<LayerInfo>,
    given: Given,
    head: Option<Head>,
}

impl VisionTransformer {
    /// A transformer of these sizes, with a head where `config.classes` wants one or the file holds one.
    ///
    /// `name` is what messages call it.
    ///
    /// # Errors
    /// When the sizes do not fit each other, or the builder has no such parameters.
    pub fn new(name: &str, sizes: &VisionConfig, config: &NetworkConfig, vb: VarBuilder) -> Result<Self> {
        sizes.check(name)?;
        let own = |name: &str, shape| models::own_parameters(sizes, name, shape);
        let given = Given::new(&vb, |vb| models::every_parameter(sizes, vb), own)?;
        let head = models::head(sizes, config, vb)?;
        Ok(Self { name: name.to_owned(), config: *sizes, infos: models::layers(sizes), given, head })
    }

    /// What is wanted of these pictures, whose shape was looked at.
    fn run(&self, wanted: Wanted, images: &Tensor, mode: &Mode) -> Result<Tensor> {
        if mode.is_training() && self.given.trained {
            let head = models::head_parts(self.config.family).join(" and ");
            candle_core::bail!(
                "{}: its layers cannot be trained, candle-transformers hands no gradients back; freeze them: train \
                 {head} alone with fine_tune, or use it as a frozen encoder",
                self.name
            )
        }
        let (_, _, height, width) = images.dims4()?;
        let (patch, native) = (self.config.patch_size, self.config.image_size);
        if self.config.is_of_one_size() && (height, width) != (native, native) {
            candle_core::bail!("{}: wants pictures of {native}×{native} pixels, got {height}×{width}", self.name)
        }
        if height != width || height % patch != 0 || height == 0 {
            candle_core::bail!("{}: wants squares of a multiple of {patch} pixels, got {height}×{width}", self.name)
        }
        models::run(&self.config, &self.given, wanted, images)
    }

    fn head(&self) -> Result<&Head> {
        self.head.as_ref().ok_or_else(|| no_head(&self.name))
    }

    /// Whether the head reads the class token.
    fn reads_class(&self) -> bool {
        matches!(self.config.family, Family::Vit | Family::Dinov2 | Family::Dinov2Registers)
    }

    /// The name of the layer that the map is of.
    fn last(&self) -> &str {
        self.infos.last().map_or("", |info| &info.name)
    }

    /// The place of the layer whose map is wanted.
    fn wanted(&self, name: &str, images: &Tensor) -> Result<Wanted> {
        let number = position(&self.name, &self.infos, name, images)?;
        Ok(if number + 1 == self.infos.len() { Wanted::Map } else { Wanted::Layer(number) })
    }
}

impl Encoder for VisionTransformer {
    fn name(&self) -> &str {
        &self.name
    }

    fn layers(&self) -> &[LayerInfo] {
        &self.infos
    }

    fn layer(&self, name: &str, images: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        let tokens = self.run(self.wanted(name, images)?, images, mode)?;
        let (n, _, channels) = tokens.dims3()?;
        let side = images.dim(2)? / self.config.patch_size;
        tokens.reshape((n, side, side, channels))?.permute((0, 3, 1, 2))
    }

    fn classes(&self) -> Option<usize> {
        self.head.as_ref().and_then(Head::classes)
    }

    /// As the trait says; ViT and the DINOv2s read the class token, which is not in the map, and have [`Encoder::logits`] only.
    fn classify(&self, map: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        let head = self.head()?;
        if self.reads_class() {
            candle_core::bail!("{}: its head reads the class token, which is in no map; ask for logits", self.name)
        }
        head.forward(&Map::new(map)?, mode)
    }

    fn for_inference(&self) -> Result<Box<dyn Encoder + Send + Sync>> {
        let head = self.head.as_ref().map(Head::for_inference).transpose()?;
        let given = self.given.for_inference();
        Ok(Box::new(Self { name: self.name.clone(), infos: self.infos.clone(), given, head, ..*self }))
    }

    fn pooled(&self, images: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        position(&self.name, &self.infos, self.last(), images)?;
        let pooled = self.run(Wanted::Pooled, images, mode)?;
        pooled.narrow(1, 0, self.config.hidden_size)
    }

    fn logits(&self, images: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        let head = self.head()?;
        if !self.reads_class() {
            return self.classify(&self.map(images, mode)?, mode);
        }
        position(&self.name, &self.infos, self.last(), images)?;
        let vector = self.run(Wanted::Pooled, images, mode)?;
        let (n, size) = vector.dims2()?;
        head.forward(&Map::new(&vector.reshape((n, size, 1, 1))?)?, mode)
    }
}
