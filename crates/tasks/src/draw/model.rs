//! From nothing, or from a picture, to a drawing.

use super::config::{DrawConfig, MODEL_TYPE};
use super::drawing::{Bound, Drawing, DrawnStep};
use super::network::{DrawNetwork, Drawn};
use super::pictures::Pictures;
use crate::{Error, Result};
use candle_core::{Device, Tensor};
use candlewick_kernels::activation::sigmoid;
use candlewick_kernels::device::upload;
use candlewick_parameters::{Parameters, Rng, SafetensorsFile};
use candlewick_training::model_folder::{CONFIG_FILE, parse_config, read_config, read_weights, write_json};
use candlewick_training::{About, Export, MODEL_FILE, ModelFolder, write_weights};
use image::{Rgb, RgbImage};
use std::path::Path;

/// Drawings that are made together.
const TOGETHER: usize = 128;

/// How many steps a drawing may have, and pixels a canvas.
const MOST_STEPS: usize = 10_000;
const MOST_PIXELS: u64 = 1 << 22;

/// Draws pictures step by step.
///
/// ```no_run
/// use candle_core::Device;
/// use candlewick_tasks::draw::Draw;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let model = Draw::from_pretrained("runs/draw".as_ref(), &Device::Cpu)?;
/// for drawing in model.draw(16, 0)? {
///     let last = drawing.steps.last().ok_or("no steps")?;
///     last.picture.save("digit.png")?;
/// }
/// # Ok(())
/// # }
/// ```
pub struct Draw {
    pub(super) config: DrawConfig,
    pub(super) network: DrawNetwork,
    pub(super) parameters: Parameters,
    device: Device,
}

/// The content of a model folder's files, for a program that carries a model in itself.
#[derive(Clone, Copy, Debug)]
pub struct EmbeddedFiles<'a> {
    /// `config.json`.
    pub config: &'a str,
    /// `model.safetensors`.
    pub model: &'a [u8],
}

impl Draw {
    /// A model with fresh initial values drawn from `seed`, to be trained.
    ///
    /// # Errors
    /// When there is no step, or a grid has more points than the canvas pixels.
    pub fn init(config: DrawConfig, seed: u64, device: &Device) -> Result<Self> {
        Self::assemble(config, Parameters::new(seed), device)
    }

    /// Opens a model folder, or the best checkpoint of a run's folder.
    ///
    /// # Errors
    /// One line that names the file and the fault.
    pub fn from_pretrained(folder: &Path, device: &Device) -> Result<Self> {
        Self::open_folder(folder, device)
    }

    /// The model of files that lie in memory.
    ///
    /// # Errors
    /// When they do not fit together.
    pub fn embedded(files: &EmbeddedFiles<'_>, device: &Device) -> Result<Self> {
        let config = parse_config(CONFIG_FILE.as_ref(), files.config, MODEL_TYPE)?;
        let parameters = Parameters::from_file(SafetensorsFile::from_bytes(MODEL_FILE, files.model.to_vec())?);
        parameters.freeze("");
        Self::trained(config, parameters, device)
    }

    fn trained(config: DrawConfig, parameters: Parameters, device: &Device) -> Result<Self> {
        let model = Self::assemble(config, parameters, device)?;
        model.parameters.verify()?;
        Ok(model)
    }

    fn assemble(config: DrawConfig, parameters: Parameters, device: &Device) -> Result<Self> {
        let ((height, width), network) = (config.size, &config.network);
        if network.steps == 0 || network.hidden_size == 0 || network.latent_size == 0 || height == 0 || width == 0 {
            return Err(Error::Setting(
                "steps, hidden_size, latent_size and the pictures' sides are at least 1".into(),
            ));
        }
        if u64::from(height) * u64::from(width) > MOST_PIXELS || network.steps > MOST_STEPS {
            let fault =
                format!("more than {MOST_STEPS} steps, or pictures of more than {MOST_PIXELS} pixels; make them fewer");
            return Err(Error::Setting(fault));
        }
        for (name, points) in [("read", network.read), ("write", network.write)] {
            if network.attention && (points == 0 || points > height.min(width) as usize) {
                let fault = format!("{name} is {points}: wanted 1 point to the {height}×{width} pixels of the canvas");
                return Err(Error::Setting(fault));
            }
        }
        let built = DrawNetwork::new(network, (height as usize, width as usize), parameters.builder(device))?;
        Ok(Self { config, network: built, parameters, device: device.clone() })
    }

