//! SqueezeNet 1.1: Iandola et al. 2016, "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters".
//!
//! A fire module squeezes the channels with a 1×1 convolution and expands them again with a 1×1 and a 3×3 beside each
//! other. Names are torchvision's, where activations count as members of `features`.

use crate::encoder::{Encoder, LayerInfo, no_head, position};
use crate::head::Head;
use crate::layers::{Conv2d, Conv2dConfig, ConvInitial, ConvNorm};
use crate::map::Map;
use crate::network::NetworkConfig;
use candle_core::{Result, Tensor};
use candlewick_kernels::pool::Pool2d;
use candlewick_parameters::{Mode, VarBuilder};

/// A row of the network's table.
#[derive(Clone, Copy, Debug)]
enum Row {
    /// A 3×3 convolution of stride 2 with ReLU, which counts as a member of its own.
    Conv(usize),
    /// A 3×3 max-pool of stride 2 whose last window may reach over the edge.
    Pool,
    /// Channels after the squeeze, and of either half of the expansion.
    Fire(usize, usize),
}

const TABLE: [Row; 12] = [
    Row::Conv(64),
    Row::Pool,
    Row::Fire(16, 64),
    Row::Fire(16, 64),
    Row::Pool,
    Row::Fire(32, 128),
    Row::Fire(32, 128),
    Row::Pool,
    Row::Fire(48, 192),
    Row::Fire(48, 192),
    Row::Fire(64, 256),
    Row::Fire(64, 256),
];

const NAME: &str = "squeezenet1_1";

/// The parts of SqueezeNet 1.1 in order, which fine-tuning can begin at.
pub(crate) const STAGES: &[&str] = &[
    "features.0",
    "features.3",
    "features.4",
    "features.6",
    "features.7",
    "features.9",
    "features.10",
    "features.11",
    "features.12",
    "classifier.1",
];

/// SqueezeNet 1.1 with the layers `features.1` to `features.12` and the head `classifier.1`.
#[derive(Clone, Debug)]
pub struct SqueezeNet {
    parts: Vec<Part>,
    layers: Vec<LayerInfo>,
    head: Option<Head>,
}

#[derive(Clone, Debug)]
enum Part {
    Conv(ConvNorm),
    Pool(Pool2d),
    /// Squeeze, and the expansions 1×1 and 3×3.
    Fire(Box<[ConvNorm; 3]>),
}

impl SqueezeNet {
    /// SqueezeNet 1.1; the dropout before the head is the configuration's.
    ///
    /// # Errors
    /// When the builder has no such parameters.
    pub fn new(config: &NetworkConfig, vb: VarBuilder) -> Result<Self> {
        let (mut parts, mut layers) = (Vec::new(), Vec::new());
        let (mut index, mut channels, mut stride) = (0, 3, 1);
        for row in TABLE {
            let vb = vb.pp("features").pp(index);
            let part = match row {
                Row::Conv(outputs) => {
                    let conv = conv_relu(channels, outputs, 3, 2, 0, vb)?;
                    (index, channels, stride) = (index + 1, outputs, 2 * stride);
                    Part::Conv(conv)
                }
                Row::Pool => {
                    stride *= 2;
                    Part::Pool(Pool2d { ceil_mode: true, ..Pool2d::new((3, 3), (2, 2)) })
                }
                Row::Fire(squeezed, half) => {
                    let squeeze = conv_relu(channels, squeezed, 1, 1, 0, vb.pp("squeeze"))?;
                    let expand1x1 = conv_relu(squeezed, half, 1, 1, 0, vb.pp("expand1x1"))?;
                    let expand3x3 = conv_relu(squeezed, half, 3, 1, 1, vb.pp("expand3x3"))?;
                    channels = 2 * half;
                    Part::Fire(Box::new([squeeze, expand1x1, expand3x3]))
                }
            };
            parts.push(part);
            layers.push(LayerInfo::new(format!("features.{index}"), channels, stride));
            index += 1;
        }
        let head = Head::conv(channels, config, vb.pp("classifier").pp(1))?;
        Ok(Self { parts, layers, head })
    }
}

impl Encoder for SqueezeNet {
    fn name(&self) -> &str {
        NAME
    }

    fn layers(&self) -> &[LayerInfo] {
        &self.layers
    }

    fn layer(&self, name: &str, images: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        let last = position(NAME, &self.layers, name, images)?;
        let mut xs = Map::new(images)?;
        for part in self.parts.iter().take(last + 1) {
            xs = part.forward(&xs, mode)?;
        }
        xs.apart()
    }

    fn classes(&self) -> Option<usize> {
        self.head.as_ref().map(Head::classes)
    }

    fn classify(&self, map: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        self.head.as_ref().ok_or_else(|| no_head(NAME))?.forward(map, mode)
    }

    fn for_inference(&self) -> Result<Box<dyn Encoder + Send + Sync>> {
        Ok(Box::new(Self {
            parts: self.parts.iter().map(Part::folded).collect::<Result<_>>()?,
            layers: self.layers.clone(),
            head: self.head.as_ref().map(Head::for_inference).transpose()?,
        }))
    }
}

impl Part {
    fn forward(&self, xs: &Map, mode: &mut Mode) -> Result<Map> {
        match self {
            Part::Conv(conv) => conv.forward(xs, mode),
            Part::Pool(pool) => xs.max_pool(pool),
            Part::Fire(fire) => {
                let [squeeze, expand1x1, expand3x3] = fire.as_ref();
                let xs = squeeze.forward(xs, mode)?;
                expand1x1.forward(&xs, mode)?.beside(&expand3x3.forward(&xs, mode)?)
            }
        }
    }

    fn folded(&self) -> Result<Self> {
        Ok(match self {
            Part::Conv(conv) => Part::Conv(conv.folded()?),
            Part::Pool(pool) => Part::Pool(*pool),
            Part::Fire(fire) => {
                let [squeeze, expand1x1, expand3x3] = fire.as_ref();
                Part::Fire(Box::new([squeeze.folded()?, expand1x1.folded()?, expand3x3.folded()?]))
            }
        })
    }
}

fn conv_relu(
    inputs: usize,
    outputs: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
    vb: VarBuilder,
) -> Result<ConvNorm> {
    let initial = ConvInitial::KaimingUniform;
    let layer = Conv2dConfig { stride, padding, bias: true, initial, ..Conv2dConfig::new(kernel) };
    Ok(ConvNorm::new(Conv2d::new(inputs, outputs, &layer, vb)?, None, true))
}
