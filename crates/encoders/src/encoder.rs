//! The trait of all image networks: feature maps, pooled vectors, pre-logits, logits.

use crate::blocks::FeatureMap;
use candle_core::{Error, Result, Tensor};
use candlewick_parameters::Mode;

/// An intermediate layer, as timm's `feature_info` describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerInfo {
    /// The name that [`Encoder::layer`] takes, torchvision's of the module.
    pub name: String,
    /// The channels C of its map.
    pub channels: usize,
    /// The image's pixels, across and down, to a position of its map.
    pub stride: usize,
}

impl LayerInfo {
    pub(crate) fn new(name: impl Into<String>, channels: usize, stride: usize) -> Self {
        Self { name: name.into(), channels, stride }
    }
}

/// A hidden fully connected layer between the map and the logits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreLogitsInfo {
    /// The name that [`Encoder::pre_logits`] takes, torchvision's of the ReLU after the layer.
    pub name: String,
    /// The number of its values.
    pub size: usize,
}

/// What a classifier gives for images.
#[derive(Clone, Debug)]
pub struct ClassifierOutput {
    /// The logits of the classes, (N, classes).
    pub logits: Tensor,
    /// In training, the logits (N, classes) of each auxiliary head in the order of the layers that they read; empty in
    /// evaluation and where a network has none. Szegedy et al. 2014 add 0.3 times the loss of each.
    pub auxiliary: Vec<Tensor>,
}

/// An image network as encoder and as classifier.
///
/// Images are f32 (N, 3, height, width), already preprocessed. In training mode batch norm uses and records the
/// batch's statistics, except in layers whose parameters are frozen; pass [`Mode::Eval`] to fine-tune with the recorded
/// ones, gradients flow all the same.
pub trait Encoder: Send + Sync {
    /// The network's name, as [`crate::Architecture::find`] takes it.
    fn name(&self) -> &str;

    /// The intermediate layers from input to output; the last one is the map.
    fn layers(&self) -> &[LayerInfo];

    /// The map of an intermediate layer, (N, C, h, w) with its own C; later layers are not computed.
    ///
    /// # Errors
    /// When the network has no such layer, or the images have another shape.
    fn layer(&self, name: &str, images: &Tensor, mode: &mut Mode) -> Result<Tensor>;

    /// The hidden fully connected layers from input to output: fc6 and fc7 of AlexNet and VGG; most networks have none.
    fn pre_logits_layers(&self) -> &[PreLogitsInfo] {
        &[]
    }

    /// The output of such a layer after ReLU, (N, size).
    ///
    /// # Errors
    /// When the network has no such layer.
    fn pre_logits(&self, name: &str, images: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        let _ = (images, mode);
        Err(unknown_pre_logits(self.name(), self.pre_logits_layers(), name))
    }

    /// The number of classes of the head; `None` without a head.
    fn classes(&self) -> Option<usize>;

    /// From the map (N, C, h, w) to the logits (N, classes): timm's `forward_head`.
    ///
    /// # Errors
    /// When the network was built without a head, or its head reads more than the map.
    fn head(&self, map: &Tensor, mode: &mut Mode) -> Result<Tensor>;

    /// The same network for inference only: batch norm folded into the convolutions, no gradients.
    ///
    /// Its results equal those of the layers in [`Mode::Eval`] to 1e-4, in either mode.
    fn for_inference(&self) -> Result<Box<dyn Encoder>>;

    /// The feature map after the last convolutional layer, (N, C, h, w): timm's `forward_features`.
    fn map(&self, images: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        match self.layers().last() {
            Some(last) => self.layer(&last.name, images, mode),
            None => candle_core::bail!("{}: has no layers", self.name()),
        }
    }

    /// One vector for each image, (N, C): the mean of the map over its positions, or what a vision transformer has for it.
    fn pooled(&self, images: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        FeatureMap::new(&self.map(images, mode)?)?.mean()
    }

    /// The logits of the classes, (N, classes).
    ///
    /// # Errors
    /// When the network was built without a head.
    fn logits(&self, images: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        if self.classes().is_none() {
            return Err(missing_head(self.name()));
        }
        self.head(&self.map(images, mode)?, mode)
    }

    /// The logits of the classes and, in training, of the auxiliary heads, all from one pass.
    ///
    /// # Errors
    /// When the network was built without a head.
    fn logits_with_auxiliary(&self, images: &Tensor, mode: &mut Mode) -> Result<ClassifierOutput> {
        Ok(ClassifierOutput { logits: self.logits(images, mode)?, auxiliary: Vec::new() })
    }

    /// The channels C of the map.
    fn channels(&self) -> usize {
        self.layers().last().map_or(3, |last| last.channels)
    }

    /// The image's pixels, across and down, to a position of the map.
    fn stride(&self) -> usize {
        self.layers().last().map_or(1, |last| last.stride)
    }
}

pub(crate) fn missing_head(network: &str) -> Error {
    Error::Msg(format!("{network}: was built without a classification head; set `classes`"))
}

pub(crate) fn unknown_pre_logits(network: &str, layers: &[PreLogitsInfo], name: &str) -> Error {
    let known: Vec<&str> = layers.iter().map(|layer| layer.name.as_str()).collect();
    let known = match known.is_empty() {
        true => "none; they are built with `classes` or `fully_connected`".to_owned(),
        false => known.join(", "),
    };
    Error::Msg(format!("{network}: has no fully connected layer {name}; it has {known}"))
}

pub(crate) fn check_images(network: &str, images: &Tensor) -> Result<()> {
    if images.rank() != 4 || images.dim(1)? != 3 {
        candle_core::bail!("{network}: wants images (N, 3, height, width), got {:?}", images.dims())
    }
    Ok(())
}

/// The position of a layer by its name, for images of a right shape.
pub(crate) fn layer_index(network: &str, layers: &[LayerInfo], name: &str, images: &Tensor) -> Result<usize> {
    check_images(network, images)?;
    layers.iter().position(|layer| layer.name == name).ok_or_else(|| {
        let known: Vec<&str> = layers.iter().map(|layer| layer.name.as_str()).collect();
        Error::Msg(format!("{network}: has no layer {name}; it has {}", known.join(", ")))
    })
}