    /// Draws pictures anew; each depends on the seed and its number alone.
    ///
    /// # Errors
    /// When an operation fails.
    pub fn draw(&self, count: usize, seed: u64) -> Result<Vec<Drawing>> {
        let numbers: Vec<usize> = (0..count).collect();
        let mut drawings = Vec::with_capacity(count);
        for numbers in numbers.chunks(TOGETHER) {
            let drawn = self.network.anew(numbers.len(), &mut self.noise(numbers, ("draw", seed))?, true)?;
            drawings.extend(self.drawings(&drawn)?);
        }
        Ok(drawings)
    }

    /// Draws pictures again, of the model's size.
    ///
    /// # Errors
    /// When they are of another size.
    pub fn draw_like(&self, pictures: &Pictures, seed: u64) -> Result<Vec<Drawing>> {
        self.check(pictures)?;
        let rows: Vec<usize> = (0..pictures.len()).collect();
        let mut drawings = Vec::with_capacity(rows.len());
        for rows in rows.chunks(TOGETHER) {
            let batch = upload(&pictures.batch(rows, (seed, 0))?.pictures, &self.device)?;
            let drawn = self.network.again(&batch, &mut self.noise(rows, ("bound", seed))?, true)?;
            let mut told = vec![Told::default(); rows.len()];
            self.tell(&batch, &drawn, &mut told)?;
            let bounds = told.iter().map(|told| Some(told.bound()));
            let drawn = self.drawings(&drawn)?.into_iter().zip(bounds);
            drawings.extend(drawn.map(|(drawing, bound)| Drawing { bound, ..drawing }));
        }
        Ok(drawings)
    }

    /// How well each picture is told: an upper bound of −log p(x) from `samples` draws of z.
    ///
    /// # Errors
    /// When the pictures are of another size than the model's, there is no sample, or the bound is no number.
    pub fn bound(&self, pictures: &Pictures, samples: usize, seed: u64) -> Result<Vec<Bound>> {
        let rows: Vec<usize> = (0..pictures.len()).collect();
        let mut bounds = Vec::with_capacity(rows.len());
        for rows in rows.chunks(TOGETHER) {
            bounds.extend(self.bound_of(pictures, rows, (samples, seed))?);
        }
        Ok(bounds)
    }

    /// The bounds of the pictures in these rows.
    pub(super) fn bound_of(
        &self,
        pictures: &Pictures,
        rows: &[usize],
        (samples, seed): (usize, u64),
    ) -> Result<Vec<Bound>> {
        self.check(pictures)?;
        if samples == 0 {
            return Err(Error::Setting("samples is 0; one is the least".into()));
        }
        let batch = upload(&pictures.batch(rows, (seed, 0))?.pictures, &self.device)?;
        let mut told = vec![Told::default(); rows.len()];
        for sample in 0..samples {
            let numbers: Vec<usize> = rows.iter().map(|row| row * samples + sample).collect();
            let drawn = self.network.again(&batch, &mut self.noise(&numbers, ("bound", seed))?, false)?;
            self.tell(&batch, &drawn, &mut told)?;
        }
        let bounds: Vec<Bound> = told.iter().map(Told::bound).collect();
        match bounds.iter().all(|bound| bound.nats.is_finite()) {
            true => Ok(bounds),
            false => Err(Error::NotNumbers("the bound holds NaN or an infinity; the weights are broken".into())),
        }
    }

    /// Adds what one sample tells of each picture.
    fn tell(&self, pictures: &Tensor, drawn: &Drawn, told: &mut [Told]) -> Result<()> {
        let nats = self.network.likelihood.nats(pictures, &drawn.canvas)?.to_vec1::<f32>()?;
        let steps = |values: &[Tensor]| -> Result<Vec<Vec<f32>>> { Ok(Tensor::stack(values, 1)?.to_vec2::<f32>()?) };
        let (kl, ratios) = (steps(&drawn.kl)?, steps(&drawn.log_ratio)?);
        for (((told, nats), kl), ratios) in told.iter_mut().zip(nats).zip(kl).zip(ratios) {
            told.add(f64::from(nats), &kl, &ratios);
        }
        Ok(())
    }

    fn check(&self, pictures: &Pictures) -> Result<()> {
        let (found, wanted) = (pictures.size(), self.config.size);
        match found == wanted {
            true => Ok(()),
            false => Err(Error::Setting(format!(
                "pictures are {}×{} pixels; the model draws {}×{}",
                found.0, found.1, wanted.0, wanted.1
            ))),
        }
    }

    /// Standard normal numbers for each step, those of a row by its number alone.
    fn noise(
        &self,
        numbers: &[usize],
        (purpose, seed): (&'static str, u64),
    ) -> Result<impl FnMut(usize) -> candle_core::Result<Tensor> + use<'_>> {
        let latent = self.network.latent_size();
        let mut rngs: Vec<Rng> = numbers.iter().map(|&number| Rng::derive(seed, purpose, number as u64)).collect();
        Ok(move |_| {
            let rows = rngs.iter_mut().map(|rng| rng.normal_tensor(0.0, 1.0, (1, latent), &Device::Cpu));
            Tensor::cat(&rows.collect::<candle_core::Result<Vec<_>>>()?, 0)?.to_device(&self.device)
        })
    }

