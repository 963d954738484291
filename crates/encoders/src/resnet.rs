//! ResNet: He et al. 2015, "Deep residual learning for image recognition".
//!
//! A residual block computes y = relu(F(x) + s(x)): F is two 3×3 convolutions, or a bottleneck of 1×1, 3×3 and 1×1; s is
//! the identity, or a 1×1 convolution where the shape changes. As in torchvision the stride of a bottleneck is in its
//! 3×3 convolution ("v1.5").

use crate::encoder::{Encoder, LayerInfo, no_head, position};
use crate::head::Head;
use crate::layers::{BatchNorm2d, BatchNormConfig, Conv2d, Conv2dConfig, ConvInitial, ConvNorm};
use crate::map::Map;
use crate::network::NetworkConfig;
use candle_core::{Result, Tensor};
use candlewick_kernels::pool::Pool2d;
use candlewick_parameters::{Mode, VarBuilder};

/// The shape of a residual block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Block {
    /// Two 3×3 convolutions.
    Basic,
    /// 1×1, 3×3 and 1×1, the last four times as wide.
    Bottleneck,
}

impl Block {
    /// The channels of a block's output over those of its 3×3 convolution.
    fn expansion(self) -> usize {
        match self {
            Block::Basic => 1,
            Block::Bottleneck => 4,
        }
    }

    /// The convolutions of the branch: (kernel, stride, output channels).
    fn convolutions(self, width: usize, stride: usize) -> Vec<(usize, usize, usize)> {
        match self {
            Block::Basic => vec![(3, stride, width), (3, 1, width)],
            Block::Bottleneck => vec![(1, 1, width), (3, stride, width), (1, 1, width * self.expansion())],
        }
    }
}

/// Name, block and depth of each stage, as in the paper's table 1.
const TABLE: [(&str, Block, [usize; 4]); 5] = [
    ("resnet18", Block::Basic, [2, 2, 2, 2]),
    ("resnet34", Block::Basic, [3, 4, 6, 3]),
    ("resnet50", Block::Bottleneck, [3, 4, 6, 3]),
    ("resnet101", Block::Bottleneck, [3, 4, 23, 3]),
    ("resnet152", Block::Bottleneck, [3, 8, 36, 3]),
];

