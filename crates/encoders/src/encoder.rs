//! The one trait of all image networks.

use crate::blocks::FeatureMap;
use candle_core::{Result, Tensor};
use candlewick_parameters::Mode;
use serde::{Deserialize, Serialize};

/// An intermediate layer that a network offers by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerInfo {
    /// The name that [`Encoder::layer`] takes, as torchvision has it.
    pub name: String,
    /// The channels C of its map.
    pub channels: usize,
    /// How many pixels of the picture, across and down, one position of its map stands for.
    pub stride: usize,
}

impl LayerInfo {
    pub(crate) fn new(name: impl Into<String>, channels: usize, stride: usize) -> Self {
        Self { name: name.into(), channels, stride }
    }
}

/// A fully connected layer before the head that a network offers by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreLogitsInfo {
    /// The name that [`Encoder::pre_logits`] takes, torchvision's of the ReLU after the layer.
    pub name: String,
    /// The number of its values.
    pub size: usize,
}

/// What a classifier says of pictures.
#[derive(Clone, Debug)]
pub struct ClassifierOutput {
    /// The logits of the classes, (N, classes).
    pub logits: Tensor,
    /// In training, the logits (N, classes) of each auxiliary head in the order of the layers that they read; empty in
    /// evaluation and where a network has none. Szegedy et al. 2014 add 0.3 times the loss of each.
    pub auxiliary: Vec<Tensor>,
}

/// A network that looks at pictures.
///
/// Images are f32 (N, 3, height, width), already preprocessed. In training mode batch norm uses and records the
/// batch's statistics, except in layers whose parameters are frozen; pass [`Mode::Eval`] to fine-tune with the recorded
/// ones, gradients flow all the same.
pub trait Encoder: Send + Sync {
    /// The network's name, as [`crate::Architecture::find`] takes it.
    fn name(&self) -> &str;

    /// The intermediate layers in order from input to output; the last one is the map.
    fn layers(&self) -> &[LayerInfo];

    /// The map of an intermediate layer, (N, C, h, w) with its own C; later layers are not computed.
    ///
    /// # Errors
    /// When the network has no such layer, or the images have another shape.
    fn layer(&self, name: &str, images: &Tensor, mode: &mut Mode) -> Result<Tensor>;

    /// The fully connected layers before the head, in order from input to output; most networks have none.
    fn pre_logits_layers(&self) -> &[PreLogitsInfo] {
        &[]
    }

    /// The values of such a layer after ReLU, (N, size): the features that fc6 and fc7 of AlexNet and VGG give.
    ///
    /// # Errors
    /// When the network has no such layer, or the images have another shape.
    fn pre_logits(&self, name: &str, images: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        let _ = (images, mode);
        Err(unknown_pre_logits(self.name(), self.pre_logits_layers(), name))
    }

    /// How many classes the head tells apart; `None` without a head.
    fn classes(&self) -> Option<usize>;

    /// The logits (N, classes) from the map (N, C, h, w) of the last layer.
    ///
    /// # Errors
    /// When the network was built without a head, or its head reads more than the map.
    fn head(&self, map: &Tensor, mode: &mut Mode) -> Result<Tensor>;

    /// The same network for inference only: batch norm folded into the convolutions, no gradients.
    ///
    /// Its results equal those of the layers in [`Mode::Eval`] to 1e-4, in either mode.
    ///
    /// # Errors
    /// When the device has no memory for the folded weights.
    fn for_inference(&self) -> Result<Box<dyn Encoder>>;

    /// The feature map after the last convolutional layer, (N, C, h, w).
    ///
    /// # Errors
    /// When the images have another shape.
    fn map(&self, images: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        match self.layers().last() {
            Some(last) => self.layer(&last.name, images, mode),
            None => candle_core::bail!("{}: has no layers", self.name()),
        }
    }

    /// One vector for each picture, (N, C): the mean of the map over its positions, or what a vision transformer has for it.
    ///
    /// # Errors
    /// When the images have another shape.
    fn pooled(&self, images: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        FeatureMap::new(&self.map(images, mode)?)?.mean()
    }

    /// The logits of the classes, (N, classes).
    ///
    /// # Errors
    /// When the network was built without a head, or the images have another shape.
    fn logits(&self, images: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        if self.classes().is_none() {
            return Err(missing_head(self.name()));
        }
        self.head(&self.map(images, mode)?, mode)
    }

    /// The logits of the classes and, in training, of the auxiliary heads, all from one pass.
    ///
    /// # Errors
    /// As [`Encoder::logits`].
    fn logits_with_auxiliary(&self, images: &Tensor, mode: &mut Mode) -> Result<ClassifierOutput> {
        Ok(ClassifierOutput { logits: self.logits(images, mode)?, auxiliary: Vec::new() })
    }

    /// The channels C of the map.
    fn channels(&self) -> usize {
        self.layers().last().map_or(3, |last| last.channels)
    }

    /// How many pixels of the picture, across and down, one position of the map stands for.
    fn stride(&self) -> usize {
        self.layers().last().map_or(1, |last| last.stride)
    }
}

pub(crate) fn missing_head(network: &str) -> candle_core::Error {
    candle_core::Error::Msg(format!("{network}: was built without a classification head; set `classes`"))
}

pub(crate) fn unknown_pre_logits(network: &str, vectors: &[PreLogitsInfo], name: &str) -> candle_core::Error {
    let known: Vec<&str> = vectors.iter().map(|vector| vector.name.as_str()).collect();
    let known = if known.is_empty() {
        "none; they are built with `classes` or `fully_connected`".into()
    } else {
        known.join(", ")
    };
    candle_core::Error::Msg(format!("{network}: has no fully connected layer {name}; it has {known}"))
}

/// The position of a layer by its name, once the images have been looked at.
pub(crate) fn layer_index(network: &str, layers: &[LayerInfo], name: &str, images: &Tensor) -> Result<usize> {
    if images.rank() != 4 || images.dim(1)? != 3 {
        candle_core::bail!("{network}: wants images (N, 3, height, width), got {:?}", images.dims())
    }
    layers.iter().position(|layer| layer.name == name).ok_or_else(|| {
        let known: Vec<&str> = layers.iter().map(|layer| layer.name.as_str()).collect();
        candle_core::Error::Msg(format!("{network}: has no layer {name}; it has {}", known.join(", ")))
    })
}
