//! The networks by name.

use crate::convnet::{self, ConvBlock, ConvNet};
use crate::encoder::Encoder;
use crate::resnet::{self, ResNet};
use crate::squeezenet::{self, SqueezeNet};
use candle_core::Result;
use candlewick_parameters::VarBuilder;
use serde::{Deserialize, Serialize};

/// What can be chosen about a network; a network reads what concerns it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkConfig {
    /// How many classes the head tells apart; `None` builds no head, except the one that a loaded file holds.
    pub classes: Option<usize>,
    /// Whether the last batch norm of each residual block begins at 0 (ResNets; Goyal et al. 2017).
    pub zero_init_residual: bool,
    /// The probability of dropout before the head (SqueezeNet).
    pub dropout: f64,
    /// The blocks of a `convnet`.
    pub blocks: Vec<ConvBlock>,
}

impl Default for NetworkConfig {
    fn default() -> Self {
        let blocks = ConvBlock::for_small_pictures();
        Self { classes: None, zero_init_residual: false, dropout: 0.5, blocks }
    }
}

/// The names that [`network`] takes, and the parts of each in order; the last part is the head.
const TABLE: [(&str, &[&str]); 7] = [
    ("resnet18", resnet::STAGES),
    ("resnet34", resnet::STAGES),
    ("resnet50", resnet::STAGES),
    ("resnet101", resnet::STAGES),
    ("resnet152", resnet::STAGES),
    ("squeezenet1_1", squeezenet::STAGES),
    ("convnet", convnet::STAGES),
];

/// The names that [`network`] takes.
pub fn networks() -> &'static [&'static str] {
    const NAMES: [&str; TABLE.len()] = {
        let mut names = [""; TABLE.len()];
        let mut index = 0;
        while index < names.len() {
            names[index] = TABLE[index].0;
            index += 1;
        }
        names
    };
    &NAMES
}

/// Builds the network of this name; a file's parameters are checked by `Parameters::verify` afterwards.
///
/// ```
/// # fn main() -> candle_core::Result<()> {
/// use candlewick_encoders::{Encoder, NetworkConfig, network};
/// let parameters = candlewick_parameters::Parameters::new(1);
/// let config = NetworkConfig { classes: Some(10), ..Default::default() };
/// let classifier = network("squeezenet1_1", &config, parameters.builder(&candle_core::Device::Cpu))?;
/// assert_eq!(classifier.classes(), Some(10));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When no network has this name, or the builder has no such parameters.
pub fn network(name: &str, config: &NetworkConfig, vb: VarBuilder) -> Result<Box<dyn Encoder + Send + Sync>> {
    stages(name)?;
    Ok(match name {
        "squeezenet1_1" => Box::new(SqueezeNet::new(config, vb)?),
        "convnet" => Box::new(ConvNet::new(config, vb)?),
        _ => Box::new(ResNet::new(name, config, vb)?),
    })
}

/// The parts of a network in order from input to output, as prefixes of parameter names; the last is the head.
///
/// # Errors
/// When no network has this name.
pub fn stages(name: &str) -> Result<&'static [&'static str]> {
    let row = TABLE.iter().find(|row| row.0 == name);
    row.map(|row| row.1).ok_or_else(|| {
        candle_core::Error::Msg(format!("no network is called {name}; there are {}", networks().join(", ")))
    })
}

/// The name under which a network keeps its classification head, such as `fc`.
///
/// # Errors
/// When no network has this name.
pub fn head_prefix(name: &str) -> Result<&'static str> {
    Ok(stages(name)?.last().copied().unwrap_or_default())
}

/// What to freeze for fine-tuning from a stage: the prefixes of all stages before it, or of all stages for `None`.
///
/// Each ends with a dot, so that `features.1.` does not freeze `features.10.` too.
///
/// # Errors
/// When no network has this name, or it has no such stage.
pub fn frozen_prefixes(name: &str, from: Option<&str>) -> Result<Vec<String>> {
    let stages = stages(name)?;
    let count = match from {
        None => stages.len(),
        Some(from) => stages.iter().position(|stage| *stage == from).ok_or_else(|| {
            candle_core::Error::Msg(format!("{name}: has no stage {from}; it has {}", stages.join(", ")))
        })?,
    };
    Ok(stages.iter().take(count).map(|stage| format!("{stage}.")).collect())
}
