//! Fully connected layers on a map: hidden ones whose vectors can be read, and a last one that gives logits.

use crate::blocks::feature_map::FeatureMap;
use crate::blocks::layers::{ConvNorm, LayerNorm};
use crate::config::NetworkConfig;
use crate::counter;
use crate::encoder::PreLogitsInfo;
use candle_core::{Result, Tensor};
use candlewick_kernels::activation::relu;
use candlewick_kernels::linear::linear;
use candlewick_parameters::{Initial, Mode, ParameterBuilder, VarBuilder};

/// How fresh weights and biases are drawn, from the layer's numbers of inputs and of outputs.
pub(crate) type LinearInit = fn(usize, usize) -> (Initial, Initial);

/// PyTorch's own: both uniform in ±1/√inputs.
pub(crate) fn pytorch_linear_init(inputs: usize, _: usize) -> (Initial, Initial) {
    (Initial::fan_in(inputs), Initial::fan_in(inputs))
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

/// A hidden layer, followed by ReLU.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hidden {
    /// The name of its parameters.
    pub name: &'static str,
    /// The name of the vector after ReLU, torchvision's of that module.
    pub vector: &'static str,
    pub size: usize,
    /// The probability of dropout of what it reads.
    pub dropout: f64,
}

/// The plan of a [`MlpHead`].
#[derive(Debug)]
pub(crate) struct MlpConfig<'a> {
    /// The side of the grid of means that the map becomes.
    pub grid: usize,
    pub hidden: &'a [Hidden],
    /// The name of the last layer's parameters, and the dropout of what it reads.
    pub last: (&'static str, f64),
    pub initial: LinearInit,
}

/// Means over a grid, a convolution or none, then y = relu(x Wᵀ + b) for each hidden layer and the same without ReLU for
/// the last, with dropout before each.
#[derive(Clone, Debug)]
pub(crate) struct MlpHead {
    grid: usize,
    conv: Option<Box<ConvNorm>>,
    hidden: Vec<Linear>,
    vectors: Vec<PreLogitsInfo>,
    /// What normalises the mean of the map.
    norm: Option<LayerNorm>,
    last: Option<Linear>,
}

#[derive(Clone, Debug)]
struct Linear {
    weight: Tensor,
    bias: Tensor,
    dropout: f64,
}

impl Linear {
    fn new(inputs: usize, outputs: usize, initial: LinearInit, dropout: f64, vb: &VarBuilder) -> Result<Self> {
        let (weight, bias) = initial(inputs, outputs);
        let weight = vb.parameter((outputs, inputs), "weight", weight)?;
        Ok(Self { weight, bias: vb.parameter(outputs, "bias", bias)?, dropout })
    }

    /// (N, inputs) → (N, outputs).
    fn forward(&self, xs: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        let ys = linear(&mode.dropout(xs, self.dropout)?, &self.weight, Some(&self.bias))?;
        counter::count(ys.elem_count(), self.weight.dims()[1]);
        Ok(ys)
    }

    fn detached(&self) -> Self {
        Self { weight: self.weight.detach(), bias: self.bias.detach(), dropout: 0.0 }
    }
}

impl MlpHead {
    /// The layers of the plan on C channels; `None` where neither a head nor hidden layers are wanted or in the file.
    ///
    /// Hidden layers that the file holds and nobody asked for become buffers, as the head does.
    pub(crate) fn new(
        channels: usize,
        plan: &MlpConfig,
        config: &NetworkConfig,
        vb: VarBuilder,
    ) -> Result<Option<Self>> {
        let last = vb.pp(plan.last.0);
        let classes = classes_to_build(config, &last)?;
        let asked = config.classes.is_some() || config.fully_connected;
        let in_file = plan.hidden.iter().all(|layer| vb.pp(layer.name).contains_tensor("weight"));
        if classes.is_none() && (plan.hidden.is_empty() || !(asked || in_file)) {
            return Ok(None);
        }
        let mut inputs = channels * plan.grid * plan.grid;
        let (mut hidden, mut vectors) = (Vec::new(), Vec::new());
        for layer in plan.hidden {
            let vb = vb.pp(layer.name);
            if !asked {
                keep_as_buffers(&vb, &["weight", "bias"])?;
            }
            hidden.push(Linear::new(inputs, layer.size, plan.initial, layer.dropout, &vb)?);
            vectors.push(PreLogitsInfo { name: layer.vector.to_owned(), size: layer.size });
            inputs = layer.size;
        }
        let logits = |classes| Linear::new(inputs, classes, plan.initial, plan.last.1, &last);
        let last = classes.map(logits).transpose()?;
        Ok(Some(Self { grid: plan.grid, conv: None, hidden, vectors, norm: None, last }))
    }

    /// The same with a convolution between the grid and the first layer.
    pub(crate) fn after(self, conv: ConvNorm) -> Self {
        Self { conv: Some(Box::new(conv)), ..self }
    }

    /// The same with the mean of the map normalised.
    pub(crate) fn after_norm(self, norm: LayerNorm) -> Self {
        Self { norm: Some(norm), ..self }
    }

    pub(crate) fn classes(&self) -> Option<usize> {
        self.last.as_ref().map(|last| last.weight.dims()[0])
    }

    /// The hidden layers in order.
    pub(crate) fn pre_logits_layers(&self) -> &[PreLogitsInfo] {
        &self.vectors
    }

    /// The output of hidden layer `number`, (N, size).
    pub(crate) fn pre_logits(&self, map: &FeatureMap, number: usize, mode: &mut Mode) -> Result<Tensor> {
        let mut xs = match (self.grid, &self.conv) {
            (1, None) => self.norm.as_ref().map_or_else(|| map.mean(), |norm| norm.of_rows(&map.mean()?))?,
            (grid, None) => map.adaptive_avg_pool(grid)?.to_nchw()?.flatten_from(1)?,
            (grid, Some(conv)) => conv.forward(&map.adaptive_avg_pool(grid)?, mode)?.to_nchw()?.flatten_from(1)?,
        };
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
            conv: self.conv.as_ref().map(|conv| Ok::<_, candle_core::Error>(Box::new(conv.folded()?))).transpose()?,
            hidden: self.hidden.iter().map(Linear::detached).collect(),
            vectors: self.vectors.clone(),
            norm: self.norm.as_ref().map(LayerNorm::detached),
            last: self.last.as_ref().map(Linear::detached),
        })
    }
}
