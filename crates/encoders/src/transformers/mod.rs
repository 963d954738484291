//! The vision transformers of candle-transformers as encoders: ViT, DINOv2, CLIP's image tower and SigLIP's.
//!
//! A picture is cut into patches; the tokens of the P = h·w patches (N, P, C), in rows from the top left, are the
//! annotations, and as (N, C, h, w) the map. The class token is in no map:
//!
//! | [`Family`] | the map | [`Encoder::pooled`] | the head, and what it reads |
//! |---|---|---|---|
//! | `Vit` | tokens after the last layer norm | class token after it | `classifier` on the class token |
//! | `Dinov2` | tokens after the last layer norm | class token after it | `head` on class token and mean of the map, (N, 2C) |
//! | `Clip` | tokens after the last layer | class token after the last layer norm | `classifier` on the mean of the map |
//! | `Siglip` | tokens after the last layer norm | attention's pooling | `classifier` on the mean of the map |
//!
//! Parameter names are those that candle-transformers reads: DINOv2's own, Hugging Face's for the others. Load a published file
//! through [`crate::own_weights`], which leaves out what is not of the network, such as CLIP's text tower;
//! [`crate::preprocessing`] says what the published weights want; a recipe whose encoder they are has to say the same.
//!
//! Pictures are squares whose side is a multiple of the patch's. Position embeddings are resized to them bicubically,
//! as PyTorch does it. Where candle-transformers differs from the original it stays so: DINOv2 has the tanh approximation of
//! GELU, and layer norms with ε = 10⁻⁵ in place of 10⁻⁶.
//!
//! **They cannot be trained:** candle's fused layer norm and softmax hand no gradients back, so that those of the layers would
//! be wrong. A head on frozen layers can: name the head in a recipe's `fine_tune`. [`Encoder::map`] in
//! [`Mode::Train`] on layers that are not frozen is an error.
//!
//! ConvNeXt and EfficientNet, of which candle-transformers gives the mean of the map only, are networks of this crate's own, with
//! torchvision's names, and can be trained.

mod handed;
mod models;
mod positions;
mod table;

use crate::encoder::{Encoder, LayerInfo, no_head, position};
use crate::fully_connected::as_pytorch;
use crate::head::Head;
use crate::map::Map;
use crate::network::NetworkConfig;
use candle_core::{Result, Tensor};
use candlewick_parameters::{Mode, VarBuilder};
use handed::Given;
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
    /// Radford et al. 2021, "Learning transferable visual models from natural language supervision", with Hugging
    /// Face's names.
    Clip,
    /// Zhai et al. 2023, "Sigmoid loss for language image pre-training", with Hugging Face's names.
    Siglip,
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
        let fixed = (self.image_size, self.patch_size, self.intermediate_size) == (518, 14, 4 * hidden_size);
        if family == Family::Dinov2 && !fixed {
            candle_core::bail!(
                "{name}: DINOv2 has image_size 518, patch_size 14 and intermediate_size 4·hidden_size, not {}, {} and {}",
                self.image_size,
                self.patch_size,
                self.intermediate_size
            )
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
        let given = Given::new(&vb, |vb| models::every_parameter(sizes, vb), models::is_of_head)?;
        let dropout = config.dropout.unwrap_or(0.0);
        let (part, inputs) = models::head(sizes);
        let head = Head::linear(inputs, (part, dropout), as_pytorch, config, vb)?;
        Ok(Self { name: name.to_owned(), config: *sizes, infos: models::layers(sizes), given, head })
    }

    /// What is wanted of these pictures, whose shape was looked at.
    fn run(&self, wanted: Wanted, images: &Tensor, mode: &Mode) -> Result<Tensor> {
        if mode.is_training() && self.given.trained {
            let head = models::head(&self.config).0;
            candle_core::bail!(
                "{}: its layers cannot be trained, candle-transformers hands no gradients back; freeze them: train \
                 {head} alone with fine_tune, or use it as a frozen encoder",
                self.name
            )
        }
        let (_, _, height, width) = images.dims4()?;
        let patch = self.config.patch_size;
        if height != width || height % patch != 0 || height == 0 {
            candle_core::bail!("{}: wants squares of a multiple of {patch} pixels, got {height}×{width}", self.name)
        }
        models::run(&self.config, &self.given, wanted, images)
    }

    fn head(&self) -> Result<&Head> {
        self.head.as_ref().ok_or_else(|| no_head(&self.name))
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

    /// As the trait says; ViT and DINOv2 read the class token, which is not in the map, and have [`Encoder::logits`] only.
    fn classify(&self, map: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        let head = self.head()?;
        match self.config.family {
            Family::Clip | Family::Siglip => head.forward(&Map::new(map)?, mode),
            Family::Vit | Family::Dinov2 => {
                candle_core::bail!("{}: its head reads the class token, which is in no map; ask for logits", self.name)
            }
        }
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
        if matches!(self.config.family, Family::Clip | Family::Siglip) {
            return self.classify(&self.map(images, mode)?, mode);
        }
        position(&self.name, &self.infos, self.last(), images)?;
        let vector = self.run(Wanted::Pooled, images, mode)?;
        let (n, size) = vector.dims2()?;
        head.forward(&Map::new(&vector.reshape((n, size, 1, 1))?)?, mode)
    }
}
