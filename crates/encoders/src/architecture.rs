//! The networks by name.

use crate::encoder::Encoder;
use crate::networks::convnet::ConvBlock;
use crate::networks::fractalnet::FractalConfig;
use crate::preprocessing::Preprocessing;
use candle_core::Result;
use candlewick_parameters::{SafetensorsFile, VarBuilder};
use serde::{Deserialize, Serialize};
use std::sync::{LazyLock, PoisonError, RwLock};

/// What can be chosen about a network; a network reads what concerns it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkConfig {
    /// How many classes the head tells apart; `None` builds no head, except the one that a loaded file holds.
    pub classes: Option<usize>,
    /// Whether the hidden fully connected layers (AlexNet, VGG) are built without a head too; those that a loaded file
    /// holds always are.
    pub fully_connected: bool,
    /// Whether the auxiliary heads are built with the head (GoogLeNet).
    pub auxiliary: bool,
    /// Whether the network takes pictures normalised as for ImageNet and turns them into the range from −1 to 1 that
    /// torchvision's weights want (GoogLeNet): only for pictures that do not come in it already, as [`preprocessing`] has it.
    pub transform_input: bool,
    /// Whether the last batch norm of each residual block begins at 0 (ResNets; Goyal et al. 2017).
    pub zero_init_residual: bool,
    /// The probability of dropout: before the head (SqueezeNet, GoogLeNet, EfficientNet), around the hidden layers (AlexNet, VGG), after
    /// each dense layer (DenseNet), in the last block (FractalNet, growing from 0 in the first). `None` is the network's
    /// own: 0.2 for GoogLeNet, 0.2 to 0.5 for EfficientNet, 0 for DenseNet, 0.4 for FractalNet, 0.5 for the others.
    pub dropout: Option<f64>,
    /// The probability in training that a picture passes the last block by, growing from 0 in the first (ConvNeXt, EfficientNet).
    /// `None` is the network's own: 0.1 to 0.5 for ConvNeXt, 0.2 for EfficientNet.
    pub stochastic_depth: Option<f64>,
    /// The probability of dropout in the auxiliary heads (GoogLeNet).
    pub auxiliary_dropout: f64,
    /// The paths of a FractalNet.
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
    /// Checks what the types allow and no network can have.
    fn check(&self, network: &str) -> Result<()> {
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

type Build = dyn Fn(&NetworkConfig, VarBuilder) -> Result<Box<dyn Encoder + Send + Sync>> + Send + Sync;

/// The name that a tensor of a file has in the network; none for what is not of the network.
type OwnName = dyn Fn(&str) -> Option<String> + Send + Sync;

/// A network that [`network`] can build, as [`add_network`] takes it: a row of the table.
pub struct Architecture {
    name: &'static str,
    /// All its parts in order, those of the head at the end.
    stages: Vec<String>,
    head: &'static [&'static str],
    /// The heads that help training alone.
    auxiliary: &'static [&'static str],
    /// The layers of the heads that make logits, the main head's last.
    logits: Vec<&'static str>,
    preprocessing: Preprocessing,
    own_name: Box<OwnName>,
    /// Stages that are a parameter, not a part that has parameters.
    parameters: &'static [&'static str],
    has_gradients: bool,
    build: Box<Build>,
}

