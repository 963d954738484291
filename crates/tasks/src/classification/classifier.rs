//! From a picture to what it shows.

use crate::{Error, Result};
use candle_core::{D, Device, Tensor};
use candle_nn::ops::softmax;
use candlewick_encoders::{Architecture, Encoder, NetworkConfig, Preprocessing};
use candlewick_kernels::device::upload;
use candlewick_parameters::{Mode, Parameters, SafetensorsFile};
use candlewick_training::model_folder::{
    CONFIG_FILE, PREPROCESSOR_FILE, read_config, read_json, read_weights, write_json, write_preprocessing,
};
use candlewick_training::{About, Export, MODEL_FILE, ModelFolder, write_weights};
use image::RgbImage;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// The classes of ImageNet-1k in order, as torchvision calls them.
const IMAGENET: &str = include_str!("imagenet.txt");

/// The name of this model in `config.json`.
const MODEL_TYPE: &str = "image-classifier";

/// Tells which of its classes a picture shows.
///
/// ```no_run
/// use candle_core::Device;
/// use candlewick_tasks::classification::Classifier;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let classifier = Classifier::from_pretrained("runs/mnist".as_ref(), &Device::Cpu)?;
/// let picture = image::open("seven.png")?.to_rgb8();
/// for guess in &classifier.classify(&[picture], 3)?[0] {
///     println!("{} {:.3}", guess.label, guess.probability);
/// }
/// # Ok(())
/// # }
/// ```
pub struct Classifier {
    pub(crate) config: ClassifierConfig,
    pub(crate) network: Box<dyn Encoder>,
    pub(crate) parameters: Parameters,
    pub(crate) preprocessing: Preprocessing,
    device: Device,
}

/// The content of a classifier's `config.json`; keys that it does not know are passed over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ClassifierConfig {
    /// Always `image-classifier`, so that a folder of another model is told apart.
    pub model_type: String,
    /// The network's name, as `candlewick_encoders::networks` lists it.
    pub network: String,
    /// What can be chosen about the network.
    pub config: NetworkConfig,
    /// The classes' names by number.
    pub id2label: BTreeMap<usize, String>,
}

/// What a picture may show.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Guess {
    /// The number of the class.
    pub class: usize,
    /// Its name.
    pub label: String,
    /// How probable the network holds it, softmax(logits).
    pub probability: f32,
}

impl Classifier {
    /// A classifier with fresh initial values drawn from `seed`, to be trained, over these classes.
    ///
    /// # Errors
    /// When no network has this name, or it cannot be built with this configuration.
    pub fn fresh(
        name: &str,
        config: &NetworkConfig,
        classes: &[String],
        preprocessing: Preprocessing,
        seed: u64,
        device: &Device,
    ) -> Result<Self> {
        let parameters = Parameters::new(seed);
        Self::assemble(name, config, classes, preprocessing, parameters, device)
    }

    /// A network with published weights from a file, torchvision's mostly, whose classes are called `classes`; without names, a
    /// thousand classes are taken for ImageNet's and others are called by their numbers.
    ///
    /// Auxiliary heads serve training alone: the file may hold them or not.
    ///
    /// # Errors
    /// When no network has this name, the file holds weights of another, or the number of names is not that of the classes.
    pub fn from_weights(
        name: &str,
        file: SafetensorsFile,
        classes: Option<&[String]>,
        preprocessing: Preprocessing,
        device: &Device,
    ) -> Result<Self> {
        let path = file.path().display().to_string();
        let architecture = Architecture::find(name)?;
        let file = architecture.canonical_weights(file)?;
        let count = architecture
            .head_classes(&file)
            .ok_or_else(|| Error::model(&path, format!("holds no classification head of {name}; take another file")))?;
        let usual: Vec<String> = match count {
            1000 => IMAGENET.lines().map(str::to_owned).collect(),
            _ => (0..count).map(|class| class.to_string()).collect(),
        };
        let classes = classes.unwrap_or(&usual);
        if classes.len() != count {
            let fault = format!("{path}: tells {count} classes apart, but {} names were given", classes.len());
            return Err(Error::Setting(fault));
        }
        let parameters = Parameters::from_file(file);
        parameters.freeze("");
        let config = NetworkConfig { auxiliary: false, ..NetworkConfig::default() };
        let mut classifier = Self::assemble(name, &config, classes, preprocessing, parameters, device)?;
        classifier.parameters.verify()?;
        classifier.network = classifier.network.for_inference()?;
        Ok(classifier)
    }

    /// Opens a model folder, or the best checkpoint of a run's folder.
    ///
    /// # Errors
    /// One line that names the file and the fault.
    pub fn from_pretrained(folder: &Path, device: &Device) -> Result<Self> {
        Self::open_folder(folder, device)
    }

