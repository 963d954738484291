//! The network: what and where of a look, the core, the next location, the classes and the baseline.

use super::config::{FirstLook, GlimpseNetworkConfig};
use super::retina::{Retina, Seen};
use candle_core::{D, DType, Device, Module, Result, Tensor};
use candlewick_kernels::activation::{relu, tanh};
use candlewick_parameters::{Mode, Rng, VarBuilder};
use candlewick_recurrent::{Cell, Linear, recurrent_cell};

/// Mnih et al. 2014, section 3.
pub(super) struct GlimpseNetwork {
    pub retina: Retina,
    looks: usize,
    std: f64,
    first: FirstLook,
    what: [Linear; 2],
    place: [Linear; 2],
    core: Box<dyn Cell>,
    /// The hidden layer before a location, and tanh's argument.
    location: [Linear; 2],
    baseline: Linear,
    classes: Linear,
}

/// A series of looks at pictures.
pub(super) struct LookThrough {
    /// Where each look went, (N, 2) each.
    pub locations: Vec<Tensor>,
    /// What was seen, (N, k·s·s) each.
    pub patches: Vec<Tensor>,
    /// h after each look, (N, H) each.
    pub hidden: Vec<Tensor>,
    /// What drawn locations are taught by; nothing in evaluation, which draws none.
    pub drawn: Option<Drawn>,
}

/// Of the locations of all looks but the first, (N, T − 1) each.
pub(super) struct Drawn {
    /// log p(l_t).
    pub log_probability: Tensor,
    /// b_t, what the network expects to come of it.
    pub baseline: Tensor,
}

impl GlimpseNetwork {
    /// A network that looks `config.looks` times for each of `labels` labels and tells so many classes apart.
    pub fn new(classes: usize, labels: usize, config: &GlimpseNetworkConfig, vb: VarBuilder) -> Result<Self> {
        let retina = Retina { patch: config.patch, scales: config.scales };
        let (what, place, glimpse) = (config.what_size, config.where_size, config.glimpse_size);
        let (hidden, location) = (config.hidden_size, config.location_size);
        let settings = config.cell_settings();
        Ok(Self {
            retina,
            looks: config.looks * labels,
            std: config.std,
            first: config.first,
            what: [
                Linear::new(config.scales * config.patch * config.patch, what, vb.pp("what").pp("0"))?,
                Linear::new(what, glimpse, vb.pp("what").pp("1"))?,
            ],
            place: [
                Linear::new(2, place, vb.pp("where").pp("0"))?,
                Linear::new(place, glimpse, vb.pp("where").pp("1"))?,
            ],
            core: recurrent_cell(&config.cell, glimpse, hidden, &settings, vb.pp("core"))?,
            location: [
                Linear::new(hidden, location, vb.pp("location").pp("0"))?,
                Linear::new(location, 2, vb.pp("location").pp("1"))?,
            ],
            baseline: Linear::new(hidden, 1, vb.pp("baseline"))?,
            classes: Linear::new(hidden, classes, vb.pp("classes"))?,
        })
    }

    /// Where the first look goes, (count, 2).
    pub fn first(&self, count: usize, rng: &mut Rng, device: &Device) -> Result<Tensor> {
        match self.first {
            FirstLook::Drawn => rng.uniform_tensor(-1.0, 1.0, (count, 2), device),
            FirstLook::Centre => Tensor::zeros((count, 2), DType::F32, device),
        }
    }

    /// Looks at pictures, from a first location on; while it learns the others are drawn around their means.
    pub fn look(&self, pictures: &Seen, first: &Tensor, mode: &mut Mode) -> Result<LookThrough> {
        let mut state = self.core.zero_state(pictures.count()?, first.dtype(), pictures.device())?;
        let mut location = first.detach();
        let (mut locations, mut patches, mut hidden) = (Vec::new(), Vec::new(), Vec::new());
        let (mut log_probabilities, mut baselines) = (Vec::new(), Vec::new());
        for look in 1..=self.looks {
            let patch = pictures.patches(&location)?;
            state = self.core.fused_step(&self.glimpse(&patch, &location)?, &state)?;
            let h = state[0].clone();
            locations.push(location.clone());
            patches.push(patch);
            if look < self.looks {
                let mean = tanh(&self.location[1].forward(&relu(&self.location[0].forward(&h)?)?)?)?;
                location = match mode {
                    Mode::Train(rng) => {
                        let noise = rng.normal_tensor(0.0, self.std, mean.dims(), mean.device())?;
                        let drawn = (mean.detach() + noise)?;
                        log_probabilities.push(log_probability(&drawn, &mean, self.std)?);
                        // What is expected takes from h and gives it nothing.
                        baselines.push(self.baseline.forward(&h.detach())?);
                        drawn.clamp(-1.0, 1.0)?
                    }
                    Mode::Eval => mean.detach(),
                };
            }
            hidden.push(h);
        }
        let drawn = match log_probabilities.is_empty() {
            true => None,
            false => Some(Drawn {
                log_probability: Tensor::cat(&log_probabilities, 1)?,
                baseline: Tensor::cat(&baselines, 1)?,
            }),
        };
        Ok(LookThrough { locations, patches, hidden, drawn })
    }

    /// The logits of the classes, (N, K), from h.
    pub fn logits(&self, hidden: &Tensor) -> Result<Tensor> {
        self.classes.forward(hidden)
    }

    /// g = relu(W relu(W_what patch) + W' relu(W_where l)).
    fn glimpse(&self, patch: &Tensor, location: &Tensor) -> Result<Tensor> {
        let what = self.what[1].forward(&relu(&self.what[0].forward(patch)?)?)?;
        let place = self.place[1].forward(&relu(&self.place[0].forward(location)?)?)?;
        relu(&(what + place)?)
    }
}

/// log N(l; μ, σ²) of both coordinates, (N, 1), from those that were drawn and their means, (N, 2) each.
fn log_probability(drawn: &Tensor, mean: &Tensor, std: f64) -> Result<Tensor> {
    let constant = 2.0 * (std * std::f64::consts::TAU.sqrt()).ln();
    let distance = (drawn - mean)?.sqr()?.sum_keepdim(D::Minus1)?;
    distance.affine(-0.5 / (std * std), -constant)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_probability_of_a_location_is_that_of_the_normal_distribution() {
        let [drawn, mean] = [[[0.3f32, -0.2]], [[0.1, 0.2]]].map(|row| Tensor::new(&row, &Device::Cpu).unwrap());
        let found = log_probability(&drawn, &mean, 0.25).unwrap().to_vec2::<f32>().unwrap()[0][0];
        // ln N(0.2; 0, 1/16) + ln N(0.4; 0, 1/16).
        let density = |x: f64| (-8.0 * x * x).exp() * 4.0 / std::f64::consts::TAU.sqrt();
        assert!((f64::from(found) - (density(0.2) * density(0.4)).ln()).abs() < 1e-5, "{found}");
    }
}
