//! What is told of a picture, look by look.

use image::GrayImage;

/// What a picture shows.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Classified {
    /// Every look, in order.
    pub glimpses: Vec<Glimpse>,
    /// The likeliest class of each label, from left to right.
    pub labels: Vec<String>,
    /// How probable each class of each label is, in the classes' order.
    pub probabilities: Vec<Vec<f32>>,
}

/// A look.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Glimpse {
    /// The middle of the look, in pixels from the left edge.
    pub x: f32,
    /// The same from the upper edge.
    pub y: f32,
    /// What was seen at each scale, s × s pixels; scale j saw s·2ʲ pixels a side.
    pub scales: Vec<GrayImage>,
    /// How probable each class is after this look, in the classes' order.
    pub probabilities: Vec<f32>,
}

impl Glimpse {
    /// The side of what scale j saw, in the picture's pixels.
    pub fn side(&self, scale: usize) -> u32 {
        self.scales.get(scale).map_or(0, |patch| patch.width() << scale)
    }
}
