//! The Gaussian grid in candle's tensor operations: any type of float, any device.

use crate::softmax::softmax;
use candle_core::{D, Result, Tensor};

/// F (N, K, size).
pub fn filters(centre: &Tensor, stride: &Tensor, variance: &Tensor, points: usize, size: usize) -> Result<Tensor> {
    let (dtype, device) = (centre.dtype(), centre.device());
    let line =
        |values: Vec<f32>, shape: (usize, usize, usize)| Tensor::from_vec(values, shape, device)?.to_dtype(dtype);
    let middle = (points - 1) as f32 / 2.0;
    let steps = line((0..points).map(|point| point as f32 - middle).collect(), (1, points, 1))?;
    let pixels = line((0..size).map(|pixel| pixel as f32).collect(), (1, 1, size))?;
    let [centre, stride, variance] =
        [centre, stride, variance].map(|values| values.unsqueeze(1).and_then(|values| values.unsqueeze(1)));
    let means = stride?.broadcast_mul(&steps)?.broadcast_add(&centre?)?;
    let exponents = pixels.broadcast_sub(&means)?.sqr()?.broadcast_div(&(variance? * -2.0)?)?;
    softmax(&exponents, D::Minus1)
}

/// F_Y x F_Xᵀ.
pub fn read(xs: &Tensor, rows: &Tensor, columns: &Tensor) -> Result<Tensor> {
    let columns = columns.transpose(1, 2)?.unsqueeze(1)?;
    rows.unsqueeze(1)?.broadcast_matmul(xs)?.broadcast_matmul(&columns)
}

/// F_Yᵀ p F_X.
pub fn write(patches: &Tensor, rows: &Tensor, columns: &Tensor) -> Result<Tensor> {
    let rows = rows.transpose(1, 2)?.unsqueeze(1)?;
    rows.broadcast_matmul(patches)?.broadcast_matmul(&columns.unsqueeze(1)?)
}
