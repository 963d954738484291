//! What a network draws, step by step, and how well it tells a picture.

use image::RgbImage;

/// A drawing.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Drawing {
    /// The canvas after each step.
    pub steps: Vec<DrawnStep>,
    /// How well the picture is told that is drawn again; nothing of one that is drawn anew.
    pub bound: Option<Bound>,
}

/// The canvas after a step.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DrawnStep {
    /// The mean of each pixel, black to white.
    pub picture: RgbImage,
    /// Where was written, where a grid decides it.
    pub written: Option<GridBox>,
}

/// A grid from its first point to its last, in pixels from the upper left corner; it may reach beyond the picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GridBox {
    /// The left edge.
    pub left: f32,
    /// The upper edge.
    pub top: f32,
    /// Width and height.
    pub side: f32,
}

/// An upper bound of −log p(x), in nats.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Bound {
    /// The bound: of one sample −log p(x | z) + Σ KL, of K weighted ones −log (1/K) Σ p(x, z) / q(z | x) (Burda et al. 2016).
    pub nats: f64,
    /// −log p(x | z), the mean of the samples.
    pub likelihood: f64,
    /// KL(q(z_t | x) ‖ N(0, 1)) of each step, the mean of the samples.
    pub kl: Vec<f64>,
}