    fn assemble(
        name: &str,
        config: &NetworkConfig,
        classes: &[String],
        preprocessing: Preprocessing,
        parameters: Parameters,
        device: &Device,
    ) -> Result<Self> {
        if classes.len() < 2 {
            let fault =
                format!("{name}: {} class to tell, of which every picture would be; two are the least", classes.len());
            return Err(Error::Setting(fault));
        }
        let config = NetworkConfig { classes: Some(classes.len()), ..config.clone() };
        let network = Architecture::find(name)?.build(&config, parameters.builder(device))?;
        let id2label = classes.iter().cloned().enumerate().collect();
        let config = ClassifierConfig { model_type: MODEL_TYPE.into(), network: name.into(), config, id2label };
        Ok(Self { config, network, parameters, preprocessing, device: device.clone() })
    }

    /// The same classifier with another network of the same kind.
    pub(crate) fn with(self, network: Box<dyn Encoder>, parameters: Parameters) -> Self {
        Self { network, parameters, ..self }
    }

    /// Writes the model folder; it must exist.
    ///
    /// # Errors
    /// When a file cannot be written; the message names it.
    pub fn save(&self, folder: &Path) -> Result<()> {
        write_json(&folder.join(CONFIG_FILE), &self.config)?;
        write_preprocessing(folder, &self.preprocessing)?;
        Ok(self.parameters.save(folder.join(MODEL_FILE))?)
    }

    /// The `top` likeliest classes of each picture, the likeliest first.
    ///
    /// # Errors
    /// When a picture is too small for the network, or preprocessing leaves them at different sizes.
    pub fn classify(&self, pictures: &[RgbImage], top: usize) -> Result<Vec<Vec<Guess>>> {
        if pictures.is_empty() {
            return Ok(Vec::new());
        }
        let images: Vec<Tensor> = pictures
            .par_iter()
            .map(|picture| self.preprocessing.apply(picture, &Device::Cpu))
            .collect::<candle_core::Result<_>>()?;
        let images = upload(&Tensor::stack(&images, 0)?, &self.device)?;
        let logits = self.network.logits(&images, &mut Mode::Eval)?;
        let rows = softmax(&logits, D::Minus1)?.to_vec2::<f32>()?;
        if rows.iter().flatten().any(|probability| !probability.is_finite()) {
            let fault = "the network's logits hold NaN or an infinity; its weights are broken";
            return Err(Error::NotNumbers(fault.into()));
        }
        let guesses = |row: Vec<f32>| {
            let mut classes: Vec<usize> = (0..row.len()).collect();
            classes.sort_by(|&a, &b| row[b].total_cmp(&row[a]).then(a.cmp(&b)));
            classes.truncate(top);
            classes.into_iter().map(|class| self.guess(class, row[class])).collect()
        };
        Ok(rows.into_iter().map(guesses).collect())
    }

    fn guess(&self, class: usize, probability: f32) -> Guess {
        let label = self.config.id2label.get(&class).cloned().unwrap_or_else(|| class.to_string());
        Guess { class, label, probability }
    }

    /// What it is made of.
    pub fn config(&self) -> &ClassifierConfig {
        &self.config
    }

    /// What is done to a picture before the network sees it.
    pub fn preprocessing(&self) -> &Preprocessing {
        &self.preprocessing
    }

    /// Where it runs.
    pub fn device(&self) -> &Device {
        &self.device
    }
}

impl ModelFolder for Classifier {
    const MODEL_TYPE: &'static str = MODEL_TYPE;

    fn from_folder(folder: &Path, device: &Device) -> Result<Self> {
        let config: ClassifierConfig = read_config(folder, MODEL_TYPE)?;
        let preprocessing = read_json(&folder.join(PREPROCESSOR_FILE))?;
        let classes: Vec<String> = config.id2label.values().cloned().collect();
        let parameters = read_weights(folder)?;
        let mut classifier =
            Self::assemble(&config.network, &config.config, &classes, preprocessing, parameters, device)?;
        classifier.parameters.verify()?;
        classifier.network = classifier.network.for_inference()?;
        Ok(classifier)
    }

    fn export(folder: &Path, into: &Path, how: &Export) -> Result<About> {
        let classifier = Self::from_folder(folder, &Device::Cpu)?;
        write_json(&into.join(CONFIG_FILE), &classifier.config)?;
        write_preprocessing(into, &classifier.preprocessing)?;
        write_weights(into, classifier.parameters.tensors(), how.dtype)?;
        let ClassifierConfig { network, id2label, .. } = &classifier.config;
        let labels: Vec<&str> = id2label.values().map(String::as_str).take(SHOWN).collect();
        let more = if id2label.len() > SHOWN { ", …" } else { "" };
        let (labels, count) = (labels.join(", "), id2label.len());
        Ok(About {
            kind: "An image classifier",
            made_of: format!("{network} with a head of {count} classes ({labels}{more}), trained with Candlewick."),
            limits: "It tells which of its classes a picture shows, and takes every picture for one of them.".into(),
            pipeline_tag: "image-classification",
            tags: vec!["image-classification".into(), network.clone(), "candle".into()],
            commands: vec!["candlewick classify picture.png --model MODEL"],
            code: "let classifier = Classifier::from_pretrained(\"MODEL\".as_ref(), &Device::Cpu)?;\n\
                   let guesses = classifier.classify(&[picture], 5)?;",
        })
    }
}

/// Classes that a card names.
const SHOWN: usize = 10;
