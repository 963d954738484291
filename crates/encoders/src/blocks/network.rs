//! What every network is put together from: parts in a row, named layers, and a head.

use crate::blocks::feature_map::FeatureMap;
use crate::blocks::head::Head;
use crate::blocks::layers::ConvNorm;
use crate::blocks::mlp_head::MlpHead;
use crate::counter::pass;
use crate::encoder::{
    ClassifierOutput, Encoder, LayerInfo, PreLogitsInfo, layer_index, missing_head, unknown_pre_logits,
};
use candle_core::{Result, Tensor};
use candlewick_kernels::pool::Pool2d;
use candlewick_parameters::Mode;
use rayon::prelude::*;
use std::fmt::Debug;

/// A piece of a network: a map in, a map out.
pub(crate) trait Block: Debug + Send + Sync {
    /// (N, C, h, w) → (N, O, h', w').
    fn forward(&self, xs: &FeatureMap, mode: &mut Mode) -> Result<FeatureMap>;

    /// The same function in evaluation, batch norm folded where it can be, without gradients.
    fn folded(&self) -> Result<Box<dyn Block>>;
}

impl Block for ConvNorm {
    fn forward(&self, xs: &FeatureMap, mode: &mut Mode) -> Result<FeatureMap> {
        ConvNorm::forward(self, xs, mode)
    }

    fn folded(&self) -> Result<Box<dyn Block>> {
        Ok(Box::new(ConvNorm::folded(self)?))
    }
}

/// The largest value of each window.
impl Block for Pool2d {
    fn forward(&self, xs: &FeatureMap, _: &mut Mode) -> Result<FeatureMap> {
        xs.max_pool(self)
    }

    fn folded(&self) -> Result<Box<dyn Block>> {
        Ok(Box::new(*self))
    }
}

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

    /// The same function in evaluation, batch norm folded where it can be, without gradients.
    fn folded(&self) -> Result<Box<dyn Body>>;
}

/// Parts one after the other.
#[derive(Debug, Default)]
pub(crate) struct Sequential(Vec<Box<dyn Block>>);

impl Sequential {
    pub(crate) fn push(&mut self, part: impl Block + 'static) {
        self.0.push(Box::new(part));
    }

    fn all_folded(&self) -> Result<Self> {
        Ok(Self(self.0.par_iter().map(|part| part.folded()).collect::<Result<_>>()?))
    }
}

impl Block for Sequential {
    fn forward(&self, xs: &FeatureMap, mode: &mut Mode) -> Result<FeatureMap> {
        self.0.iter().try_fold(xs.clone(), |xs, part| part.forward(&xs, mode))
    }

    fn folded(&self) -> Result<Box<dyn Block>> {
        Ok(Box::new(self.all_folded()?))
    }
}

impl Body for Sequential {
    fn forward(
        &self,
        mut xs: FeatureMap,
        last: usize,
        visit: &mut dyn FnMut(usize, &FeatureMap),
        mode: &mut Mode,
    ) -> Result<FeatureMap> {
        for (number, part) in self.0.iter().enumerate().take(last + 1) {
            xs = part.forward(&xs, mode)?;
            visit(number, &xs);
        }
        Ok(xs)
    }

    fn folded(&self) -> Result<Box<dyn Body>> {
        Ok(Box::new(self.all_folded()?))
    }
}

/// The layers of a network while it is built: each part with its name, and what its map is like.
#[derive(Debug, Default)]
pub(crate) struct NamedLayers {
    infos: Vec<LayerInfo>,
    parts: Sequential,
}

impl NamedLayers {
    /// The next part, whose map has so many channels, and positions that stand for `stride` pixels.
    pub(crate) fn push(&mut self, name: impl Into<String>, channels: usize, stride: usize, part: impl Block + 'static) {
        self.infos.push(LayerInfo::new(name, channels, stride));
        self.parts.push(part);
    }

    /// The number of the layer of this name, if there is one.
    pub(crate) fn number(&self, name: &str) -> Option<usize> {
        self.infos.iter().position(|info| info.name == name)
    }
}

/// A body with its named layers, and a head or none: what all networks are.
#[derive(Debug)]
pub(crate) struct Network {
    name: &'static str,
    infos: Vec<LayerInfo>,
    body: Box<dyn Body>,
    head: Option<Head>,
    /// Heads that training adds, each on the map of a layer, in the order of the layers.
    auxiliary: Vec<(usize, MlpHead)>,
}

impl Network {
    pub(crate) fn new(name: &'static str, layers: NamedLayers, head: Option<Head>) -> Self {
        Self::with_body(name, layers.infos, Box::new(layers.parts), head)
    }

    pub(crate) fn with_body(
        name: &'static str,
        infos: Vec<LayerInfo>,
        body: Box<dyn Body>,
        head: Option<Head>,
    ) -> Self {
        Self { name, infos, body, head, auxiliary: Vec::new() }
    }

    pub(crate) fn with_auxiliary(self, auxiliary: Vec<(usize, MlpHead)>) -> Self {
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
        let (head, map) = (self.built_head()?, self.infos.last().map_or("", |info| &info.name));
        let last = layer_index(self.name, &self.infos, map, images)?;
        pass(images.device(), || {
            let mut seen = Vec::new();
            let mut visit = |number: usize, map: &FeatureMap| {
                if self.auxiliary.iter().any(|(layer, _)| *layer == number) {
                    seen.push(map.clone());
                }
            };
            let map = self.body.forward(FeatureMap::new(images)?, last, &mut visit, mode)?;
            let logits = head.forward(&map, mode)?;
            let heads = self.auxiliary.iter().zip(&seen);
            let auxiliary = heads.map(|((_, head), map)| head.logits(map, mode)).collect::<Result<_>>()?;
            Ok(ClassifierOutput { logits, auxiliary })
        })
    }

    fn for_inference(&self) -> Result<Box<dyn Encoder>> {
        let head = self.head.as_ref().map(Head::for_inference).transpose()?;
        Ok(Box::new(Self::with_body(self.name, self.infos.clone(), self.body.folded()?, head)))
    }
}
