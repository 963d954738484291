//! NHWC operations in candle's tensor operations or by way of NCHW: any type of float, any device.

use super::{BatchNorm, to_nchw, to_nhwc};
use crate::activation::relu;
use crate::conv::{self, Conv2d};
use crate::norm::{batch_norm_eval, batch_norm_train};
use candle_core::{D, Result, Tensor};

/// Maps (N, h, w, C) as contiguous (N, C, h, w).
pub fn contiguous_nchw(xs: &Tensor) -> Result<Tensor> {
    to_nchw(xs)?.contiguous()
}

/// [`super::conv2d`], and then ReLU or not.
pub fn conv2d(
    xs: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    options: &Conv2d,
    with_relu: bool,
) -> Result<Tensor> {
    let ys = to_nhwc(&conv::conv2d(&contiguous_nchw(xs)?, weight, bias, options)?)?;
    if with_relu { relu(&ys) } else { Ok(ys) }
}

/// [`super::mean`].
pub fn mean(xs: &Tensor) -> Result<Tensor> {
    xs.flatten(1, 2)?.mean(1)
}

/// [`super::concat_channels`].
pub fn concat_channels(maps: &[&Tensor]) -> Result<Tensor> {
    Tensor::cat(maps, D::Minus1)
}

/// [`super::scale_channels`].
pub fn scale_channels(xs: &Tensor, scales: &Tensor) -> Result<Tensor> {
    let (n, c) = scales.dims2()?;
    xs.broadcast_mul(&scales.reshape((n, 1, 1, c))?)
}

/// [`super::batch_norm`].
pub fn batch_norm(
    xs: &Tensor,
    norm: &BatchNorm,
    add: Option<&Tensor>,
    with_relu: bool,
) -> Result<(Tensor, Tensor, Tensor)> {
    let (maps, BatchNorm { weight, bias, statistics, eps }) = (contiguous_nchw(xs)?, *norm);
    let (ys, mean, variance) = match statistics {
        None => batch_norm_train(&maps, weight, bias, eps)?,
        Some((mean, variance)) => {
            (batch_norm_eval(&maps, weight, bias, mean, variance, eps)?, mean.clone(), variance.clone())
        }
    };
    let ys = to_nhwc(&ys)?;
    let ys = add.map_or(Ok(ys.clone()), |add| ys + add)?;
    Ok((if with_relu { relu(&ys)? } else { ys }, mean, variance))
}
