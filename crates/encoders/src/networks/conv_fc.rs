//! Networks of convolutions and pools in a row, then three fully connected layers: what AlexNet and VGG have in common.
//!
//! Names are torchvision's, where batch norm and activations count as members of `features`, and activations and dropout as
//! members of `classifier`.

use crate::architecture::Architecture;
use crate::blocks::head::Head;
use crate::blocks::layers::{BatchNorm2d, BatchNormConfig, Conv2d, Conv2dConfig, ConvInitial, ConvNorm};
use crate::blocks::mlp_head::{Hidden, LinearInit, MlpConfig};
use crate::blocks::network::{NamedLayers, Network};
use crate::config::NetworkConfig;
use candle_core::Result;
use candlewick_kernels::pool::Pool2d;
use candlewick_parameters::VarBuilder;

/// A layer of the convolutional part.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Layer {
    /// A convolution to so many channels, with ReLU.
    Conv { channels: usize, kernel_size: usize, stride: usize, padding: usize },
    /// The largest value of windows of this side, every second position.
    Pool(usize),
}

/// The plan of a network.
#[derive(Clone, Debug)]
pub(crate) struct ConvFc {
    pub name: &'static str,
    pub layers: Vec<Layer>,
    /// Whether batch norm follows each convolution.
    pub batch_norm: bool,
    pub initial: ConvInitial,
    /// The side of the grid that the fully connected layers read.
    pub grid: usize,
    /// The names of the two hidden layers' vectors after ReLU.
    pub vectors: [&'static str; 2],
    /// Which of the three fully connected layers read through dropout.
    pub dropped: [bool; 3],
    pub linear_initial: LinearInit,
    /// The names of the three fully connected layers.
    pub head: &'static [&'static str; 3],
}

/// The size of both hidden layers.
const HIDDEN_SIZE: usize = 4096;

/// The probability of dropout in both papers.
const DROPOUT: f64 = 0.5;

impl ConvFc {
    /// How many members of `features` a layer is.
    fn members(&self, layer: Layer) -> usize {
        match layer {
            Layer::Conv { .. } => 2 + usize::from(self.batch_norm),
            Layer::Pool(_) => 1,
        }
    }

    pub(crate) fn row(self) -> Architecture {
        let (mut stages, mut index) = (Vec::new(), 0);
        for &layer in &self.layers {
            // The last member, an activation or a pool, has no parameters.
            let with_parameters = index..index + self.members(layer) - 1;
            stages.extend(with_parameters.map(|index| format!("features.{index}")));
            index += self.members(layer);
        }
        Architecture::new(self.name, stages, self.head, move |config, vb| self.build(config, vb))
    }

    fn build(&self, config: &NetworkConfig, vb: VarBuilder) -> Result<Network> {
        let mut layers = NamedLayers::default();
        let (mut index, mut channels, mut total) = (0, 3, 1);
        for &layer in &self.layers {
            let vb = vb.pp("features");
            let name = format!("features.{}", index + self.members(layer) - 1);
            match layer {
                Layer::Conv { channels: outputs, kernel_size, stride, padding } => {
                    let initial = self.initial;
                    let config =
                        Conv2dConfig { stride, padding, bias: true, initial, ..Conv2dConfig::new(kernel_size) };
                    let conv = Conv2d::new(channels, outputs, &config, vb.pp(index))?;
                    let norm = || BatchNorm2d::new(outputs, &BatchNormConfig::default(), vb.pp(index + 1));
                    let norm = self.batch_norm.then(norm).transpose()?;
                    (channels, total) = (outputs, total * stride);
                    layers.push(name, channels, total, ConvNorm::new(conv, norm, true));
                }
                Layer::Pool(side) => {
                    total *= 2;
                    layers.push(name, channels, total, Pool2d::new((side, side), (2, 2)));
                }
            }
            index += self.members(layer);
        }
        Ok(Network::new(self.name, layers, self.head(channels, config, vb)?))
    }

    fn head(&self, channels: usize, config: &NetworkConfig, vb: VarBuilder) -> Result<Option<Head>> {
        let dropout = |dropped| if dropped { config.dropout.unwrap_or(DROPOUT) } else { 0.0 };
        let [first, second, last] = self.dropped.map(dropout);
        let ([fc6, fc7, fc8], size) = (*self.head, HIDDEN_SIZE);
        let hidden = [
            Hidden { name: fc6, vector: self.vectors[0], size, dropout: first },
            Hidden { name: fc7, vector: self.vectors[1], size, dropout: second },
        ];
        let plan = MlpConfig { grid: self.grid, hidden: &hidden, last: (fc8, last), initial: self.linear_initial };
        Head::fully_connected(channels, &plan, config, vb)
    }
}
