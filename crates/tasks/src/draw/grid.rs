//! Where a grid lies, from a hidden state (Gregor et al. 2015, equations 19 to 24).
//!
//! (g̃_X, g̃_Y, log σ², log δ̃, log γ) = W h;  g_X = (w − 1)/2 · (g̃_X + 1),  g_Y = (h − 1)/2 · (g̃_Y + 1),
//! δ = (max(w, h) − 1)/(K − 1) · δ̃, so that at 0 the grid lies over the whole picture.
//!
//! A fresh layer begins with a grid over the middle half, each filter half a stride wide. With biases of 0 a grid of 2 × 2 points would begin in the
//! corners, where it reads nothing to learn from.

use super::drawing::GridBox;
use candle_core::{Module, Result, Tensor};
use candlewick_kernels::gaussian_grid::filters;
use candlewick_parameters::{Initial, ParameterBuilder, VarBuilder};
use candlewick_recurrent::Linear;

/// The layer that says where a grid lies.
pub(super) struct GridLayer {
    linear: Linear,
    points: usize,
    /// Height and width of the picture.
    size: (usize, usize),
}

/// Grids on N pictures.
pub(super) struct Grid {
    /// F_Y (N, K, h).
    pub rows: Tensor,
    /// F_X (N, K, w).
    pub columns: Tensor,
    /// γ, (N, 1, 1, 1).
    pub intensity: Tensor,
    /// g_X, g_Y and δ, (N) each, in pixels.
    place: [Tensor; 3],
    points: usize,
}

/// How far the logarithms of variance, stride and intensity may lie from 0: an exponential beyond is of no use and soon no number.
const MOST: f64 = 8.0;

/// The stride of a grid over the whole picture, in pixels; half a pixel at least, for pictures of one.
fn apart(points: usize, (height, width): (usize, usize)) -> f64 {
    ((width.max(height) - 1) as f64 / (points.max(2) - 1) as f64).max(0.5)
}

impl GridLayer {
    pub fn new(hidden: usize, points: usize, size: (usize, usize), vb: VarBuilder) -> Result<Self> {
        let half = -std::f64::consts::LN_2;
        let log_std = (apart(points, size) / 4.0).ln();
        let initial = [0.0, 0.0, 2.0 * log_std, half, 0.0].map(Initial::Constant);
        let weight = vb.parameter((5, hidden), "weight", Initial::fan_in(hidden))?;
        let bias = vb.parameter(5, "bias", Initial::Blocks(initial.to_vec()))?;
        Ok(Self { linear: Linear::from_tensors(weight, Some(bias)), points, size })
    }

    pub fn forward(&self, hidden: &Tensor) -> Result<Grid> {
        let values = self.linear.forward(hidden)?;
        let column = |at: usize| values.narrow(1, at, 1)?.squeeze(1)?.contiguous();
        let (height, width) = self.size;
        let centre = |at: usize, size: usize| {
            let half = (size - 1) as f64 / 2.0;
            column(at)?.affine(half, half)
        };
        let exponential = |at: usize| column(at)?.clamp(-MOST, MOST)?.exp();
        let (x, y, variance) = (centre(0, width)?, centre(1, height)?, exponential(2)?);
        let stride = (exponential(3)? * apart(self.points, self.size))?;
        let intensity = exponential(4)?.reshape(((), 1, 1, 1))?;
        let rows = filters(&y, &stride, &variance, self.points, height)?;
        let columns = filters(&x, &stride, &variance, self.points, width)?;
        Ok(Grid { rows, columns, intensity, place: [x, y, stride], points: self.points })
    }
}

impl Grid {
    /// Where each picture's grid lies, from its first point to its last.
    pub fn boxes(&self) -> Result<Vec<GridBox>> {
        let [x, y, stride] = &self.place;
        let (x, y, stride) = (x.to_vec1::<f32>()?, y.to_vec1::<f32>()?, stride.to_vec1::<f32>()?);
        let boxed = |((x, y), stride): ((f32, f32), f32)| {
            let side = stride * (self.points - 1) as f32;
            // A pixel's middle lies half a pixel from its edge.
            GridBox { left: x - side / 2.0 + 0.5, top: y - side / 2.0 + 0.5, side }
        };
        Ok(x.into_iter().zip(y).zip(stride).map(boxed).collect())
    }
}
