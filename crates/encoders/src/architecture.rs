//! What is known of a network before it is built: stages, head, preprocessing, names in published files, and how it is built.

use crate::config::NetworkConfig;
use crate::encoder::Encoder;
use crate::preprocessing::Preprocessing;
use candle_core::Result;
use candlewick_parameters::{SafetensorsFile, VarBuilder};

type Build = dyn Fn(&NetworkConfig, VarBuilder) -> Result<Box<dyn Encoder>> + Send + Sync;

/// From the name of a tensor in a published file to its name in the network; `None` for what is not of the network.
type CanonicalName = dyn Fn(&str) -> Option<String> + Send + Sync;

/// A network by name: [`Architecture::find`] gives those that are known, [`crate::add_network`] takes one more.
///
/// ```
/// # fn main() -> candle_core::Result<()> {
/// use candlewick_encoders::{Architecture, NetworkConfig};
/// let resnet = Architecture::find("resnet18")?;
/// assert_eq!(resnet.stages().join(" "), "conv1 bn1 layer1 layer2 layer3 layer4 fc");
/// assert_eq!(resnet.head_prefix(), "fc");
///
/// let parameters = candlewick_parameters::Parameters::new(1);
/// let config = NetworkConfig { classes: Some(10), ..Default::default() };
/// let classifier = resnet.build(&config, parameters.builder(&candle_core::Device::Cpu))?;
/// assert_eq!(classifier.classes(), Some(10));
/// # Ok(())
/// # }
/// ```
pub struct Architecture {
    name: &'static str,
    stages: Vec<String>,
    head: &'static [&'static str],
    auxiliary: &'static [&'static str],
    logits: Vec<&'static str>,
    preprocessing: Preprocessing,
    canonical_name: Box<CanonicalName>,
    /// Stages that are a parameter themselves.
    parameter_stages: &'static [&'static str],
    has_gradients: bool,
    published_top1: Option<f32>,
    build: Box<Build>,
}

