//! From a picture to what it shows, look by look.

use super::classified::{Classified, Glimpse};
use super::config::{FirstLook, MODEL_TYPE, RecurrentAttentionConfig};
use super::items::tensor;
use super::network::{GlimpseNetwork, LookThrough};
use crate::{Error, Result};
use candle_core::{D, Device, Tensor};
use candlewick_kernels::device::upload;
use candlewick_kernels::softmax::softmax;
use candlewick_parameters::{Mode, Parameters, Rng};
use candlewick_training::model_folder::{CONFIG_FILE, read_config, read_weights, write_json};
use candlewick_training::{About, Export, MODEL_FILE, ModelFolder, write_weights};
use image::GrayImage;
use std::path::Path;

/// Pictures that are looked at together.
const TOGETHER: usize = 256;

/// Tells what pictures show from a series of looks.
///
/// ```no_run
/// use candle_core::Device;
/// use candlewick_tasks::glimpses::RecurrentAttentionModel;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let model = RecurrentAttentionModel::from_pretrained("runs/glimpses".as_ref(), &Device::Cpu)?;
/// let picture = image::open("seven.png")?.to_luma8();
/// let told = &model.classify(&[picture], 1, 0)?[0];
/// println!("{}, after looks at {:?}", told.labels[0], told.glimpses.iter().map(|look| (look.x, look.y)).collect::<Vec<_>>());
/// # Ok(())
/// # }
/// ```
pub struct RecurrentAttentionModel {
    pub(super) config: RecurrentAttentionConfig,
    pub(super) network: GlimpseNetwork,
    pub(super) parameters: Parameters,
    device: Device,
}

impl RecurrentAttentionModel {
    /// A model with fresh initial values drawn from `seed`, to be trained.
    ///
    /// # Errors
    /// When there are fewer than two classes, a look is larger than the pictures, or the network cannot be built so.
    pub fn init(config: RecurrentAttentionConfig, seed: u64, device: &Device) -> Result<Self> {
        Self::assemble(config, Parameters::new(seed), device)
    }

    /// Opens a model folder, or the best checkpoint of a run's folder.
    ///
    /// # Errors
    /// One line that names the file and the fault.
    pub fn from_pretrained(folder: &Path, device: &Device) -> Result<Self> {
        Self::open_folder(folder, device)
    }

    fn assemble(config: RecurrentAttentionConfig, parameters: Parameters, device: &Device) -> Result<Self> {
        let classes = config.id2label.len();
        if classes < 2 || !config.id2label.keys().copied().eq(0..classes) {
            let fault = format!("{classes} classes to tell; wanted two at least, numbered from 0");
            return Err(Error::Setting(fault));
        }
        let ((height, width), network) = (config.size, &config.network);
        if network.looks == 0 || network.patch == 0 || network.scales == 0 || config.placing.pictures == 0 {
            return Err(Error::Setting("looks, patch and scales are at least 1, and so are labels".into()));
        }
        if network.patch > height.min(width) as usize {
            let patch = network.patch;
            let fault = format!("patch is {patch}, larger than the pictures' {height}×{width} pixels; make it smaller");
            return Err(Error::Setting(fault));
        }
        let most = WIDEST * height.max(width) as usize;
        if network.widest().is_none_or(|widest| widest > most) {
            return Err(Error::Setting(format!(
                "scales is {}: the largest would see more than {most} pixels a side of pictures of {height}×{width}; make them fewer",
                network.scales
            )));
        }
        if u64::from(height) * u64::from(width) > MOST_PIXELS
            || config.checked_looks().is_none_or(|looks| looks > MOST_LOOKS)
        {
            let fault =
                format!("more than {MOST_LOOKS} looks, or pictures of more than {MOST_PIXELS} pixels; make them fewer");
            return Err(Error::Setting(fault));
        }
        if !(network.std.is_finite() && network.std > 0.0) {
            return Err(Error::Setting(format!("std is {}; wanted more than 0", network.std)));
        }
        let network = GlimpseNetwork::new(classes, config.placing.pictures, network, parameters.builder(device))?;
        Ok(Self { config, network, parameters, device: device.clone() })
    }

