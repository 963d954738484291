//! How a scene looks.

use super::{Kind, SIZE, Scene, Shape};
use candlewick_parameters::Rng;
use image::{Rgb, RgbImage};

/// The colours in the order of their words.
pub(super) const PAINTS: [[f32; 3]; 7] = [
    [220.0, 50.0, 47.0],
    [245.0, 140.0, 30.0],
    [250.0, 220.0, 60.0],
    [60.0, 180.0, 75.0],
    [50.0, 110.0, 230.0],
    [165.0, 75.0, 205.0],
    [242.0, 242.0, 242.0],
];

/// Points along each side of a pixel at which it is asked whether it is covered.
const SAMPLES: usize = 4;

impl Scene {
    /// The picture, 64×64 pixels: the shapes with soft edges on a dark grey ground that slopes a little and has some noise.
    pub fn draw(&self) -> RgbImage {
        let mut rng = Rng::derive(self.ground, "ground", 0);
        let tone = 38.0 + 26.0 * rng.uniform();
        let slope = [24.0 * (rng.uniform() - 0.5), 24.0 * (rng.uniform() - 0.5)];
        let paints: Vec<[f32; 3]> = self.shapes.iter().map(|shape| paint(shape, &mut rng)).collect();
        RgbImage::from_fn(SIZE, SIZE, |x, y| {
            let at = |x: u32| x as f32 / SIZE as f32 - 0.5;
            let grey = tone + slope[0] * at(x) + slope[1] * at(y) + 8.0 * (rng.uniform() - 0.5);
            let mut colour = [grey; 3];
            for (shape, paint) in self.shapes.iter().zip(&paints) {
                let cover = coverage(shape, x, y);
                for (to, from) in colour.iter_mut().zip(paint) {
                    *to += cover * (from - *to);
                }
            }
            Rgb(colour.map(|value| value.round().clamp(0.0, 255.0) as u8))
        })
    }
}

/// The shape's colour, a little lighter or darker than its word says.
fn paint(shape: &Shape, rng: &mut Rng) -> [f32; 3] {
    let light = 0.94 + 0.12 * rng.uniform();
    PAINTS.get(shape.colour).copied().unwrap_or_default().map(|value| value * light)
}

/// The share of the pixel that the shape covers.
fn coverage(shape: &Shape, x: u32, y: u32) -> f32 {
    let bounds = shape.bounds;
    if !(bounds.x0..bounds.x1).contains(&x) || !(bounds.y0..bounds.y1).contains(&y) {
        return 0.0;
    }
    let (width, height) = ((bounds.x1 - bounds.x0) as f32, (bounds.y1 - bounds.y0) as f32);
    let inside = |index: usize| {
        let offset = |part: usize| (part as f32 + 0.5) / SAMPLES as f32;
        let u = ((x - bounds.x0) as f32 + offset(index % SAMPLES)) / width;
        let v = ((y - bounds.y0) as f32 + offset(index / SAMPLES)) / height;
        covers(shape.kind, 2.0 * u - 1.0, 2.0 * v - 1.0)
    };
    (0..SAMPLES * SAMPLES).filter(|&index| inside(index)).count() as f32 / (SAMPLES * SAMPLES) as f32
}

/// Whether the point (u, v) of the box [−1, 1]², v downwards, lies in the shape.
fn covers(kind: Kind, u: f32, v: f32) -> bool {
    match kind {
        Kind::Circle => u * u + v * v <= 1.0,
        // Its sides are shorter than a circle's diameter, so that both look equally large.
        Kind::Square => u.abs().max(v.abs()) <= 0.92,
        Kind::Triangle => 2.0 * u.abs() <= v + 1.0,
        Kind::Star => star(u, v),
    }
}

/// A star of five points, one upwards, that touches all sides of the box.
fn star(u: f32, v: f32) -> bool {
    use std::f32::consts::PI;
    // Five points of radius 1 reach from −1 to cos 36° in height and to ± sin 72° in width.
    let (lowest, widest) = ((PI / 5.0).cos(), (2.0 * PI / 5.0).sin());
    let (x, y) = (u * widest, (v + 1.0) / 2.0 * (1.0 + lowest) - 1.0);
    // Seen from the centre, every point looks the same: the angle is taken to the nearest one.
    let angle = x.atan2(-y).rem_euclid(2.0 * PI / 5.0);
    let from_point = angle.min(2.0 * PI / 5.0 - angle);
    let radius = x.hypot(y);
    let (along, across) = (radius * from_point.cos(), radius * from_point.sin());
    // The edge runs from the point (1, 0) to the notch at radius `NOTCH` and 36°.
    const NOTCH: f32 = 0.47;
    let (notch_along, notch_across) = (NOTCH * (PI / 5.0).cos(), NOTCH * (PI / 5.0).sin());
    across * (1.0 - notch_along) <= (1.0 - along) * notch_across
}