impl Architecture {
    /// A network with torchvision's ImageNet preprocessing, the same names in published files, and gradients.
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
            canonical_name: Box::new(|name| Some(name.to_owned())),
            parameter_stages: &[],
            has_gradients: true,
            published_top1: None,
            build: Box::new(move |config, vb| Ok(Box::new(build(config, vb)?))),
        }
    }

    /// The same with these parts of its head as auxiliary heads, and the layers of them that make logits.
    pub(crate) fn with_auxiliary(mut self, heads: &'static [&'static str], logits: &[&'static str]) -> Self {
        self.logits.splice(0..0, logits.iter().copied());
        Self { auxiliary: heads, ..self }
    }

    /// The same with the preprocessing that its published weights were trained with.
    pub fn with_preprocessing(self, preprocessing: Preprocessing) -> Self {
        Self { preprocessing, ..self }
    }

    /// The same for published files with other names: `canonical_name` turns them into the network's, and gives `None` for what is
    /// not of the network.
    pub fn with_canonical_names(self, canonical_name: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        Self { canonical_name: Box::new(canonical_name), ..self }
    }

    /// The same for a network whose head alone can be trained; `parameter_stages` are the stages that are a parameter themselves.
    pub fn without_gradients(self, parameter_stages: &'static [&'static str]) -> Self {
        Self { parameter_stages, has_gradients: false, ..self }
    }

    /// The same with the ImageNet top-1 that is published for its weights, as a share of 1.
    pub fn with_published_top1(self, top1: impl Into<Option<f32>>) -> Self {
        Self { published_top1: top1.into(), ..self }
    }

    /// The ImageNet top-1 that is published for the weights, as a share of 1; nothing where none is.
    ///
    /// Of torchvision's networks it is `acc@1` of `IMAGENET1K_V1` (single crop, at the size of [`Architecture::preprocessing`]), of the
    /// vision transformers what their table says. CLIP and SigLIP have no classes of their own, FractalNet's paper has its ImageNet
    /// figure for another number of layers, and `convnet` was never trained on it.
    pub fn published_top1(&self) -> Option<f32> {
        self.published_top1
    }

    /// The name by which [`Architecture::find`] knows it.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The parts from input to output, as prefixes of parameter names; those of the head come last.
    pub fn stages(&self) -> &[String] {
        &self.stages
    }

    /// The parts that follow the map, in order; the last makes the logits.
    ///
    /// Mostly that is all: `fc`. AlexNet and VGG have hidden layers before it, GoogLeNet has auxiliary heads.
    pub fn head_prefixes(&self) -> &'static [&'static str] {
        self.head
    }

    /// The layer that makes the logits, such as `fc`.
    pub fn head_prefix(&self) -> &'static str {
        self.head.last().copied().unwrap_or_default()
    }

    /// The auxiliary heads, which are for training alone: a published file may hold them or not.
    pub fn auxiliary_prefixes(&self) -> &'static [&'static str] {
        self.auxiliary
    }

    /// The layers that make logits, of the auxiliary heads and last of the head: those whose shape depends on the classes.
    pub fn logit_prefixes(&self) -> &[&'static str] {
        &self.logits
    }

    /// What to freeze for fine-tuning from a stage on: the prefixes of all stages before it, or of all stages for `None`.
    ///
    /// Each ends with a dot, so that `features.1.` does not freeze `features.10.` too, but where a stage is a parameter itself.
    ///
    /// # Errors
    /// When there is no such stage, or it lies in a body that has no gradients.
    pub fn frozen_prefixes(&self, from: Option<&str>) -> Result<Vec<String>> {
        let count = match from {
            None => self.stages.len(),
            Some(from) => self.stages.iter().position(|stage| stage == from).ok_or_else(|| {
                candle_core::Error::Msg(format!(
                    "{}: has no stage {from}; it has {}",
                    self.name,
                    self.stages.join(", ")
                ))
            })?,
        };
        let body = self.stages.len() - self.head.len();
        if count < body && !self.has_gradients {
            candle_core::bail!(
                "{}: {} cannot be trained, its operations hand no gradients back; only its head can, {}",
                self.name,
                self.stages[count],
                self.head.join(", ")
            )
        }
        let prefix = |stage: &String| match self.parameter_stages.contains(&stage.as_str()) {
            true => stage.clone(),
            false => format!("{stage}."),
        };
        Ok(self.stages.iter().take(count).map(prefix).collect())
    }

    /// What the published weights were trained on: torchvision's first ones for ImageNet (`IMAGENET1K_V1`), or a vision
    /// transformer's own.
    pub fn preprocessing(&self) -> &Preprocessing {
        &self.preprocessing
    }

    /// The same for a network of this configuration: ImageNet's where it has [`NetworkConfig::transform_input`].
    pub fn preprocessing_for(&self, config: &NetworkConfig) -> Preprocessing {
        if config.transform_input { Preprocessing::imagenet() } else { self.preprocessing.clone() }
    }

    /// What a published file holds of the network, under the names that the network has.
    ///
    /// torchvision's DenseNets have older names in their files, and a file of CLIP holds a text tower too. A file with the
    /// network's own names stays as it is.
    ///
    /// # Errors
    /// When the file holds a tensor under its older and its present name, or nothing of the network but behind a prefix, such as
    /// the `module.` of PyTorch's DataParallel.
    pub fn canonical_weights(&self, file: SafetensorsFile) -> Result<SafetensorsFile> {
        let is_own =
            |name: String| self.stages.iter().any(|part| name == *part || name.starts_with(&format!("{part}.")));
        file.refuse_prefix(|name| (self.canonical_name)(name).is_some_and(is_own))?;
        file.renamed(&self.canonical_name)
    }

    /// The same without what follows the map: for an encoder that is built without [`NetworkConfig::classes`].
    ///
    /// # Errors
    /// As [`Architecture::canonical_weights`].
    pub fn without_head(&self, file: SafetensorsFile) -> Result<SafetensorsFile> {
        let file = self.canonical_weights(file)?;
        Ok(self.head.iter().fold(file, |file, prefix| file.without(&format!("{prefix}."))))
    }

    /// How many classes the head in a file has; `None` where the file holds no head.
    ///
    /// Put it into [`NetworkConfig::classes`] before building a network whose values will be assigned from this file.
    pub fn head_classes(&self, file: &SafetensorsFile) -> Option<usize> {
        file.shape(&format!("{}.weight", self.head_prefix()))?.dims().first().copied()
    }

    /// Builds the network; `Parameters::verify` checks a file's parameters afterwards.
    ///
    /// # Errors
    /// When an option of `config` cannot be.
    pub fn build(&self, config: &NetworkConfig, vb: VarBuilder) -> Result<Box<dyn Encoder>> {
        config.check(self.name)?;
        (self.build)(config, vb)
    }
}
