//! The network: encoder and decoder, what is read and written, and z between them.

use super::config::DrawNetworkConfig;
use super::drawing::GridBox;
use super::grid::{Grid, GridLayer};
use super::likelihood::PixelLikelihood;
use candle_core::{D, Module, Result, Tensor};
use candlewick_kernels::activation::sigmoid;
use candlewick_kernels::gaussian_grid;
use candlewick_parameters::{Initial, ParameterBuilder, VarBuilder};
use candlewick_recurrent::{Cell, Linear, Settings, recurrent_cell};

/// Gregor et al. 2015, sections 2 and 3.
pub(super) struct DrawNetwork {
    pub likelihood: PixelLikelihood,
    steps: usize,
    latent: usize,
    encoder: Box<dyn Cell>,
    decoder: Box<dyn Cell>,
    mean: Linear,
    log_std: Linear,
    read: Option<GridLayer>,
    write: Option<GridLayer>,
    /// What is written, as far as the grid that writes reaches, or on the whole canvas.
    patch: Linear,
    /// (C, K, K), or (C, h, w).
    patch_size: (usize, usize, usize),
    /// c_0, (1, C, h, w).
    canvas: Tensor,
}

/// N drawings.
pub(super) struct Drawn {
    /// c_T, (N, C, h, w).
    pub canvas: Tensor,
    /// Of each step KL(q(z_t | x) ‖ N(0, 1)), (N); none of drawings without a picture.
    pub kl: Vec<Tensor>,
    /// Of each step log N(z_t; 0, 1) − log q(z_t | x), (N).
    pub log_ratio: Vec<Tensor>,
    /// Where they were kept, c_t and the grids that wrote, step by step.
    pub kept: Vec<(Tensor, Option<Vec<GridBox>>)>,
}

/// Where z_t comes from: standard normal numbers (N, z) for each step.
pub(super) type Noise<'a> = &'a mut dyn FnMut(usize) -> Result<Tensor>;

/// z_t of a picture.
struct Latent {
    z: Tensor,
    kl: Tensor,
    log_ratio: Tensor,
}

impl DrawNetwork {
    pub fn new(config: &DrawNetworkConfig, (height, width): (usize, usize), vb: VarBuilder) -> Result<Self> {
        let &DrawNetworkConfig { hidden_size: hidden, latent_size: latent, steps, .. } = config;
        let channels = config.likelihood.channels();
        let grid = |points: usize, name: &str| match config.attention {
            true => Some(GridLayer::new(hidden, points, (height, width), vb.pp(name))).transpose(),
            false => Ok(None),
        };
        let sides =
            |points: usize| if config.attention { (channels, points, points) } else { (channels, height, width) };
        let (seen, patch_size) = (sides(config.read), sides(config.write));
        let seen = 2 * seen.0 * seen.1 * seen.2;
        let settings = Settings::default();
        Ok(Self {
            likelihood: PixelLikelihood::new(config.likelihood, vb.clone())?,
            steps,
            latent,
            encoder: recurrent_cell(&config.cell, seen + hidden, hidden, &settings, vb.pp("encoder"))?,
            decoder: recurrent_cell(&config.cell, latent, hidden, &settings, vb.pp("decoder"))?,
            mean: Linear::new(hidden, latent, vb.pp("mean"))?,
            log_std: Linear::new(hidden, latent, vb.pp("log_std"))?,
            read: grid(config.read, "read")?,
            write: grid(config.write, "write")?,
            patch: Linear::new(hidden, patch_size.0 * patch_size.1 * patch_size.2, vb.pp("patch"))?,
            patch_size,
            canvas: vb.parameter((1, channels, height, width), "canvas", Initial::Constant(0.0))?,
        })
    }

    /// The size of z.
    pub fn latent_size(&self) -> usize {
        self.latent
    }

    /// Draws pictures (N, C, h, w) again.
    pub fn again(&self, pictures: &Tensor, noise: Noise, keep: bool) -> Result<Drawn> {
        self.draw(pictures.dim(0)?, Some(pictures), noise, keep)
    }

    /// Draws `count` pictures anew.
    pub fn anew(&self, count: usize, noise: Noise, keep: bool) -> Result<Drawn> {
        self.draw(count, None, noise, keep)
    }

