//! A block of a network: a feature map in, a feature map out.

use super::conv_norm::ConvNorm;
use super::feature_map::FeatureMap;
use super::norm::LayerNorm;
use candle_core::Result;
use candlewick_kernels::pool::Pool2d;
use candlewick_parameters::Mode;
use rayon::prelude::*;
use std::fmt::Debug;

/// From a feature map to a feature map.
pub(crate) trait Block: Debug + Send + Sync {
    /// (N, C, h, w) → (N, O, h', w').
    fn forward(&self, xs: &FeatureMap, mode: &mut Mode) -> Result<FeatureMap>;

    /// The same function in evaluation, without gradients and with batch norm folded where it can be.
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

impl Block for LayerNorm {
    fn forward(&self, xs: &FeatureMap, _: &mut Mode) -> Result<FeatureMap> {
        LayerNorm::forward(self, xs)
    }

    fn folded(&self) -> Result<Box<dyn Block>> {
        Ok(Box::new(self.detached()))
    }
}

/// Max-pooling.
impl Block for Pool2d {
    fn forward(&self, xs: &FeatureMap, _: &mut Mode) -> Result<FeatureMap> {
        xs.max_pool(self)
    }

    fn folded(&self) -> Result<Box<dyn Block>> {
        Ok(Box::new(*self))
    }
}

/// Blocks one after the other.
#[derive(Debug, Default)]
pub(crate) struct Sequential(Vec<Box<dyn Block>>);

impl Sequential {
    pub(crate) fn push(&mut self, block: impl Block + 'static) {
        self.0.push(Box::new(block));
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &dyn Block> {
        self.0.iter().map(Box::as_ref)
    }

    pub(super) fn all_folded(&self) -> Result<Self> {
        Ok(Self(self.0.par_iter().map(|block| block.folded()).collect::<Result<_>>()?))
    }
}

impl Block for Sequential {
    fn forward(&self, xs: &FeatureMap, mode: &mut Mode) -> Result<FeatureMap> {
        self.iter().try_fold(xs.clone(), |xs, block| block.forward(&xs, mode))
    }

    fn folded(&self) -> Result<Box<dyn Block>> {
        Ok(Box::new(self.all_folded()?))
    }
}
