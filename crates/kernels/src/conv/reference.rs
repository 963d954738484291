//! Convolution in candle's tensor operations: any type, any device.

use super::Geometry;
use candle_core::{Result, Tensor};

/// candle's convolution (cuDNN with the feature `cudnn`) on a GPU where both axes agree in stride, padding and dilation; else
/// im2col, in which an extra zero is the padding, and a product.
pub fn conv2d(xs: &Tensor, weight: &Tensor, bias: Option<&Tensor>, g: &Geometry) -> Result<Tensor> {
    let even = [g.stride, g.padding, g.dilation].iter().all(|pair| pair.0 == pair.1);
    if even && !xs.device().is_cpu() {
        return with_bias(&xs.conv2d(weight, g.padding.0, g.stride.0, g.dilation.0, g.groups)?, bias);
    }
    let flat = xs.reshape((g.batch, g.groups * g.channels, g.area_in()))?.pad_with_zeros(2, 0, 1)?;
    let columns = flat.contiguous()?.index_select(&positions(xs, g)?, 2)?;
    let columns = columns.reshape((g.batch, g.groups, g.depth(), g.area_out()))?;
    let weight = weight.reshape((1, g.groups, g.outputs, g.depth()))?;
    let ys = weight.broadcast_matmul(&columns)?.reshape(g.output_shape(super::Layout::Nchw))?;
    with_bias(&ys, bias)
}

fn with_bias(ys: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    match bias {
        Some(bias) => ys.broadcast_add(&bias.reshape((1, bias.elem_count(), 1, 1))?),
        None => Ok(ys.clone()),
    }
}

/// For each kernel element and each output, the position it reads in the flat map; h·w is the padding.
fn positions(xs: &Tensor, g: &Geometry) -> Result<Tensor> {
    let mut positions = Vec::with_capacity(g.kernel.0 * g.kernel.1 * g.area_out());
    for u in 0..g.kernel.0 {
        for v in 0..g.kernel.1 {
            for i in 0..g.output.0 {
                for j in 0..g.output.1 {
                    let y = (i * g.stride.0 + u * g.dilation.0).checked_sub(g.padding.0).filter(|&y| y < g.input.0);
                    let x = (j * g.stride.1 + v * g.dilation.1).checked_sub(g.padding.1).filter(|&x| x < g.input.1);
                    let position = y.zip(x).map_or(g.area_in(), |(y, x)| y * g.input.1 + x);
                    positions.push(position as u32);
                }
            }
        }
    }
    let count = positions.len();
    Tensor::from_vec(positions, count, xs.device())
}
