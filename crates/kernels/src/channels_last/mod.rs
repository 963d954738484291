//! NHWC (channels-last) operations: on maps (N, h, w, C), the layout in which a CPU works through a whole
//! network fastest.
//!
//! A network that is asked for maps (N, C, h, w) turns its pictures once with [`to_nhwc`], keeps this layout to its last
//! layer and hands out a view. All gradients flow. f32 on the CPU has kernels of its own; every other device and type takes the
//! operations on (N, C, h, w) between two views, so that results are the same everywhere.

mod concat;
mod norm;
mod pool;
mod prepared;
mod scale;
#[cfg(test)]
mod tests;

pub use concat::concat_channels;
pub use norm::{BatchNorm, batch_norm};
pub use pool::{avg_pool2d, max_pool2d, mean};
pub use prepared::PackedConv2d;
pub use scale::gate;

use crate::activation;
use crate::conv::cpu::{Convolution, layout};
use crate::conv::{self, Conv2d, Geometry, Layout};
use crate::node::{Call, Operation, Value, apply, on_cpu_f32, with_f32};
use candle_core::{Result, Tensor};

/// Maps (N, C, h, w) as (N, h, w, C).
///
/// # Errors
/// When `xs` is not of rank 4.
pub fn to_nhwc(xs: &Tensor) -> Result<Tensor> {
    let (_, c, h, w) = xs.dims4()?;
    let view = xs.permute((0, 2, 3, 1))?;
    if view.is_contiguous() {
        return Ok(view);
    }
    match on_cpu_f32(&[xs]) {
        true => Ok(apply(Turn { channels: c, size: (h, w) }, &[xs])?.swap_remove(0)),
        false => view.contiguous(),
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
    if !on_cpu_f32(&inputs) {
        let ys = to_nhwc(&conv::conv2d(&to_nchw(xs)?.contiguous()?, weight, bias, options)?)?;
        return if relu { activation::relu(&ys) } else { Ok(ys) };
    }
    let geometry = geometry(xs, weight.dims(), bias, options)?;
    Ok(apply(Convolution { geometry, layout: Layout::Nhwc, relu }, &inputs)?.swap_remove(0))
}

fn geometry(xs: &Tensor, weight: &[usize], bias: Option<&Tensor>, options: &Conv2d) -> Result<Geometry> {
    let (n, h, w, c) = xs.dims4()?;
    Geometry::new(&[n, c, h, w], weight, bias, options)
}

/// Turns maps with the channels apart.
struct Turn {
    channels: usize,
    size: (usize, usize),
}

impl Operation for Turn {
    type Saved = ();

    fn name(&self) -> &'static str {
        "to_nhwc"
    }

    fn forward(&self, inputs: &[Tensor], _: bool) -> Result<(Vec<Value>, ())> {
        let (height, width) = self.size;
        let turn = |xs: &[f32]| layout::together(xs, self.channels, height * width);
        let rows = with_f32(self.name(), &inputs[0], turn)?;
        Ok((vec![Value::new(rows, (inputs[0].dim(0)?, height, width, self.channels))], ()))
    }

    fn backward(&self, _: &Call<()>, gradients: &[Tensor]) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(to_nchw(&gradients[0])?.contiguous()?)])
    }
}
