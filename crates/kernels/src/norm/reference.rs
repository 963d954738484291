//! Normalisations in candle's tensor operations: any type, any device. Half precision is widened to f32 inside.

use crate::precision::wide;
use candle_core::{Result, Tensor};

/// (x − mean) / √(variance + eps) of each row of (rows, size).
fn standardized(xs: &Tensor, eps: f64) -> Result<Tensor> {
    let centered = xs.broadcast_sub(&xs.mean_keepdim(1)?)?;
    let variance = centered.sqr()?.mean_keepdim(1)?;
    centered.broadcast_div(&(variance + eps)?.sqrt()?)
}

/// xs · weight + bias, with both along one dimension of `xs`.
fn affine(xs: &Tensor, weight: Option<&Tensor>, bias: Option<&Tensor>, dim: usize) -> Result<Tensor> {
    let along = |tensor: &Tensor| {
        let mut shape = vec![1; xs.rank()];
        shape[dim] = tensor.elem_count();
        tensor.to_dtype(xs.dtype())?.reshape(shape)
    };
    let ys = weight.map_or_else(|| Ok(xs.clone()), |weight| xs.broadcast_mul(&along(weight)?))?;
    bias.map_or_else(|| Ok(ys.clone()), |bias| ys.broadcast_add(&along(bias)?))
}

pub fn layer_norm(xs: &Tensor, weight: Option<&Tensor>, bias: Option<&Tensor>, eps: f64) -> Result<Tensor> {
    let last = xs.rank() - 1;
    let size = xs.dims()[last];
    let ys = standardized(&wide(xs)?.reshape((xs.elem_count() / size, size))?, eps)?.reshape(xs.shape())?;
    affine(&ys, weight, bias, last)?.to_dtype(xs.dtype())
}

pub fn group_norm(
    xs: &Tensor,
    groups: usize,
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    eps: f64,
) -> Result<Tensor> {
    let rows = xs.dims()[0] * groups;
    let size = xs.dims()[1..].iter().product::<usize>() / groups;
    let ys = standardized(&wide(xs)?.reshape((rows, size))?, eps)?.reshape(xs.shape())?;
    affine(&ys, weight, bias, 1)?.to_dtype(xs.dtype())
}

pub fn batch_norm_train(xs: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<(Tensor, Tensor, Tensor)> {
    let (n, c) = (xs.dims()[0], xs.dims()[1]);
    let maps = wide(xs)?.reshape((n, c, xs.elem_count() / (n * c)))?;
    let mean = maps.mean_keepdim((0, 2))?;
    let centered = maps.broadcast_sub(&mean)?;
    let variance = centered.sqr()?.mean_keepdim((0, 2))?;
    let ys = centered.broadcast_div(&(&variance + eps)?.sqrt()?)?;
    let ys = affine(&ys, Some(weight), Some(bias), 1)?.reshape(xs.shape())?.to_dtype(xs.dtype())?;
    Ok((ys, mean.flatten_all()?.detach(), variance.flatten_all()?.detach()))
}

pub fn batch_norm_eval(
    xs: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    mean: &Tensor,
    variance: &Tensor,
    eps: f64,
) -> Result<Tensor> {
    let scale = (wide(&variance.detach())? + eps)?.sqrt()?.recip()?;
    let centered = affine(&wide(xs)?, None, Some(&mean.detach().neg()?), 1)?;
    let ys = affine(&centered, Some(&scale), None, 1)?;
    affine(&ys, Some(weight), Some(bias), 1)?.to_dtype(xs.dtype())
}
