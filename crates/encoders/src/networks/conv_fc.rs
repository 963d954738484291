//! Convolutions and max-pools in a row, then three fully connected layers: what AlexNet and VGG have in common.
//!
//! Names are torchvision's, where batch norm and activations count as members of `features`, and activations and dropout as
//! members of `classifier`.

use crate::architecture::Architecture;
use crate::blocks::{
    BatchNorm2d, BatchNormConfig, Conv2d, Conv2dConfig, ConvInitial, ConvNorm, Head, HiddenLayer, LinearInit,
    MlpConfig, NamedLayers, Network,
};
use crate::config::NetworkConfig;
use candle_core::Result;
use candlewick_kernels::pool::Pool2d;
use candlewick_parameters::VarBuilder;

/// A layer of the convolutional part.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Layer {
    /// A convolution to so many channels, with ReLU.
    Conv { channels: usize, kernel_size: usize, stride: usize, padding: usize },
    /// A max-pool of this side and stride 2.
    Pool(usize),
}

/// The three fully connected layers fc6, fc7 and fc8.
#[derive(Clone, Debug)]
pub(crate) struct FullyConnected {
    pub names: &'static [&'static str; 3],
    /// The names of fc6's and fc7's output after ReLU.
    pub outputs: [&'static str; 2],
    /// Which of them have dropout before them.
    pub dropout: [bool; 3],
    pub initial: LinearInit,
}

/// A network of this kind.
#[derive(Clone, Debug)]
pub(crate) struct ConvFc {
    pub name: &'static str,
    pub layers: Vec<Layer>,
    /// Whether batch norm follows each convolution.
    pub batch_norm: bool,
    pub conv_initial: ConvInitial,
    /// The side of the grid of means that the fully connected layers read.
    pub grid: usize,
    pub fully_connected: FullyConnected,
}

/// The size of fc6 and fc7.
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

    pub(crate) fn architecture(self) -> Architecture {
        let (mut stages, mut index) = (Vec::new(), 0);
        for &layer in &self.layers {
            // The last member, an activation or a pool, has no parameters.
            let with_parameters = index..index + self.members(layer) - 1;
            stages.extend(with_parameters.map(|index| format!("features.{index}")));
            index += self.members(layer);
        }
        let head = self.fully_connected.names;
        Architecture::new(self.name, stages, head, move |config, vb| self.build(config, vb))
    }

    fn build(&self, config: &NetworkConfig, vb: VarBuilder) -> Result<Network> {
        let (mut layers, features) = (NamedLayers::default(), vb.pp("features"));
        let (mut index, mut channels, mut total) = (0, 3, 1);
        for &layer in &self.layers {
            let name = format!("features.{}", index + self.members(layer) - 1);
            match layer {
                Layer::Conv { channels: outputs, kernel_size, stride, padding } => {
                    let conv = Conv2dConfig::same(channels, outputs, kernel_size).with_stride(stride);
                    let conv = conv.with_padding(padding).with_bias().with_initial(self.conv_initial);
                    let conv = Conv2d::new(&conv, features.pp(index))?;
                    let norm = || BatchNorm2d::new(outputs, &BatchNormConfig::default(), features.pp(index + 1));
                    let norm = self.batch_norm.then(norm).transpose()?;
                    (channels, total) = (outputs, total * stride);
                    layers.push(name, channels, total, ConvNorm::new(conv, norm).with_relu());
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
        let FullyConnected { names: [fc6, fc7, fc8], outputs, dropout, initial } = self.fully_connected;
        let probability = |dropped| if dropped { config.dropout.unwrap_or(DROPOUT) } else { 0.0 };
        let [before_fc6, before_fc7, before_fc8] = dropout.map(probability);
        let hidden = [
            HiddenLayer { name: fc6, output: outputs[0], size: HIDDEN_SIZE, dropout: before_fc6 },
            HiddenLayer { name: fc7, output: outputs[1], size: HIDDEN_SIZE, dropout: before_fc7 },
        ];
        let mlp = MlpConfig { grid: self.grid, norm: None, hidden: &hidden, name: fc8, dropout: before_fc8, initial };
        Head::mlp(channels, &mlp, config, vb)
    }
}