    /// What pictures show, with every look; all are of the model's size.
    ///
    /// The probabilities are the mean of `samples` looks-through, whose first looks are drawn from `seed`; the looks are those of the first.
    ///
    /// # Errors
    /// When a picture is of another size, or there is no look-through.
    pub fn classify(&self, pictures: &[GrayImage], samples: usize, seed: u64) -> Result<Vec<Classified>> {
        if samples == 0 {
            return Err(Error::Setting("samples is 0; one look-through is the least".into()));
        }
        let mut told = Vec::with_capacity(pictures.len());
        for (at, pictures) in pictures.chunks(TOGETHER).enumerate() {
            let images = tensor(pictures.iter(), &self.config)?;
            let (through, probabilities) = self.mean_of(&images, samples, (seed, at * TOGETHER))?;
            let looks = self.after_each_look(&through)?;
            let locations =
                (through.locations.iter()).map(Tensor::to_vec2::<f32>).collect::<candle_core::Result<Vec<_>>>()?;
            let patches =
                (through.patches.iter()).map(Tensor::to_vec2::<f32>).collect::<candle_core::Result<Vec<_>>>()?;
            for row in 0..pictures.len() {
                let glimpses = (0..locations.len())
                    .map(|look| self.glimpse(&locations[look][row], &patches[look][row], looks[look][row].clone()));
                let probabilities: Vec<Vec<f32>> = probabilities.iter().map(|label| label[row].clone()).collect();
                let labels = probabilities.iter().map(|row| self.likeliest(row)).collect();
                told.push(Classified { glimpses: glimpses.collect(), labels, probabilities });
            }
        }
        Ok(told)
    }

    /// The first of some looks-through, and the mean probabilities of each label, (N, K).
    pub(super) fn mean_of(
        &self,
        pictures: &Tensor,
        samples: usize,
        (seed, first): (u64, usize),
    ) -> Result<(LookThrough, Vec<Vec<Vec<f32>>>)> {
        let seen = self.network.retina.open(&upload(pictures, &self.device)?)?;
        let mut found: Option<(LookThrough, Vec<Tensor>)> = None;
        // From the middle all looks-through are the same.
        let samples = if self.config.network.first == FirstLook::Centre { 1 } else { samples };
        let row = |row: usize| Rng::derive(seed, "first look", (first + row) as u64);
        let mut rngs: Vec<Rng> = (0..pictures.dim(0)?).map(row).collect();
        for _ in 0..samples {
            let starts = rngs.iter_mut().map(|rng| self.network.first(1, rng, &self.device));
            let starts = Tensor::cat(&starts.collect::<candle_core::Result<Vec<_>>>()?, 0)?;
            let through = self.network.look(&seen, &starts, &mut Mode::Eval)?;
            let labels = self
                .told(&through)?
                .iter()
                .map(|logits| softmax(logits, D::Minus1))
                .collect::<candle_core::Result<Vec<_>>>()?;
            found = Some(match found {
                None => (through, labels),
                Some((first, sums)) => {
                    let sums =
                        sums.iter().zip(&labels).map(|(sum, own)| sum + own).collect::<candle_core::Result<_>>()?;
                    (first, sums)
                }
            });
        }
        let Some((through, sums)) = found else { return Err(Error::Setting("samples is 0; one is the least".into())) };
        let mean = |sum: Tensor| (sum / samples as f64)?.to_vec2::<f32>();
        let labels = sums.into_iter().map(mean).collect::<candle_core::Result<Vec<_>>>()?;
        if labels.iter().flatten().flatten().any(|probability| !probability.is_finite()) {
            return Err(Error::NotNumbers(
                "the network's logits hold NaN or an infinity; its weights are broken".into(),
            ));
        }
        Ok((through, labels))
    }

    /// The logits of each label, (N, K), after its last look.
    pub(super) fn told(&self, through: &LookThrough) -> Result<Vec<Tensor>> {
        let looks = self.config.network.looks;
        let last = through.hidden.chunks(looks).filter_map(<[Tensor]>::last);
        Ok(last.map(|hidden| self.network.logits(hidden)).collect::<candle_core::Result<_>>()?)
    }

