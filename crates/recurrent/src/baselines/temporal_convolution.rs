//! A convolutional network over a sequence.
//!
//! y_t = relu(Σ_j W_j x_{t+j−left} + b), plus x_t where it is of the same size; zeros stand outside the sequence. Layers see k steps
//! each: all behind them, or as many ahead where the network is bidirectional.
//!
//! Waibel et al. 1989, "Phoneme recognition using time-delay neural networks"; with residual paths Bai et al. 2018, "An empirical evaluation
//! of generic convolutional and recurrent networks for sequence modeling".

use super::steps::{check_stateless, mask_of, masked};
use crate::gradient_flow::GradientFlow;
use crate::layer::{LayerState, SequenceLayer, check};
use crate::linear::project;
use crate::regularisation::variational::dropout;
use candle_core::{Result, Tensor};
use candlewick_parameters::{Initial, Mode, ParameterBuilder, VarBuilder};
use serde::{Deserialize, Serialize};

/// How a [`TemporalConvolution`] is built.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TemporalConvolutionConfig {
    /// L, at least 1.
    pub num_layers: usize,
    /// How many steps each convolution sees, at least 1.
    pub kernel_size: usize,
    /// Whether it sees as many steps ahead as behind.
    pub bidirectional: bool,
    /// The probability of dropout between the layers.
    pub dropout: f64,
    /// The probability of dropout on the inputs of the first layer.
    pub input_dropout: f64,
    /// Whether dropout takes the same units at all steps.
    pub variational: bool,
}

impl Default for TemporalConvolutionConfig {
    fn default() -> Self {
        Self {
            num_layers: 1,
            kernel_size: 3,
            bidirectional: false,
            dropout: 0.0,
            input_dropout: 0.0,
            variational: false,
        }
    }
}

/// Layers of convolutions with `layers.{k}.weight` (H, D, kernel size) and `layers.{k}.bias` (H), as torch.nn.Conv1d has them.
#[derive(Clone, Debug)]
pub struct TemporalConvolution {
    /// W (H, D, k) and b (H).
    layers: Vec<(Tensor, Tensor)>,
    config: TemporalConvolutionConfig,
}

impl TemporalConvolution {
    /// Convolutions from inputs of size D to H.
    ///
    /// # Errors
    /// When there is no layer, the kernel has no step, a probability lies outside [0, 1], or the builder lacks a parameter or has one
    /// of another shape.
    pub fn new(
        input_size: usize,
        hidden_size: usize,
        config: &TemporalConvolutionConfig,
        vb: VarBuilder,
    ) -> Result<Self> {
        check(config.num_layers, &[("dropout", config.dropout), ("input_dropout", config.input_dropout)])?;
        let size = config.kernel_size;
        if size == 0 {
            candle_core::bail!("convolution: kernel_size is 0, wants at least 1")
        }
        let layer = |k: usize| {
            let (vb, width) = (vb.pp(format!("layers.{k}")), if k == 0 { input_size } else { hidden_size });
            let initial = Initial::fan_in(width * size);
            let weight = vb.parameter((hidden_size, width, size), "weight", initial.clone())?;
            Ok((weight, vb.parameter(hidden_size, "bias", initial)?))
        };
        Ok(Self { layers: (0..config.num_layers).map(layer).collect::<Result<_>>()?, config: config.clone() })
    }

    /// One convolution over xs (N, T, D).
    fn convolve(&self, xs: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
        let ((n, t, d), (h, _, k)) = (xs.dims3()?, weight.dims3()?);
        let left = if self.config.bidirectional { (k - 1) / 2 } else { k - 1 };
        let zeros = |steps: usize| Tensor::zeros((n, steps, d), xs.dtype(), xs.device());
        let padded = Tensor::cat(&[&zeros(left)?, xs, &zeros(k - 1 - left)?], 1)?;
        // The k steps that an output reads lie side by side, so one product of matrices does it all.
        let windows = (0..k).map(|j| padded.narrow(1, j, t)).collect::<Result<Vec<_>>>()?;
        let weight = weight.permute((0, 2, 1))?.reshape((h, k * d))?;
        project(&Tensor::cat(&windows, 2)?, &weight, Some(bias))
    }
}

impl SequenceLayer for TemporalConvolution {
    fn output_size(&self) -> usize {
        self.layers.last().and_then(|(_, bias)| bias.dims().first().copied()).unwrap_or(0)
    }

    fn state_sizes(&self) -> Vec<Vec<usize>> {
        vec![]
    }

    fn forward(
        &self,
        xs: &Tensor,
        state: Option<&[Vec<Tensor>]>,
        lengths: Option<&[usize]>,
        mode: &mut Mode,
    ) -> Result<(Tensor, LayerState)> {
        check_stateless("convolution", xs, state, lengths)?;
        let mask = mask_of(xs, lengths)?;
        let mut ys = masked(xs, mask.as_ref())?;
        for (k, (weight, bias)) in self.layers.iter().enumerate() {
            let p = if k == 0 { self.config.input_dropout } else { self.config.dropout };
            ys = dropout(&ys, p, self.config.variational, mode)?;
            let new = self.convolve(&ys, weight, bias)?.relu()?;
            let new = if new.dims() == ys.dims() { (new + &ys)? } else { new };
            ys = masked(&new, mask.as_ref())?;
        }
        Ok((ys, vec![]))
    }

    fn gradient_flow(&self, _: &Tensor, _: Option<f64>) -> Result<Vec<GradientFlow>> {
        Ok(vec![])
    }
}