impl Architecture {
    /// A network of this name with torchvision's ImageNet preprocessing, its names as files have them, and gradients.
    ///
    /// `stages` are the parts of the body in order and `head` those that follow the map, the one that makes the logits last: as
    /// prefixes of parameter names.
    pub fn new<E: Encoder + 'static>(
        name: &'static str,
        mut stages: Vec<String>,
        head: &'static [&'static str],
        build: impl Fn(&NetworkConfig, VarBuilder) -> Result<E> + Send + Sync + 'static,
    ) -> Self {
        stages.extend(head.iter().map(|part| part.to_string()));
        Self {
            name,
            stages,
            head,
            auxiliary: &[],
            logits: head.last().copied().into_iter().collect(),
            preprocessing: Preprocessing::imagenet(),
            own_name: Box::new(|name| Some(name.to_owned())),
            parameters: &[],
            has_gradients: true,
            build: Box::new(move |config, vb| Ok(Box::new(build(config, vb)?))),
        }
    }

    /// The same with these among the parts of its head as auxiliary ones, and the layers of them that make logits.
    pub(crate) fn with_auxiliary(mut self, heads: &'static [&'static str], logits: &[&'static str]) -> Self {
        self.logits.splice(0..0, logits.iter().copied());
        Self { auxiliary: heads, ..self }
    }

    /// The same for weights that were trained on other pictures than most.
    pub fn with_preprocessing(self, preprocessing: Preprocessing) -> Self {
        Self { preprocessing, ..self }
    }

    /// The same for published files whose names are not the network's; `own_name` gives none for what is not of the network.
    pub fn with_own_names(self, own_name: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        Self { own_name: Box::new(own_name), ..self }
    }

    /// The same for a network whose head alone can be trained; `parameters` are the stages that are one themselves.
    pub fn without_gradients(self, parameters: &'static [&'static str]) -> Self {
        Self { parameters, has_gradients: false, ..self }
    }
}

static TABLE: LazyLock<Vec<Architecture>> = LazyLock::new(|| {
    let convolutional = crate::networks::rows();
    #[cfg(feature = "transformers")]
    let convolutional = convolutional.chain(crate::transformers::rows());
    convolutional.collect()
});

/// What [`add_network`] added; a row is never taken out.
static ADDED: RwLock<Vec<&'static Architecture>> = RwLock::new(Vec::new());

fn rows() -> Vec<&'static Architecture> {
    let added = ADDED.read().unwrap_or_else(PoisonError::into_inner);
    TABLE.iter().chain(added.iter().copied()).collect()
}

fn row(name: &str) -> Result<&'static Architecture> {
    rows().into_iter().find(|row| row.name == name).ok_or_else(|| {
        let more = match cfg!(feature = "transformers") {
            true => "",
            false => "; built with the feature transformers, ViT, DINOv2, CLIP, SigLIP, BEiT and EVA-02 too",
        };
        candle_core::Error::Msg(format!("no network is called {name}; there are {}{more}", networks().join(", ")))
    })
}

/// Makes a network of the caller's own known by its name: recipes, captioners and classifiers then build it as they build the
/// others, and open again the models that it is in.
///
/// It stays known as long as the program runs. [`crate::Backbone`] makes an encoder of a model that is no [`Encoder`] yet, and shows how
/// the two go together.
///
/// # Errors
/// When a network has this name already.
pub fn add_network(row: Architecture) -> Result<()> {
    let mut added = ADDED.write().unwrap_or_else(PoisonError::into_inner);
    if TABLE.iter().chain(added.iter().copied()).any(|known| known.name == row.name) {
        candle_core::bail!("{}: there is a network of this name already; take another name", row.name)
    }
    added.push(Box::leak(Box::new(row)));
    Ok(())
}

/// The names that [`network`] takes, those of [`add_network`] last.
pub fn networks() -> Vec<&'static str> {
    rows().into_iter().map(|row| row.name).collect()
}

/// What the published weights of a network want of pictures: torchvision's first ones for ImageNet (`IMAGENET1K_V1`), or what a
/// vision transformer was trained on.
///
/// # Errors
/// When no network has this name.
pub fn preprocessing(name: &str) -> Result<Preprocessing> {
    Ok(row(name)?.preprocessing.clone())
}

impl NetworkConfig {
    /// What a network of this configuration wants of pictures: [`preprocessing`], or ImageNet's where the network does the rest itself.
    ///
    /// # Errors
    /// When no network has this name.
    pub fn preprocessing(&self, name: &str) -> Result<Preprocessing> {
        if self.transform_input { Ok(Preprocessing::imagenet()) } else { preprocessing(name) }
    }
}