    /// The probabilities after each look.
    fn after_each_look(&self, through: &LookThrough) -> Result<Vec<Vec<Vec<f32>>>> {
        let after = |hidden: &Tensor| softmax(&self.network.logits(hidden)?, D::Minus1)?.to_vec2::<f32>();
        Ok(through.hidden.iter().map(after).collect::<candle_core::Result<_>>()?)
    }

    fn glimpse(&self, location: &[f32], patches: &[f32], probabilities: Vec<f32>) -> Glimpse {
        let (height, width) = self.config.size;
        let side = self.config.network.patch;
        let pixel = |at: f32, size: u32| (at + 1.0) / 2.0 * size as f32;
        let scale = |values: &[f32]| {
            let greys = values.iter().map(|value| (value * 255.0).round() as u8).collect();
            GrayImage::from_raw(side as u32, side as u32, greys).unwrap_or_default()
        };
        Glimpse {
            x: pixel(location[0], width),
            y: pixel(location[1], height),
            scales: patches.chunks(side * side).map(scale).collect(),
            probabilities,
        }
    }

    fn likeliest(&self, probabilities: &[f32]) -> String {
        let best = (0..probabilities.len()).max_by(|&one, &other| probabilities[one].total_cmp(&probabilities[other]));
        best.and_then(|best| self.config.id2label.get(&best)).cloned().unwrap_or_default()
    }

    /// What it is made of.
    pub fn config(&self) -> &RecurrentAttentionConfig {
        &self.config
    }

    /// Where it runs.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// How many numbers it has learned.
    pub fn parameter_count(&self) -> usize {
        self.parameters.count()
    }

    /// Writes the model folder; it must exist.
    ///
    /// # Errors
    /// When a file cannot be written; the message names it.
    pub fn save(&self, folder: &Path) -> Result<()> {
        write_json(&folder.join(CONFIG_FILE), &self.config)?;
        Ok(self.parameters.save(folder.join(MODEL_FILE))?)
    }
}

/// How often the longer side of a picture the largest look may be, how many looks there may be, and pixels of a picture.
const WIDEST: usize = 4;
const MOST_LOOKS: usize = 10_000;
const MOST_PIXELS: u64 = 1 << 24;

impl ModelFolder for RecurrentAttentionModel {
    const MODEL_TYPE: &'static str = MODEL_TYPE;

    fn from_folder(folder: &Path, device: &Device) -> Result<Self> {
        let config: RecurrentAttentionConfig = read_config(folder, MODEL_TYPE)?;
        let model = Self::assemble(config, read_weights(folder)?, device)?;
        model.parameters.verify()?;
        Ok(model)
    }

    fn export(folder: &Path, into: &Path, how: &Export) -> Result<About> {
        let model = Self::from_folder(folder, &Device::Cpu)?;
        write_json(&into.join(CONFIG_FILE), &model.config)?;
        write_weights(into, model.parameters.tensors(), how.dtype)?;
        let RecurrentAttentionConfig { network, size, id2label, .. } = &model.config;
        let (looks, patch, scales, classes) = (model.config.looks(), network.patch, network.scales, id2label.len());
        Ok(About {
            kind: "A recurrent attention model",
            made_of: format!(
                "{looks} looks of {patch}×{patch} pixels at {scales} scales into a core of {} ({} units) tell {classes} classes apart.",
                network.cell, network.hidden_size
            ),
            limits: format!(
                "It looks at grey pictures of {}×{} pixels, light on dark, and takes each for one of its classes.",
                size.0, size.1
            ),
            pipeline_tag: "image-classification",
            tags: vec!["image-classification".into(), "recurrent-attention".into(), "candle".into()],
            commands: vec!["candlewick glimpse picture.png --model MODEL"],
            code: "let model = RecurrentAttentionModel::from_pretrained(\"MODEL\".as_ref(), &Device::Cpu)?;\n\
                   let told = model.classify(&[picture], 1, 0)?;",
        })
    }
}