    fn draw(&self, count: usize, pictures: Option<&Tensor>, noise: Noise, keep: bool) -> Result<Drawn> {
        let (dtype, device) = (self.canvas.dtype(), self.canvas.device());
        let (_, channels, height, width) = self.canvas.dims4()?;
        let mut canvas = self.canvas.broadcast_as((count, channels, height, width))?.contiguous()?;
        let mut encoder = self.encoder.zero_state(count, dtype, device)?;
        let mut decoder = self.decoder.zero_state(count, dtype, device)?;
        let (mut kl, mut log_ratio, mut kept) = (Vec::new(), Vec::new(), Vec::new());
        for step in 0..self.steps {
            let noise = noise(step)?;
            let z = match pictures {
                None => noise,
                Some(pictures) => {
                    let seen = self.seen(pictures, &canvas, &decoder[0])?;
                    encoder = self.encoder.fused_step(&Tensor::cat(&[&seen, &decoder[0]], 1)?, &encoder)?;
                    let latent = self.latent(&encoder[0], &noise)?;
                    kl.push(latent.kl);
                    log_ratio.push(latent.log_ratio);
                    latent.z
                }
            };
            decoder = self.decoder.fused_step(&z, &decoder)?;
            let (written, grid) = self.written(&decoder[0])?;
            canvas = (canvas + written)?;
            if keep {
                kept.push((canvas.detach(), grid.map(|grid| grid.boxes()).transpose()?));
            }
        }
        Ok(Drawn { canvas, kl, log_ratio, kept })
    }

    /// read(x, x̂, h) = γ [F_Y x F_Xᵀ, F_Y x̂ F_Xᵀ], or [x, x̂], where x̂ = x − σ(c): (N, 2·C·K·K).
    fn seen(&self, pictures: &Tensor, canvas: &Tensor, hidden: &Tensor) -> Result<Tensor> {
        let drawn = sigmoid(canvas)?;
        let seen = match &self.read {
            None => Tensor::cat(&[pictures, &(pictures - drawn)?], 1)?,
            Some(layer) => {
                let Grid { rows, columns, intensity, .. } = layer.forward(hidden)?;
                // Patches are subtracted instead of maps.
                let [picture, drawn] = [pictures, &drawn].map(|map| gaussian_grid::read(map, &rows, &columns));
                let picture = picture?;
                Tensor::cat(&[&picture, &(&picture - drawn?)?], 1)?.broadcast_mul(&intensity)?
            }
        };
        seen.flatten_from(1)
    }

    /// write(h) = F_Yᵀ w F_X / γ, or w itself: (N, C, h, w), with the grid.
    fn written(&self, hidden: &Tensor) -> Result<(Tensor, Option<Grid>)> {
        let (channels, rows, columns) = self.patch_size;
        let patch = self.patch.forward(hidden)?.reshape((hidden.dim(0)?, channels, rows, columns))?;
        let Some(layer) = &self.write else { return Ok((patch, None)) };
        let grid = layer.forward(hidden)?;
        let patch = patch.broadcast_div(&grid.intensity)?;
        Ok((gaussian_grid::write(&patch, &grid.rows, &grid.columns)?, Some(grid)))
    }

    /// z = μ + σ ε with KL = Σ ½ (μ² + σ² − 1) − log σ and log N(z; 0, 1) − log q(z) = Σ ½ (ε² − z²) + log σ.
    fn latent(&self, hidden: &Tensor, noise: &Tensor) -> Result<Latent> {
        let (mean, log_std) = (self.mean.forward(hidden)?, self.log_std.forward(hidden)?);
        let std = log_std.exp()?;
        let z = (&mean + (&std * noise)?)?;
        let halves = ((mean.sqr()? + std.sqr()?)? - 1.0)? * 0.5;
        let kl = (halves? - &log_std)?.sum(D::Minus1)?;
        let ratio = ((noise.sqr()? - z.detach().sqr()?)? * 0.5)?;
        let log_ratio = (ratio + log_std.detach())?.sum(D::Minus1)?;
        Ok(Latent { z, kl, log_ratio })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use candle_core::Device;
    use candlewick_parameters::{Parameters, Rng};
    use candlewick_testing::flat;

    /// What the encoder sees are the patches of the picture and of what is missing, x − σ(c).
    #[test]
    fn the_picture_and_what_is_missing_are_read() {
        let device = &Device::Cpu;
        let normal =
            |name: &str, shape: &[usize]| Rng::derive(1, name, 0).normal_tensor(0.0, 1.0, shape, device).unwrap();
        let [pictures, canvas] = ["pictures", "canvas"].map(|name| normal(name, &[2, 1, 7, 9]));
        let hidden = normal("hidden", &[2, 5]);
        let config = DrawNetworkConfig { hidden_size: 5, latent_size: 3, steps: 2, ..DrawNetworkConfig::default() };
        let network = DrawNetwork::new(&config, (7, 9), Parameters::new(1).builder(device)).unwrap();
        let Grid { rows, columns, intensity, .. } = network.read.as_ref().unwrap().forward(&hidden).unwrap();
        let missing = (&pictures - sigmoid(&canvas).unwrap()).unwrap();
        let both = Tensor::cat(&[&pictures, &missing], 1).unwrap();
        let wanted = gaussian_grid::read(&both, &rows, &columns).unwrap().broadcast_mul(&intensity).unwrap();
        let seen = network.seen(&pictures, &canvas, &hidden).unwrap();
        assert_eq!(seen.dims(), [2, 2 * config.read * config.read]);
        let near = flat(&seen).iter().zip(flat(&wanted)).all(|(seen, wanted)| (seen - wanted).abs() < 1e-5);
        assert!(near, "{seen} {wanted}");
    }
}
