//! NHWC (channels-last) operations: on maps (N, h, w, C), the layout in which a CPU works through a whole network fastest.
//!
//! A network that is asked for maps (N, C, h, w) transposes its input once with [`to_nhwc`], keeps this layout to its last layer and
//! returns a view. All gradients flow. The reference is the operation on (N, C, h, w) between two views, so that results are
//! the same everywhere.

mod cpu;
mod cuda;
mod packed_conv;
mod reference;
#[cfg(test)]
mod tests;

pub use packed_conv::PackedConv2d;

use crate::backend::{Backend, Op};
use crate::conv::{self, Conv2d, Geometry};
use crate::pool::{self, Pool2d, Windows};
use candle_core::{Result, Tensor, bail};

/// Maps (N, C, h, w) as (N, h, w, C).
///
/// # Errors
/// When `xs` is not of rank 4.
pub fn to_nhwc(xs: &Tensor) -> Result<Tensor> {
    let view = xs.permute((0, 2, 3, 1))?;
    if view.is_contiguous() {
        return Ok(view);
    }
    match Backend::choose(Op::ToNhwc, &[xs]) {
        Backend::Cpu => cpu::to_nhwc(xs),
        Backend::Reference => view.contiguous(),
    }
}

/// Maps (N, h, w, C) as (N, C, h, w): a view.
///
/// # Errors
/// When `xs` is not of rank 4.
pub fn to_nchw(xs: &Tensor) -> Result<Tensor> {
    xs.permute((0, 3, 1, 2))
}

/// [`conv::conv2d`] from (N, h, w, C) to (N, h', w', O); weight (O, C/groups, kh, kw) and bias (O) are the same.
///
/// # Errors
/// As [`conv::conv2d`].
pub fn conv2d(xs: &Tensor, weight: &Tensor, bias: Option<&Tensor>, options: &Conv2d) -> Result<Tensor> {
    convolve(xs, weight, bias, options, false)
}

/// relu(conv2d(x)), with a gradient of 0 where it is 0: one pass over the result less than [`conv2d`] and then
/// [`relu`](crate::activation::relu).
///
/// # Errors
/// As [`conv::conv2d`].
pub fn conv2d_relu(xs: &Tensor, weight: &Tensor, bias: Option<&Tensor>, options: &Conv2d) -> Result<Tensor> {
    convolve(xs, weight, bias, options, true)
}

fn convolve(xs: &Tensor, weight: &Tensor, bias: Option<&Tensor>, options: &Conv2d, relu: bool) -> Result<Tensor> {
    let inputs: Vec<&Tensor> = [xs, weight].into_iter().chain(bias).collect();
    if let Some(gpu) = Backend::gpu(Op::Conv2d, &inputs) {
        let geometry = geometry(xs, weight.dims(), bias, options)?;
        return conv::cuda::conv2d(gpu, &inputs, geometry, conv::Layout::Nhwc, relu);
    }
    match Backend::choose(Op::Conv2d, &inputs) {
        Backend::Cpu => {
            conv::cpu::conv2d(&inputs, geometry(xs, weight.dims(), bias, options)?, conv::Layout::Nhwc, relu)
        }
        Backend::Reference => reference::conv2d(xs, weight, bias, options, relu),
    }
}

fn geometry(xs: &Tensor, weight: &[usize], bias: Option<&Tensor>, options: &Conv2d) -> Result<Geometry> {
    let (n, h, w, c) = xs.dims4()?;
    Geometry::new(&[n, c, h, w], weight, bias, options)
}

/// [`pool::max_pool2d`] from (N, h, w, C) to (N, h', w', C).
///
/// # Errors
/// As [`pool::max_pool2d`].
pub fn max_pool2d(xs: &Tensor, pool: &Pool2d) -> Result<Tensor> {
    if let Some(gpu) = Backend::gpu(Op::Pool2d, &[xs]) {
        let windows = Windows::fixed("max_pool2d", &to_nchw(xs)?, pool)?;
        return pool::cuda::pool(gpu, xs, windows, conv::Layout::Nhwc, true);
    }
    match Backend::choose(Op::Pool2d, &[xs]) {
        Backend::Cpu => cpu::pool::max_pool2d(xs, pool),
        Backend::Reference => to_nhwc(&pool::max_pool2d(&reference::contiguous_nchw(xs)?, pool)?),
    }
}

/// [`pool::avg_pool2d`] from (N, h, w, C) to (N, h', w', C).
///
/// # Errors
/// As [`pool::avg_pool2d`].
pub fn avg_pool2d(xs: &Tensor, pool: &Pool2d) -> Result<Tensor> {
    if let Some(gpu) = Backend::gpu(Op::Pool2d, &[xs]) {
        let windows = Windows::fixed("avg_pool2d", &to_nchw(xs)?, pool)?;
        return pool::cuda::pool(gpu, xs, windows, conv::Layout::Nhwc, false);
    }
    match Backend::choose(Op::Pool2d, &[xs]) {
        Backend::Cpu => cpu::pool::avg_pool2d(xs, pool),
        Backend::Reference => to_nhwc(&pool::avg_pool2d(&reference::contiguous_nchw(xs)?, pool)?),
    }
}

