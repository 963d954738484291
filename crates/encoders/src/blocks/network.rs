//! The network around its blocks: a body with named layers, a head or none, auxiliary heads.

use super::block::{Block, Sequential};
use super::feature_map::FeatureMap;
use super::head::Head;
use super::mlp_head::MlpHead;
use crate::counter::pass;
use crate::encoder::{
    ClassifierOutput, Encoder, LayerInfo, PreLogitsInfo, check_images, layer_index, missing_head, unknown_pre_logits,
};
use candle_core::{Result, Tensor};
use candlewick_parameters::Mode;
use std::fmt::Debug;

/// All of a network up to its map: as many steps as the network has layers, each giving the map of one.
pub(crate) trait Body: Debug + Send + Sync {
    /// The map of layer `last`; `visit` sees the map of every layer on the way, with its number.
    fn forward(
        &self,
        xs: FeatureMap,
        last: usize,
        visit: &mut dyn FnMut(usize, &FeatureMap),
        mode: &mut Mode,
    ) -> Result<FeatureMap>;

    /// The same function in evaluation, without gradients and with batch norm folded where it can be.
    fn folded(&self) -> Result<Box<dyn Body>>;
}

impl Body for Sequential {
    fn forward(
        &self,
        mut xs: FeatureMap,
        last: usize,
        visit: &mut dyn FnMut(usize, &FeatureMap),
        mode: &mut Mode,
    ) -> Result<FeatureMap> {
        for (number, block) in self.iter().enumerate().take(last + 1) {
            xs = block.forward(&xs, mode)?;
            visit(number, &xs);
        }
        Ok(xs)
    }

    fn folded(&self) -> Result<Box<dyn Body>> {
        Ok(Box::new(self.all_folded()?))
    }
}

/// The layers of a network while it is built: blocks with their names and what their maps are like.
#[derive(Debug, Default)]
pub(crate) struct NamedLayers {
    infos: Vec<LayerInfo>,
    blocks: Sequential,
}

impl NamedLayers {
    /// Adds a layer, with the channels of its map and the image's pixels to a position, across and down.
    pub(crate) fn push(
        &mut self,
        name: impl Into<String>,
        channels: usize,
        stride: usize,
        block: impl Block + 'static,
    ) {
        self.infos.push(LayerInfo::new(name, channels, stride));
        self.blocks.push(block);
    }

    /// The number of the layer of this name, if there is one.
    pub(crate) fn number(&self, name: &str) -> Option<usize> {
        self.infos.iter().position(|info| info.name == name)
    }
}

/// A head on the map of a layer on the way, for training alone.
#[derive(Debug)]
pub(crate) struct AuxiliaryHead {
    /// The number of the layer.
    pub layer: usize,
    pub head: MlpHead,
}

/// A body with its named layers, and a head or none: what all networks of this crate are.
#[derive(Debug)]
pub(crate) struct Network {
    name: &'static str,
    infos: Vec<LayerInfo>,
    body: Box<dyn Body>,
    head: Option<Head>,
    /// In the order of the layers.
    auxiliary: Vec<AuxiliaryHead>,
}

impl Network {
    pub(crate) fn new(name: &'static str, layers: NamedLayers, head: Option<Head>) -> Self {
        Self::with_body(name, layers.infos, Box::new(layers.blocks), head)
    }

    pub(crate) fn with_body(
        name: &'static str,
        infos: Vec<LayerInfo>,
        body: Box<dyn Body>,
        head: Option<Head>,
    ) -> Self {
        Self { name, infos, body, head, auxiliary: Vec::new() }
    }

    pub(crate) fn with_auxiliary(self, auxiliary: Vec<AuxiliaryHead>) -> Self {
        Self { auxiliary, ..self }
    }

    fn built_head(&self) -> Result<&Head> {
        self.head.as_ref().filter(|head| head.classes().is_some()).ok_or_else(|| missing_head(self.name))
    }
}

impl Encoder for Network {
    fn name(&self) -> &str {
        self.name
    }

    fn layers(&self) -> &[LayerInfo] {
        &self.infos
    }

    fn layer(&self, name: &str, images: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        let last = layer_index(self.name, &self.infos, name, images)?;
        pass(images.device(), || self.body.forward(FeatureMap::new(images)?, last, &mut |_, _| (), mode)?.to_nchw())
    }

    fn pre_logits_layers(&self) -> &[PreLogitsInfo] {
        self.head.as_ref().map_or(&[], Head::pre_logits_layers)
    }

    fn pre_logits(&self, name: &str, images: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        let number = self.pre_logits_layers().iter().position(|info| info.name == name);
        match (&self.head, number) {
            (Some(Head::Mlp(head)), Some(number)) => {
                head.pre_logits(&FeatureMap::new(&self.map(images, mode)?)?, number, mode)
            }
            _ => Err(unknown_pre_logits(self.name, self.pre_logits_layers(), name)),
        }
    }

    fn classes(&self) -> Option<usize> {
        self.head.as_ref().and_then(Head::classes)
    }

    fn head(&self, map: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        pass(map.device(), || self.built_head()?.forward(&FeatureMap::new(map)?, mode))
    }

    fn logits_with_auxiliary(&self, images: &Tensor, mode: &mut Mode) -> Result<ClassifierOutput> {
        if self.auxiliary.is_empty() || !mode.is_training() {
            return Ok(ClassifierOutput { logits: self.logits(images, mode)?, auxiliary: Vec::new() });
        }
        let head = self.built_head()?;
        check_images(self.name, images)?;
        pass(images.device(), || {
            let mut maps = Vec::new();
            let mut visit = |number: usize, map: &FeatureMap| {
                if self.auxiliary.iter().any(|auxiliary| auxiliary.layer == number) {
                    maps.push(map.clone());
                }
            };
            let last = self.infos.len().saturating_sub(1);
            let map = self.body.forward(FeatureMap::new(images)?, last, &mut visit, mode)?;
            let logits = head.forward(&map, mode)?;
            let heads = self.auxiliary.iter().zip(&maps);
            let auxiliary = heads.map(|(auxiliary, map)| auxiliary.head.logits(map, mode)).collect::<Result<_>>()?;
            Ok(ClassifierOutput { logits, auxiliary })
        })
    }

    fn for_inference(&self) -> Result<Box<dyn Encoder>> {
        let head = self.head.as_ref().map(Head::for_inference).transpose()?;
        Ok(Box::new(Self::with_body(self.name, self.infos.clone(), self.body.folded()?, head)))
    }
}
