//! What a DRAW network is made of: a recipe's `[model]` and the model folder's `config.json`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a pixel is, and how probable the canvas makes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Likelihood {
    /// Black or white, p = σ(c).
    #[default]
    Binary,
    /// One of 256 greys, by a logistic distribution around σ(c) whose width is learned (Salimans et al. 2017).
    Grey,
    /// The same for red, green and blue.
    Colour,
}

impl Likelihood {
    /// C, how many channels the canvas has.
    pub fn channels(self) -> usize {
        match self {
            Self::Binary | Self::Grey => 1,
            Self::Colour => 3,
        }
    }
}

/// The network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DrawNetworkConfig {
    /// T, how many steps a drawing has.
    pub steps: usize,
    /// H, the size of the hidden states of encoder and decoder.
    pub hidden_size: usize,
    /// The size of z.
    pub latent_size: usize,
    /// The cell of both, as [`candlewick_recurrent::sequence_layers`] lists them.
    pub cell: String,
    /// Whether a grid decides where is read and written; without, it is the whole picture at each step.
    pub attention: bool,
    /// K, the points of a side of the grid that reads.
    pub read: usize,
    /// K, the points of a side of the grid that writes.
    pub write: usize,
    /// What a pixel is.
    pub likelihood: Likelihood,
}

impl Default for DrawNetworkConfig {
    fn default() -> Self {
        Self {
            steps: 64,
            hidden_size: 256,
            latent_size: 100,
            cell: "lstm".into(),
            attention: true,
            read: 2,
            write: 5,
            likelihood: Likelihood::default(),
        }
    }
}

/// The content of a model's `config.json`; keys that it does not know are passed over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DrawConfig {
    /// Always `draw`, so that a folder of another model is told apart.
    pub model_type: String,
    /// The network.
    pub network: DrawNetworkConfig,
    /// Height and width of the pictures, in pixels.
    pub size: (u32, u32),
}

/// The name of this model in `config.json`.
pub(super) const MODEL_TYPE: &str = "draw";

impl DrawConfig {
    /// A network that draws pictures of this height and width.
    pub fn new(network: DrawNetworkConfig, size: (u32, u32)) -> Self {
        Self { model_type: MODEL_TYPE.into(), network, size }
    }
}
