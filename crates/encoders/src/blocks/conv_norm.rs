//! A convolution with batch norm and activation, and its fused form for inference.

use super::conv::Conv2d;
use super::feature_map::FeatureMap;
use super::norm::BatchNorm2d;
use candle_core::Result;
use candlewick_kernels::activation::Activation;
use candlewick_kernels::channels_last::PackedConv2d;
use candlewick_parameters::Mode;

/// A convolution, batch norm or none, and an activation or none.
#[derive(Clone, Debug)]
pub struct ConvNorm {
    form: Form,
    activation: Option<Activation>,
}

/// What comes before the activation.
#[derive(Clone, Debug)]
enum Form {
    Layers {
        conv: Conv2d,
        norm: Option<BatchNorm2d>,
        /// The probability of dropout between the convolution and what follows.
        dropout: f64,
    },
    /// Both as one convolution with its weights packed, for inference on the CPU.
    Packed(PackedConv2d),
}

impl ConvNorm {
    /// The convolution and then batch norm, without activation.
    pub fn new(conv: Conv2d, norm: Option<BatchNorm2d>) -> Self {
        Self { form: Form::Layers { conv, norm, dropout: 0.0 }, activation: None }
    }

    /// The same with ReLU.
    pub fn with_relu(self) -> Self {
        self.with_activation(Activation::Relu)
    }

    /// The same with this activation.
    pub fn with_activation(self, activation: Activation) -> Self {
        Self { activation: Some(activation), ..self }
    }

    /// The same with dropout of what the convolution gives.
    pub(crate) fn with_dropout(mut self, probability: f64) -> Self {
        if let Form::Layers { dropout, .. } = &mut self.form {
            *dropout = probability;
        }
        self
    }

    /// (N, C, h, w) → (N, O, h', w').
    pub fn forward(&self, xs: &FeatureMap, mode: &mut Mode) -> Result<FeatureMap> {
        self.forward_add(xs, None, mode)
    }

    /// The same with `add` added before the activation, as a residual block ends.
    ///
    /// # Errors
    /// As the layers say, and when `add` has another shape than the result.
    pub fn forward_add(&self, xs: &FeatureMap, add: Option<&FeatureMap>, mode: &mut Mode) -> Result<FeatureMap> {
        let (conv, norm, dropout) = match &self.form {
            Form::Layers { conv, norm, dropout } => (conv, norm.as_ref(), *dropout),
            Form::Packed(packed) => return xs.conv2d_packed(packed, add, self.activation),
        };
        let relu = self.activation == Some(Activation::Relu);
        if norm.is_none() && add.is_none() && relu && dropout == 0.0 {
            return conv.forward_relu(xs);
        }
        let ys = conv.forward(xs)?.dropout(dropout, mode)?;
        let ys = match (norm, add) {
            (Some(norm), add) => norm.forward(&ys, add, relu, mode)?,
            (None, Some(add)) => ys.add(add)?,
            (None, None) => ys,
        };
        match self.activation {
            Some(_) if relu && norm.is_some() => Ok(ys),
            Some(activation) => ys.activate(activation),
            None => Ok(ys),
        }
    }

    /// The channels O of the output.
    pub fn out_channels(&self) -> usize {
        match &self.form {
            Form::Layers { conv, .. } => conv.out_channels(),
            Form::Packed(packed) => packed.out_channels(),
        }
    }

    /// The same function in evaluation as one convolution without a graph, its weights packed where that helps.
    ///
    /// weight' = weight · scale and bias' = bias · scale + shift, with scale = γ / √(σ² + eps) and shift = β − μ · scale.
    pub fn folded(&self) -> Result<Self> {
        let Form::Layers { conv, norm, .. } = &self.form else { return Ok(self.clone()) };
        let mut conv = conv.detached();
        if let Some(norm) = norm {
            let (scale, shift) = norm.affine()?;
            conv = conv.scaled(&scale)?.shifted(shift)?;
        }
        let form = match conv.packed()? {
            Some(packed) => Form::Packed(packed),
            None => Form::Layers { conv, norm: None, dropout: 0.0 },
        };
        Ok(Self { form, ..*self })
    }
}
