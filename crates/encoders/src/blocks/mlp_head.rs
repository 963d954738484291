//! A multilayer perceptron on a feature map: hidden layers (the pre-logits) and a last one that gives logits.

use super::conv_norm::ConvNorm;
use super::feature_map::FeatureMap;
use super::linear::{Linear, LinearInit, pytorch_linear_init};
use super::norm::LayerNorm;
use crate::config::NetworkConfig;
use crate::encoder::PreLogitsInfo;
use candle_core::{Result, Tensor};
use candlewick_kernels::activation::relu;
use candlewick_parameters::{Initial, Mode, ParameterBuilder, VarBuilder};

/// A hidden layer: dropout, linear layer, ReLU.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HiddenLayer {
    /// The name of its parameters.
    pub name: &'static str,
    /// The name of its output after ReLU, torchvision's of that module.
    pub output: &'static str,
    pub size: usize,
    pub dropout: f64,
}

/// The layers of an [`MlpHead`].
#[derive(Debug)]
pub(crate) struct MlpConfig<'a> {
    /// The side of the grid of means that the map becomes.
    pub grid: usize,
    /// The name of a layer norm of the mean (grid 1), with ε = 10⁻⁶.
    pub norm: Option<&'a str>,
    pub hidden: &'a [HiddenLayer],
    /// The name of the last layer.
    pub name: &'a str,
    /// The probability of dropout before the last layer.
    pub dropout: f64,
    pub initial: LinearInit,
}

impl<'a> MlpConfig<'a> {
    /// One linear layer of this name on the mean of the map, with PyTorch's initial values.
    pub(crate) fn linear(name: &'a str) -> Self {
        Self { grid: 1, norm: None, hidden: &[], name, dropout: 0.0, initial: pytorch_linear_init }
    }
}

/// Means over a grid, layer norm or a convolution or none, then y = relu(x Wᵀ + b) for each hidden layer and the same without
/// ReLU for the last, with dropout before each.
#[derive(Clone, Debug)]
pub(crate) struct MlpHead {
    grid: usize,
    conv: Option<Box<ConvNorm>>,
    norm: Option<LayerNorm>,
    hidden: Vec<Linear>,
    pre_logits: Vec<PreLogitsInfo>,
    last: Option<Linear>,
}

impl MlpHead {
    /// The layers on C channels; `None` where neither a head nor hidden layers are wanted or in the file.
    ///
    /// Layers that the file holds and nobody asked for become buffers.
    pub(crate) fn new(
        channels: usize,
        mlp: &MlpConfig,
        config: &NetworkConfig,
        vb: VarBuilder,
    ) -> Result<Option<Self>> {
        let last = vb.pp(mlp.name);
        let classes = classes_to_build(config, &last)?;
        let asked = config.classes.is_some() || config.fully_connected;
        let in_file = mlp.hidden.iter().all(|layer| vb.pp(layer.name).contains_tensor("weight"));
        if classes.is_none() && (mlp.hidden.is_empty() || !(asked || in_file)) {
            return Ok(None);
        }
        let mut inputs = channels * mlp.grid * mlp.grid;
        let (mut hidden, mut pre_logits) = (Vec::new(), Vec::new());
        for &HiddenLayer { name, output, size, dropout } in mlp.hidden {
            let vb = vb.pp(name);
            if !asked {
                keep_as_buffers(&vb, &["weight", "bias"])?;
            }
            hidden.push(Linear::new(inputs, size, mlp.initial, &vb)?.with_dropout(dropout));
            pre_logits.push(PreLogitsInfo { name: output.to_owned(), size });
            inputs = size;
        }
        let last = classes.map(|classes| Linear::new(inputs, classes, mlp.initial, &last)).transpose()?;
        let last = last.map(|last| last.with_dropout(mlp.dropout));
        let norm = mlp.norm.map(|name| layer_norm(channels, config, vb.pp(name))).transpose()?;
        Ok(Some(Self { grid: mlp.grid, conv: None, norm, hidden, pre_logits, last }))
    }

    /// The same with a convolution between the grid and the first layer.
    pub(crate) fn after_conv(self, conv: ConvNorm) -> Self {
        Self { conv: Some(Box::new(conv)), ..self }
    }

    pub(crate) fn classes(&self) -> Option<usize> {
        self.last.as_ref().map(Linear::outputs)
    }

    /// The hidden layers in order.
    pub(crate) fn pre_logits_layers(&self) -> &[PreLogitsInfo] {
        &self.pre_logits
    }

    /// The output of hidden layer `number`, (N, size).
    pub(crate) fn pre_logits(&self, map: &FeatureMap, number: usize, mode: &mut Mode) -> Result<Tensor> {
        let mut xs = match (self.grid, &self.conv) {
            (1, None) => map.mean()?,
            (grid, None) => map.adaptive_avg_pool(grid)?.to_nchw()?.flatten_from(1)?,
            (grid, Some(conv)) => conv.forward(&map.adaptive_avg_pool(grid)?, mode)?.to_nchw()?.flatten_from(1)?,
        };
        if let Some(norm) = &self.norm {
            xs = norm.of_rows(&xs)?;
        }
        for layer in self.hidden.iter().take(number.saturating_add(1)) {
            xs = relu(&layer.forward(&xs, mode)?)?;
        }
        Ok(xs)
    }

    /// The logits (N, classes).
    pub(crate) fn logits(&self, map: &FeatureMap, mode: &mut Mode) -> Result<Tensor> {
        let Some(last) = &self.last else { candle_core::bail!("fully connected layers: the last one is not there") };
        last.forward(&self.pre_logits(map, usize::MAX, mode)?, mode)
    }

    /// The same layers without gradients and dropout.
    pub(crate) fn for_inference(&self) -> Result<Self> {
        Ok(Self {
            grid: self.grid,
            conv: self.conv.as_ref().map(|conv| conv.folded()).transpose()?.map(Box::new),
            norm: self.norm.as_ref().map(LayerNorm::detached),
            hidden: self.hidden.iter().map(Linear::for_inference).collect(),
            pre_logits: self.pre_logits.clone(),
            last: self.last.as_ref().map(Linear::for_inference),
        })
    }
}

fn layer_norm(channels: usize, config: &NetworkConfig, vb: VarBuilder) -> Result<LayerNorm> {
    if config.classes.is_none() {
        keep_as_buffers(&vb, &["weight", "bias"])?;
    }
    LayerNorm::new(channels, 1e-6, vb)
}

/// The classes of the head to build: as many as asked for, or else as many as the loaded file's head has.
///
/// A head that the file holds and nobody asked for stays in the store as buffers: it is saved with the rest and serves
/// [`crate::Encoder::logits`], but no optimiser sees it.
pub(crate) fn classes_to_build(config: &NetworkConfig, vb: &VarBuilder) -> Result<Option<usize>> {
    if config.classes.is_some() || !vb.contains_tensor("weight") {
        return Ok(config.classes);
    }
    let classes = vb.get_unchecked("weight")?.dims().first().copied();
    keep_as_buffers(vb, &["weight", "bias"])?;
    Ok(classes)
}

/// Puts tensors that the file holds and nobody asked for into the store, as buffers of whatever shape they have.
pub(crate) fn keep_as_buffers(vb: &VarBuilder, names: &[&str]) -> Result<()> {
    for name in names {
        vb.buffer(vb.get_unchecked(name)?.shape(), name, Initial::Constant(0.0))?;
    }
    Ok(())
}