/// The parts of any ResNet in order, which fine-tuning can begin at.
pub(crate) const STAGES: &[&str] = &["conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "fc"];

/// A ResNet with the layers `layer1` to `layer4`, of strides 4, 8, 16 and 32, and the head `fc`.
#[derive(Clone, Debug)]
pub struct ResNet {
    name: &'static str,
    stem: ConvNorm,
    pool: Pool2d,
    stages: Vec<Vec<Residual>>,
    layers: Vec<LayerInfo>,
    head: Option<Head>,
}

impl ResNet {
    /// The ResNet of this name: `resnet18`, `resnet34`, `resnet50`, `resnet101` or `resnet152`.
    ///
    /// # Errors
    /// When the name is another, or the builder has no such parameters.
    pub fn new(name: &str, config: &NetworkConfig, vb: VarBuilder) -> Result<Self> {
        let Some(&(name, block, depths)) = TABLE.iter().find(|row| row.0 == name) else {
            candle_core::bail!("{name}: is no ResNet; there are {}", TABLE.map(|row| row.0).join(", "))
        };
        let stem = conv_norm((3, 64), (7, 2), 1.0, true, vb.pp("conv1"), vb.pp("bn1"))?;
        let pool = Pool2d { padding: (1, 1), ..Pool2d::new((3, 3), (2, 2)) };
        let (mut stages, mut layers, mut channels) = (Vec::new(), Vec::new(), 64);
        for (index, depth) in depths.into_iter().enumerate() {
            let stage = format!("layer{}", index + 1);
            let (width, stride) = (64 << index, if index == 0 { 1 } else { 2 });
            let mut blocks = Vec::with_capacity(depth);
            for number in 0..depth {
                let stride = if number == 0 { stride } else { 1 };
                let vb = vb.pp(&stage).pp(number);
                blocks.push(Residual::new(block, channels, width, stride, config.zero_init_residual, vb)?);
                channels = width * block.expansion();
            }
            layers.push(LayerInfo::new(stage, channels, 4 << index));
            stages.push(blocks);
        }
        let head = Head::linear(channels, config, vb.pp("fc"))?;
        Ok(Self { name, stem, pool, stages, layers, head })
    }
}

impl Encoder for ResNet {
    fn name(&self) -> &str {
        self.name
    }

    fn layers(&self) -> &[LayerInfo] {
        &self.layers
    }

    fn layer(&self, name: &str, images: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        let last = position(self.name, &self.layers, name, images)?;
        let mut xs = self.stem.forward(&Map::new(images)?, mode)?.max_pool(&self.pool)?;
        for block in self.stages.iter().take(last + 1).flatten() {
            xs = block.forward(&xs, mode)?;
        }
        xs.apart()
    }

    fn classes(&self) -> Option<usize> {
        self.head.as_ref().map(Head::classes)
    }

    fn classify(&self, map: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        self.head.as_ref().ok_or_else(|| no_head(self.name))?.forward(map, mode)
    }

    fn for_inference(&self) -> Result<Box<dyn Encoder + Send + Sync>> {
        let folded = |blocks: &Vec<Residual>| blocks.iter().map(Residual::folded).collect::<Result<Vec<_>>>();
        Ok(Box::new(Self {
            name: self.name,
            stem: self.stem.folded()?,
            pool: self.pool,
            stages: self.stages.iter().map(folded).collect::<Result<_>>()?,
            layers: self.layers.clone(),
            head: self.head.as_ref().map(Head::for_inference).transpose()?,
        }))
    }
}

/// One residual block.
#[derive(Clone, Debug)]
struct Residual {
    branch: Vec<ConvNorm>,
    downsample: Option<ConvNorm>,
}

impl Residual {
    fn new(
        block: Block,
        channels: usize,
        width: usize,
        stride: usize,
        zero_init: bool,
        vb: VarBuilder,
    ) -> Result<Self> {
        let plan = block.convolutions(width, stride);
        let (mut branch, mut inputs) = (Vec::with_capacity(plan.len()), channels);
        for (index, &(kernel, stride, outputs)) in plan.iter().enumerate() {
            let last = index + 1 == plan.len();
            let initial = if last && zero_init { 0.0 } else { 1.0 };
            let (conv, norm) = (vb.pp(format!("conv{}", index + 1)), vb.pp(format!("bn{}", index + 1)));
            branch.push(conv_norm((inputs, outputs), (kernel, stride), initial, true, conv, norm)?);
            inputs = outputs;
        }
        let downsample = if stride == 1 && channels == inputs {
            None
        } else {
            let vb = vb.pp("downsample");
            Some(conv_norm((channels, inputs), (1, stride), 1.0, false, vb.pp(0), vb.pp(1))?)
        };
        Ok(Self { branch, downsample })
    }

    fn forward(&self, xs: &Map, mode: &mut Mode) -> Result<Map> {
        let shortcut = match &self.downsample {
            Some(layer) => layer.forward(xs, mode)?,
            None => xs.clone(),
        };
        let mut ys = xs.clone();
        for (index, layer) in self.branch.iter().enumerate() {
            // The last one adds what the shortcut brings, before its ReLU.
            let add = (index + 1 == self.branch.len()).then_some(&shortcut);
            ys = layer.forward_onto(&ys, add, mode)?;
        }
        Ok(ys)
    }

    fn folded(&self) -> Result<Self> {
        let branch = self.branch.iter().map(ConvNorm::folded).collect::<Result<_>>()?;
        Ok(Self { branch, downsample: self.downsample.as_ref().map(ConvNorm::folded).transpose()? })
    }
}

/// A convolution (from, to) of (kernel, stride) without bias that keeps the size but for its stride, and its batch norm.
fn conv_norm(
    (inputs, outputs): (usize, usize),
    (kernel, stride): (usize, usize),
    initial_weight: f64,
    relu: bool,
    conv: VarBuilder,
    norm: VarBuilder,
) -> Result<ConvNorm> {
    let initial = ConvInitial::KaimingFanOut;
    let layer = Conv2dConfig { stride, padding: kernel / 2, initial, ..Conv2dConfig::new(kernel) };
    let conv = Conv2d::new(inputs, outputs, &layer, conv)?;
    let norm = BatchNorm2d::new(outputs, &BatchNormConfig { initial_weight, ..Default::default() }, norm)?;
    Ok(ConvNorm::new(conv, Some(norm), relu))
}
