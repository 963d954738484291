//! Log-mel frames: how much there is in bands that are as wide as the ear's, every 10 ms.
//!
//! With x a sound of F samples a second, N = window · F and S = hop · F, w Hann's window, and M the power of two from 2N on, frame t and band b are
//!
//! ```text
//! P_t[k] = |Σ_n x[tS + n] · w[n] · e^(−2πikn/M)|²,   w[n] = ½ − ½ cos(2πn/N),   n = 0 … N − 1
//! y_t[b] = ln max(10⁻¹⁰, Σ_k Λ_b(k · F/M) · P_t[k])
//! ```
//!
//! where Λ_b rises from 0 at f_b to 1 at f_{b+1} and falls to 0 at f_{b+2}, and f_0 … f_{B+1} lie evenly between `low` and `high` on the scale
//! mel(f) = 2595 · log₁₀(1 + f/700) (Stevens et al. 1937, in the form of O'Shaughnessy 1987, as HTK has it).

use super::fourier::power;
use super::wav::Sound;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::f64::consts::TAU;

/// The least energy that is told from silence.
const LEAST: f64 = 1e-10;

/// How a sound becomes frames.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogMel {
    /// The length of a frame in seconds.
    pub window: f64,
    /// From one frame's beginning to the next's in seconds.
    pub hop: f64,
    /// B, the number of bands.
    pub bands: usize,
    /// Where the lowest band begins, in Hz.
    pub low: f64,
    /// Where the highest band ends, in Hz; half the samples a second where it is left out.
    pub high: Option<f64>,
}

impl Default for LogMel {
    fn default() -> Self {
        Self { window: 0.025, hop: 0.010, bands: 40, low: 20.0, high: None }
    }
}

impl LogMel {
    /// The frames (T, B), frame after frame; T = 1 + ⌊(samples − N) / S⌋, and a sound shorter than N is filled up with silence.
    ///
    /// # Errors
    /// When frames are empty, or bands do not lie between 0 and half the samples a second or are too narrow for a frame of this length.
    pub fn frames(&self, sound: &Sound) -> Result<Vec<f32>> {
        let rate = f64::from(sound.rate);
        let (length, hop) = ((self.window * rate).round() as usize, (self.hop * rate).round() as usize);
        if length == 0 || hop == 0 || length > MOST_SAMPLES {
            let wanted = "wanted a window of a sample to 16 million, and a hop of one or more";
            return Err(Error::setting(format!(
                "window is {} s and hop {} s at {rate} Hz; {wanted}",
                self.window, self.hop
            )));
        }
        let points = (2 * length).next_power_of_two();
        let triangles = self.triangles(rate, points)?;
        let window: Vec<f64> = (0..length).map(|n| 0.5 - 0.5 * (TAU * n as f64 / length as f64).cos()).collect();
        let count = 1 + sound.samples.len().saturating_sub(length) / hop;
        let mut frames = Vec::with_capacity(count * self.bands);
        for frame in 0..count {
            let mut x = vec![0.0; points];
            let samples = sound.samples.iter().skip(frame * hop);
            for ((x, &sample), w) in x.iter_mut().zip(samples).zip(&window) {
                *x = f64::from(sample) * w;
            }
            let power = power(&x);
            frames.extend(triangles.iter().map(|triangle| triangle.energy(&power).max(LEAST).ln() as f32));
        }
        Ok(frames)
    }

    fn triangles(&self, rate: f64, points: usize) -> Result<Vec<Triangle>> {
        let high = self.high.unwrap_or(rate / 2.0);
        if self.bands == 0
            || self.bands > points
            || self.low.is_nan()
            || self.low < 0.0
            || self.low >= high
            || high > rate / 2.0
        {
            let wanted = format!("wanted one band or more, {points} at most, between 0 and {} Hz", rate / 2.0);
            return Err(Error::setting(format!("{} bands from {} to {high} Hz; {wanted}", self.bands, self.low)));
        }
        let (low, step) = (mel(self.low), (mel(high) - mel(self.low)) / (self.bands + 1) as f64);
        let corner = |index: usize| hertz(low + step * index as f64);
        let triangle = |band: usize| Triangle::new([corner(band), corner(band + 1), corner(band + 2)], rate, points);
        let triangles: Vec<Triangle> = (0..self.bands).map(triangle).collect();
        match triangles.iter().position(|triangle| triangle.weights.iter().all(|&weight| weight == 0.0)) {
            None => Ok(triangles),
            Some(band) => {
                let fault = format!(
                    "band {band} of {} is narrower than a frame of {} s can tell; take fewer bands or a longer window",
                    self.bands, self.window
                );
                Err(Error::setting(fault))
            }
        }
    }
}

/// More than any frame has.
const MOST_SAMPLES: usize = 1 << 24;

/// Λ_b: the weights of the points from `first` on.
struct Triangle {
    first: usize,
    weights: Vec<f64>,
}

impl Triangle {
    fn new([from, top, to]: [f64; 3], rate: f64, points: usize) -> Self {
        let frequency = |k: usize| k as f64 * rate / points as f64;
        let first = (from * points as f64 / rate).ceil() as usize;
        let inside = (first..=points / 2).map(frequency).take_while(|&f| f <= to);
        let weights = inside.map(|f| ((f - from) / (top - from)).min((to - f) / (to - top)).max(0.0)).collect();
        Self { first, weights }
    }

    fn energy(&self, power: &[f64]) -> f64 {
        self.weights.iter().zip(power.iter().skip(self.first)).map(|(weight, power)| weight * power).sum()
    }
}

fn mel(hertz: f64) -> f64 {
    2595.0 * (1.0 + hertz / 700.0).log10()
}

fn hertz(mel: f64) -> f64 {
    700.0 * (10f64.powf(mel / 2595.0) - 1.0)
}