/// What a published file holds of a network, under the names that the network has.
///
/// torchvision's DenseNets have older names in their files, and a file of CLIP holds a text tower too. A file with the
/// network's own names stays as it is.
///
/// # Errors
/// When no network has this name, the file holds a tensor under its older and its present name, or nothing of the network but
/// behind a prefix, such as the `module.` of PyTorch's DataParallel.
pub fn own_weights(network: &str, file: SafetensorsFile) -> Result<SafetensorsFile> {
    let row = row(network)?;
    let is_own = |name: String| row.stages.iter().any(|part| name == *part || name.starts_with(&format!("{part}.")));
    file.refuse_prefix(|name| (row.own_name)(name).is_some_and(is_own))?;
    file.renamed(&row.own_name)
}

/// Builds the network of this name; a file's parameters are checked by `Parameters::verify` afterwards.
///
/// A published file goes through [`own_weights`] before.
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
/// When no network has this name, a probability lies outside [0, 1], or the builder has no such parameters.
pub fn network(name: &str, config: &NetworkConfig, vb: VarBuilder) -> Result<Box<dyn Encoder + Send + Sync>> {
    let row = row(name)?;
    config.check(name)?;
    (row.build)(config, vb)
}

/// The parts of a network in order from input to output, as prefixes of parameter names; the last is the head.
///
/// # Errors
/// When no network has this name.
pub fn stages(name: &str) -> Result<&'static [String]> {
    Ok(&row(name)?.stages)
}

/// The names of the parts of a network that follow its map, in order; the last makes the logits.
///
/// Mostly that is all: `fc`. AlexNet and VGG have hidden layers before it, GoogLeNet has auxiliary heads.
///
/// # Errors
/// When no network has this name.
pub fn head_prefixes(name: &str) -> Result<&'static [&'static str]> {
    Ok(row(name)?.head)
}

/// The name under which a network keeps the layer that makes its logits, such as `fc`.
///
/// # Errors
/// When no network has this name.
pub fn head_prefix(name: &str) -> Result<&'static str> {
    Ok(head_prefixes(name)?.last().copied().unwrap_or_default())
}

/// The names of the auxiliary heads, which help training alone: a published file may hold them or not.
///
/// # Errors
/// When no network has this name.
pub fn auxiliary_prefixes(name: &str) -> Result<&'static [&'static str]> {
    Ok(row(name)?.auxiliary)
}

/// The names of the layers that make logits, of the auxiliary heads and last of the head: those that have another shape for
/// other classes.
///
/// # Errors
/// When no network has this name.
pub fn logit_prefixes(name: &str) -> Result<&'static [&'static str]> {
    Ok(&row(name)?.logits)
}

/// What to freeze for fine-tuning from a stage: the prefixes of all stages before it, or of all stages for `None`.
///
/// Each ends with a dot, so that `features.1.` does not freeze `features.10.` too, but where a stage is a parameter itself.
///
/// # Errors
/// When no network has this name, it has no such stage, or its head alone can be trained and the stage is another.
pub fn frozen_prefixes(name: &str, from: Option<&str>) -> Result<Vec<String>> {
    let row = row(name)?;
    let count = match from {
        None => row.stages.len(),
        Some(from) => row.stages.iter().position(|stage| stage == from).ok_or_else(|| {
            candle_core::Error::Msg(format!("{name}: has no stage {from}; it has {}", row.stages.join(", ")))
        })?,
    };
    let body = row.stages.len() - row.head.len();
    if count < body && !row.has_gradients {
        candle_core::bail!(
            "{name}: {} cannot be trained, its operations hand no gradients back; only its head can, {}",
            row.stages[count],
            row.head.join(", ")
        )
    }
    let prefix = |stage: &String| {
        if row.parameters.contains(&stage.as_str()) { stage.clone() } else { format!("{stage}.") }
    };
    Ok(row.stages.iter().take(count).map(prefix).collect())
}