/// The mean of each channel over all positions, from (N, h, w, C) to (N, C).
///
/// # Errors
/// When `xs` is not of rank 4.
pub fn mean(xs: &Tensor) -> Result<Tensor> {
    match Backend::choose(Op::Pool2d, &[xs]) {
        Backend::Cpu => cpu::pool::mean(xs),
        Backend::Reference => reference::mean(xs),
    }
}

/// The channels of all maps (N, h, w, Cᵢ), one map's epilogue the other's: (N, h, w, Σ Cᵢ).
///
/// # Errors
/// When there is no map, or they differ in N, h or w.
pub fn concat_channels(maps: &[&Tensor]) -> Result<Tensor> {
    let Some((first, others)) = maps.split_first() else { bail!("concat_channels: there are no maps") };
    let (n, h, w, _) = first.dims4()?;
    for other in others {
        if !other.dims4().is_ok_and(|(on, oh, ow, _)| (on, oh, ow) == (n, h, w)) {
            bail!("concat_channels: maps {:?} and {:?} differ in more than their channels", first.dims(), other.dims())
        }
    }
    match Backend::choose(Op::ConcatChannels, maps) {
        Backend::Cpu => cpu::concat::concat_channels(maps),
        Backend::Reference => reference::concat_channels(maps),
    }
}

/// y\[n, i, j, c\] = x\[n, i, j, c\] · scales\[n, c\], as squeeze-and-excitation weighs channels (Hu et al. 2018).
///
/// Shapes: `xs` and the result (N, h, w, C), `scales` (N, C). Gradients flow to both.
///
/// # Errors
/// When the shapes do not fit each other.
pub fn scale_channels(xs: &Tensor, scales: &Tensor) -> Result<Tensor> {
    let (n, _, _, c) = xs.dims4()?;
    if scales.dims() != [n, c] {
        bail!("scale_channels: maps {:?} want scales of shape [{n}, {c}], got {:?}", xs.dims(), scales.dims());
    }
    match Backend::choose(Op::ScaleChannels, &[xs, scales]) {
        Backend::Cpu => cpu::scale::scale_channels(xs, scales),
        Backend::Reference => reference::scale_channels(xs, scales),
    }
}

/// The parameters of a batch norm; all tensors are (C).
#[derive(Clone, Copy)]
pub struct BatchNorm<'a> {
    /// The factor γ.
    pub weight: &'a Tensor,
    /// The summand β.
    pub bias: &'a Tensor,
    /// Given mean and variance; without them they are the batch's own, and the gradient flows through them as well.
    pub statistics: Option<(&'a Tensor, &'a Tensor)>,
    /// Added to the variance.
    pub eps: f64,
}

/// y = (x − mean\[c\]) / √(variance\[c\] + eps) · weight\[c\] + bias\[c\] + add, and then ReLU or not.
///
/// Shapes: `xs`, `add` and the result (N, h, w, C). Returns the result and, without a gradient, the mean and the biased variance that it was
/// normalised by. Gradients flow to `xs`, weight, bias and `add`. Ioffe & Szegedy 2015.
///
/// # Errors
/// When shapes do not fit each other, or a channel has fewer than two values where the batch's own statistics are wanted.
pub fn batch_norm(
    xs: &Tensor,
    norm: &BatchNorm,
    add: Option<&Tensor>,
    with_relu: bool,
) -> Result<(Tensor, Tensor, Tensor)> {
    let (n, h, w, c) = xs.dims4()?;
    let BatchNorm { weight, bias, statistics, .. } = *norm;
    if c == 0 || weight.dims() != [c] || bias.dims() != [c] || add.is_some_and(|add| add.dims() != xs.dims()) {
        let (weight, bias, add) = (weight.dims(), bias.dims(), add.map(|add| add.dims()));
        bail!("batch_norm: input {:?}, weight {weight:?}, bias {bias:?} and {add:?} do not fit", xs.dims());
    }
    if let Some((mean, variance)) = statistics.filter(|(mean, variance)| mean.dims() != [c] || variance.dims() != [c]) {
        let (mean, variance) = (mean.dims(), variance.dims());
        bail!(
            "batch_norm: input {:?} wants a mean and a variance of shape [{c}], got {mean:?} and {variance:?}",
            xs.dims()
        );
    }
    if statistics.is_none() && n * h * w < 2 {
        bail!("batch_norm: training wants at least two values a channel, got {:?}", xs.dims());
    }
    let inputs: Vec<&Tensor> = [xs, weight, bias].into_iter().chain(add).collect();
    if let Some(gpu) = Backend::gpu(Op::BatchNorm, &inputs) {
        return cuda::norm::batch_norm(gpu, xs, norm, add, with_relu);
    }
    match Backend::choose(Op::BatchNorm, &inputs) {
        Backend::Cpu => cpu::norm::batch_norm(xs, norm, add, with_relu),
        Backend::Reference => reference::batch_norm(xs, norm, add, with_relu),
    }
}