    /// Every step of every drawing.
    fn drawings(&self, drawn: &Drawn) -> Result<Vec<Drawing>> {
        let mut drawings: Vec<Drawing> = Vec::new();
        for (canvas, boxes) in &drawn.kept {
            let pictures = shown(canvas)?;
            drawings.resize_with(pictures.len(), || Drawing { steps: Vec::new(), bound: None });
            for (row, (drawing, picture)) in drawings.iter_mut().zip(pictures).enumerate() {
                let written = boxes.as_ref().and_then(|boxes| boxes.get(row)).copied();
                drawing.steps.push(DrawnStep { picture, written });
            }
        }
        Ok(drawings)
    }

    /// What it is made of.
    pub fn config(&self) -> &DrawConfig {
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

/// The means σ(c) of canvases (N, C, h, w) as pictures.
fn shown(canvas: &Tensor) -> Result<Vec<RgbImage>> {
    let (_, channels, height, width) = canvas.dims4()?;
    let values = (sigmoid(canvas)? * 255.0)?.flatten_from(1)?.to_vec2::<f32>()?;
    if values.iter().flatten().any(|value| !value.is_finite()) {
        return Err(Error::NotNumbers("the canvas holds NaN; the weights are broken".into()));
    }
    let picture = |values: &Vec<f32>| {
        let area = height * width;
        RgbImage::from_fn(width as u32, height as u32, |x, y| {
            let at = y as usize * width + x as usize;
            Rgb([0, 1, 2].map(|channel| values[(channel % channels) * area + at].round() as u8))
        })
    };
    Ok(values.iter().map(picture).collect())
}

/// What the samples of one picture tell.
#[derive(Clone, Debug, Default)]
struct Told {
    /// log p(x, z) − log q(z | x) of each sample.
    log_weights: Vec<f64>,
    nats: f64,
    kl: Vec<f64>,
}

impl Told {
    fn add(&mut self, nats: f64, kl: &[f32], ratios: &[f32]) {
        self.log_weights.push(ratios.iter().copied().map(f64::from).sum::<f64>() - nats);
        self.nats += nats;
        self.kl.resize(kl.len(), 0.0);
        self.kl.iter_mut().zip(kl).for_each(|(sum, kl)| *sum += f64::from(*kl));
    }

    fn bound(&self) -> Bound {
        let count = self.log_weights.len().max(1) as f64;
        let (likelihood, kl) = (self.nats / count, self.kl.iter().map(|kl| kl / count).collect::<Vec<_>>());
        let nats = match self.log_weights.as_slice() {
            // Of one sample KL is known better than by the sample.
            [_] => likelihood + kl.iter().sum::<f64>(),
            weights => {
                let largest = weights.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = weights.iter().map(|weight| (weight - largest).exp()).sum();
                -(largest + (sum / count).ln())
            }
        };
        Bound { nats, likelihood, kl }
    }
}

impl ModelFolder for Draw {
    const MODEL_TYPE: &'static str = MODEL_TYPE;

    fn from_folder(folder: &Path, device: &Device) -> Result<Self> {
        Self::trained(read_config(folder, MODEL_TYPE)?, read_weights(folder)?, device)
    }

    fn export(folder: &Path, into: &Path, how: &Export) -> Result<About> {
        let model = Self::from_folder(folder, &Device::Cpu)?;
        write_json(&into.join(CONFIG_FILE), &model.config)?;
        write_weights(into, model.parameters.tensors(), how.dtype)?;
        let DrawConfig { network, size, .. } = &model.config;
        let how = if network.attention { "by a grid" } else { "on the whole canvas" };
        Ok(About {
            kind: "A DRAW network",
            made_of: format!(
                "{} steps of {} ({} units) draw pictures of {}×{} pixels {how}, from {} numbers a step.",
                network.steps, network.cell, network.hidden_size, size.0, size.1, network.latent_size
            ),
            limits: "It draws what is like the pictures that it learned from, and nothing else.".into(),
            pipeline_tag: "unconditional-image-generation",
            tags: vec!["unconditional-image-generation".into(), "draw".into(), "candle".into()],
            commands: vec!["candlewick draw --model MODEL"],
            code: "let model = Draw::from_pretrained(\"MODEL\".as_ref(), &Device::Cpu)?;\n\
                   let drawings = model.draw(16, 0)?;",
        })
    }
}
