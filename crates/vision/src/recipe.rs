//! The encoder of a recipe.

use candle_core::{DType, Device};
use candlewick_data::{Error, Result};
use candlewick_encoders::{Architecture, NetworkConfig, Preprocessing};
use candlewick_parameters::{VarBuilder, nearest};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The encoder of a recipe.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EncoderRecipe {
    /// The network's name, as `candlewick_encoders::networks` lists it.
    pub network: String,
    /// The layer whose map is read; the last one by default.
    pub layer: Option<String>,
    /// Whether each annotation ends with its position, x and y from −1 to 1.
    pub coordinates: bool,
    /// What can be chosen about the network.
    pub config: NetworkConfig,
    /// Pretrained weights; `--encoder-weights` on the command line.
    pub pretrained: Option<PathBuf>,
    /// Whether the encoder is trained from nothing. A network of which published weights exist wants this said, or weights.
    pub from_scratch: bool,
    /// The stage from which pretrained weights are trained further; frozen altogether without it.
    pub fine_tune: Option<String>,
    /// The factor on the learning rate of the encoder's parameters.
    pub learning_rate_factor: Option<f64>,
}

impl Default for EncoderRecipe {
    fn default() -> Self {
        Self {
            network: "resnet50".into(),
            layer: None,
            coordinates: false,
            config: NetworkConfig::default(),
            pretrained: None,
            from_scratch: false,
            fine_tune: None,
            learning_rate_factor: None,
        }
    }
}

impl EncoderRecipe {
    /// Checks what can be known without the weights; `known` says whether some are there, in a file or in the model that training
    /// starts from.
    ///
    /// # Errors
    /// One line that names the setting and what to do.
    pub fn check(&self, known: bool) -> Result<()> {
        let fault = |fault: String| Err(Error::Setting(fault));
        let name = self.network.as_str();
        check_stage(name, self.fine_tune.as_deref(), "encoder.network", "encoder.fine_tune")?;
        self.check_layer()?;
        if self.learning_rate_factor.is_some_and(|factor| !(factor >= 0.0 && factor.is_finite())) {
            return fault("encoder.learning_rate_factor must be 0 or more".into());
        }
        match (known, self.from_scratch, self.fine_tune.is_some()) {
            (true, true, _) => fault("encoder.from_scratch: there are weights for it; leave one of the two out".into()),
            (false, _, true) => fault(
                "encoder.fine_tune: there are no pretrained weights to go on from; name them with --encoder-weights"
                    .into(),
            ),
            (false, false, _) if is_published(name) => fault(format!(
                "this recipe wants the weights of its encoder {name}: --encoder-weights FILE|hub:REPO, or encoder.from_scratch = true to train it from nothing"
            )),
            _ => Ok(()),
        }
    }
}

impl EncoderRecipe {
    /// Refuses a layer that the network does not have.
    fn check_layer(&self) -> Result<()> {
        let Some(layer) = self.layer.as_deref() else { return Ok(()) };
        // The hidden layers of a head are there where the file of weights has them. Zeros take no time to draw, and no memory until
        // they are read.
        let config = NetworkConfig { classes: Some(2), fully_connected: true, ..self.config.clone() };
        let zeros = VarBuilder::zeros(DType::F32, &Device::Cpu);
        // A network that cannot be built is told of where it is built with its weights.
        let Ok(network) = Architecture::find(&self.network)?.build(&config, zeros) else { return Ok(()) };
        let maps = network.layers().iter().map(|layer| layer.name.as_str());
        let known: Vec<&str> =
            maps.chain(network.pre_logits_layers().iter().map(|layer| layer.name.as_str())).collect();
        match known.contains(&layer) {
            true => Ok(()),
            false => {
                let (name, nearest, known) = (&self.network, nearest(layer, &known), known.join(", "));
                Err(Error::setting(format!("encoder.layer: {name} has no layer {layer}{nearest}; it has {known}")))
            }
        }
    }
}

/// Whether others have published weights of a network.
fn is_published(network: &str) -> bool {
    network != "convnet" && !network.starts_with("fractalnet")
}

/// Checks that there is a network of this name and, where one is named, a stage of it; `network` and `fine_tune` are the settings' keys.
///
/// # Errors
/// One line that names the setting and what there is.
pub fn check_stage(name: &str, stage: Option<&str>, network: &str, fine_tune: &str) -> Result<()> {
    let unknown = |error| Error::setting(format!("{network}: {error}"));
    let stages = Architecture::find(name).map_err(unknown)?.stages();
    match stage {
        Some(from) if !stages.iter().any(|stage| stage == from) => {
            let nearest = nearest(from, &stages.iter().map(String::as_str).collect::<Vec<_>>());
            let stages = stages.join(", ");
            Err(Error::setting(format!("{fine_tune}: {name} has no stage {from}{nearest}; it has {stages}")))
        }
        _ => Ok(()),
    }
}

/// What is done to pictures: what the recipe says, or else what the network's published weights want.
///
/// # Errors
/// When no network has this name.
pub fn preprocessing(given: Option<&Preprocessing>, network: &str, config: &NetworkConfig) -> Result<Preprocessing> {
    match given {
        Some(preprocessing) => Ok(preprocessing.clone()),
        None => Ok(Architecture::find(network)?.preprocessing_for(config)),
    }
}
