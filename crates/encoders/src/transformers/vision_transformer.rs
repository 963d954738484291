//! A vision transformer of candle-transformers as an [`Encoder`].

use super::config::{Family, VisionConfig};
use super::detached_builder::DetachedParameters;
use super::models::{self, Output};
use crate::blocks::{FeatureMap, Head};
use crate::config::NetworkConfig;
use crate::encoder::{Encoder, LayerInfo, check_images, layer_index, missing_head};
use candle_core::{Result, Tensor};
use candlewick_parameters::{Mode, VarBuilder};

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
    parameters: DetachedParameters,
    head: Option<Head>,
}

impl VisionTransformer {
    /// A transformer of these sizes, with a head where `config.classes` wants one or the file holds one.
    ///
    /// `name` is what messages call it.
    ///
    /// # Errors
    /// When the sizes do not fit each other.
    pub fn new(name: &str, sizes: &VisionConfig, config: &NetworkConfig, vb: VarBuilder) -> Result<Self> {
        sizes.check(name)?;
        let own = |name: &str, shape| models::own_parameters(sizes, name, shape);
        let parameters = DetachedParameters::new(&vb, |vb| models::every_parameter(sizes, vb), own)?;
        let head = models::head(sizes, config, vb)?;
        Ok(Self { name: name.to_owned(), config: *sizes, infos: models::layers(sizes), parameters, head })
    }

    /// The output for images of a checked shape.
    fn run(&self, output: Output, images: &Tensor, mode: &Mode) -> Result<Tensor> {
        if mode.is_training() && self.parameters.trained {
            let head = models::head_parts(self.config.family).join(" and ");
            candle_core::bail!(
                "{}: its layers cannot be trained, candle-transformers hands no gradients back; freeze them: train \
                 {head} alone with fine_tune, or use it as a frozen encoder",
                self.name
            )
        }
        check_images(&self.name, images)?;
        let (_, _, height, width) = images.dims4()?;
        let (patch, native) = (self.config.patch_size, self.config.image_size);
        if self.config.is_of_one_size() && (height, width) != (native, native) {
            candle_core::bail!("{}: wants pictures of {native}×{native} pixels, got {height}×{width}", self.name)
        }
        if height != width || height % patch != 0 || height == 0 {
            candle_core::bail!("{}: wants squares of a multiple of {patch} pixels, got {height}×{width}", self.name)
        }
        models::run(&self.config, &self.parameters, output, images)
    }

    fn built_head(&self) -> Result<&Head> {
        self.head.as_ref().ok_or_else(|| missing_head(&self.name))
    }

    /// Whether the head reads the class token.
    fn reads_class(&self) -> bool {
        matches!(self.config.family, Family::Vit | Family::Dinov2 | Family::Dinov2Registers)
    }

    /// The output that is the map of this layer.
    fn output(&self, name: &str, images: &Tensor) -> Result<Output> {
        let number = layer_index(&self.name, &self.infos, name, images)?;
        Ok(if number + 1 == self.infos.len() { Output::Map } else { Output::Layer(number) })
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
        let tokens = self.run(self.output(name, images)?, images, mode)?;
        let (n, _, channels) = tokens.dims3()?;
        let side = images.dim(2)? / self.config.patch_size;
        tokens.reshape((n, side, side, channels))?.permute((0, 3, 1, 2))
    }

    fn classes(&self) -> Option<usize> {
        self.head.as_ref().and_then(Head::classes)
    }

    /// As the trait says; ViT and the DINOv2s read the class token, which is not in the map, and have [`Encoder::logits`] only.
    fn head(&self, map: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        let head = self.built_head()?;
        if self.reads_class() {
            candle_core::bail!("{}: its head reads the class token, which is in no map; ask for logits", self.name)
        }
        head.forward(&FeatureMap::new(map)?, mode)
    }

    fn for_inference(&self) -> Result<Box<dyn Encoder>> {
        let head = self.head.as_ref().map(Head::for_inference).transpose()?;
        let parameters = self.parameters.for_inference();
        Ok(Box::new(Self { name: self.name.clone(), infos: self.infos.clone(), parameters, head, ..*self }))
    }

    fn pooled(&self, images: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        let pooled = self.run(Output::Pooled, images, mode)?;
        pooled.narrow(1, 0, self.config.hidden_size)
    }

    fn logits(&self, images: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        let head = self.built_head()?;
        if !self.reads_class() {
            return self.head(&self.map(images, mode)?, mode);
        }
        let vector = self.run(Output::Pooled, images, mode)?;
        let (n, size) = vector.dims2()?;
        head.forward(&FeatureMap::new(&vector.reshape((n, size, 1, 1))?)?, mode)
    }
}
