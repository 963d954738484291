//! The options of a network, as recipes and config.json have them.

use candle_core::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The options of all networks; each reads those that it has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkConfig {
    /// The number of classes of the head; `None` builds no head, except the one that a loaded file holds.
    pub classes: Option<usize>,
    /// Whether the hidden fully connected layers (AlexNet, VGG) are built without a head too; those that a loaded file
    /// holds always are.
    pub fully_connected: bool,
    /// Whether the auxiliary heads are built with the head (GoogLeNet).
    pub auxiliary: bool,
    /// Whether the network takes images normalised as for ImageNet and brings them to the range from −1 to 1 that torchvision's
    /// weights want (GoogLeNet): only for images that are not in it already, as [`crate::Architecture::preprocessing`] makes them.
    pub transform_input: bool,
    /// Whether the last batch norm of each residual block begins at 0 (ResNets; Goyal et al. 2017).
    pub zero_init_residual: bool,
    /// The probability of dropout: before the head (SqueezeNet, GoogLeNet, EfficientNet), around the hidden layers (AlexNet, VGG), after
    /// each dense layer (DenseNet), in the last block (FractalNet, growing from 0 in the first). `None` is the network's
    /// own: 0.2 for GoogLeNet, 0.2 to 0.5 for EfficientNet, 0 for DenseNet, 0.4 for FractalNet, 0.5 for the others.
    pub dropout: Option<f64>,
    /// The probability in training that an image skips the last block, growing from 0 in the first (ConvNeXt, EfficientNet).
    /// `None` is the network's own: 0.1 to 0.5 for ConvNeXt, 0.2 for EfficientNet.
    pub stochastic_depth: Option<f64>,
    /// The probability of dropout in the auxiliary heads (GoogLeNet).
    pub auxiliary_dropout: f64,
    /// Drop-path of a FractalNet.
    pub fractal: FractalConfig,
    /// The blocks of a `convnet`.
    pub blocks: Vec<ConvBlock>,
}

impl Default for NetworkConfig {
    fn default() -> Self {
        Self {
            classes: None,
            fully_connected: false,
            auxiliary: true,
            transform_input: false,
            zero_init_residual: false,
            dropout: None,
            stochastic_depth: None,
            auxiliary_dropout: 0.7,
            fractal: FractalConfig::default(),
            blocks: ConvBlock::for_small_pictures(),
        }
    }
}

impl NetworkConfig {
    /// Refuses what the types allow and no network can have.
    pub(crate) fn check(&self, network: &str) -> Result<()> {
        let probabilities = [
            ("dropout", self.dropout),
            ("stochastic_depth", self.stochastic_depth),
            ("auxiliary_dropout", Some(self.auxiliary_dropout)),
        ];
        for (name, probability) in probabilities {
            if let Some(probability) = probability
                && !(0.0..=1.0).contains(&probability)
            {
                candle_core::bail!("network {network}: {name} is {probability}, wants a probability from 0 to 1")
            }
        }
        Ok(())
    }
}

/// One block: a convolution padded by ⌈(kernel − stride) / 2⌉, batch norm and ReLU.
///
/// With kernel and stride both even or both odd, the receptive field of a position is centred on its part of the image: then attention
/// points where it should.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConvBlock {
    /// The channels of its output.
    pub channels: usize,
    /// The side of its kernel.
    pub kernel_size: usize,
    /// The step of its kernel.
    pub stride: usize,
}

impl ConvBlock {
    /// The default for 64×64 images: four 3×3 blocks down to an 8×8 map of 128 channels.
    pub fn for_small_pictures() -> Vec<Self> {
        [(32, 2), (64, 2), (96, 2), (128, 1)]
            .map(|(channels, stride)| Self { channels, kernel_size: 3, stride })
            .to_vec()
    }
}

/// Which paths of a FractalNet a pass takes: f₁(z) = conv(z), f_{C+1}(z) = (f_C ∘ f_C)(z) ⊕ conv(z), ⊕ the mean of what is not dropped.
///
/// Larsson et al. 2017, "FractalNet: ultra-deep neural networks without residuals".
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FractalConfig {
    /// The probability in training that a join leaves out an input (local drop-path).
    pub drop_path: f64,
    /// The share of training batches that take one column alone (global drop-path).
    pub global_drop_path: f64,
    /// The column that is taken alone in every pass, counted from 1, the shallowest; `None` takes all.
    pub column: Option<usize>,
}

impl Default for FractalConfig {
    /// The paper's: 0.15, one half, all columns.
    fn default() -> Self {
        Self { drop_path: 0.15, global_drop_path: 0.5, column: None }
    }
}
