//! Two-dimensional convolution (cross-correlation) with stride, padding, dilation and groups.

pub(crate) mod cpu;
pub(crate) mod cuda;
mod reference;
#[cfg(test)]
mod tests;

use crate::backend::{Backend, Op};
use candle_core::{Result, Tensor, bail};

/// The geometry of a convolution; pairs are (vertical, horizontal).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv2d {
    /// Positions between neighbouring outputs.
    pub stride: (usize, usize),
    /// Zeros added on each side.
    pub padding: (usize, usize),
    /// Positions between neighbouring kernel elements.
    pub dilation: (usize, usize),
    /// Channels are split into this many groups that do not see each other.
    pub groups: usize,
}

impl Default for Conv2d {
    fn default() -> Self {
        Self { stride: (1, 1), padding: (0, 0), dilation: (1, 1), groups: 1 }
    }
}

/// Convolves maps with a bank of kernels, as torch.nn.functional.conv2d does.
///
/// `y[n,o,i,j] = bias[o] + Σ_{c,u,v} weight[o,c,u,v] · x[n, g·C/groups + c, i·s + u·d − p, j·s + v·d − p]`, where g is the
/// group of output o and x is 0 outside the map.
///
/// Shapes: `xs` (N, C, h, w), `weight` (O, C/groups, kh, kw), `bias` (O); the result is (N, O, h', w') with
/// h' = ⌊(h + 2p − d·(kh − 1) − 1) / s⌋ + 1. Gradients flow to all three.
///
/// # Errors
/// When the shapes do not fit each other, the kernel is larger than the padded map, or a stride, a dilation or `groups`
/// is zero.
pub fn conv2d(xs: &Tensor, weight: &Tensor, bias: Option<&Tensor>, options: &Conv2d) -> Result<Tensor> {
    let geometry = Geometry::new(xs.dims(), weight.dims(), bias, options)?;
    let inputs: Vec<&Tensor> = [xs, weight].into_iter().chain(bias).collect();
    if let Some(gpu) = Backend::gpu(Op::Conv2d, &inputs) {
        return cuda::conv2d(gpu, &inputs, geometry, Layout::Nchw, false);
    }
    match Backend::choose(Op::Conv2d, &inputs) {
        Backend::Cpu => cpu::conv2d(&inputs, geometry, Layout::Nchw, false),
        Backend::Reference => reference::conv2d(xs, weight, bias, &geometry),
    }
}

/// The memory layout of maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// (N, C, h, w).
    Nchw,
    /// (N, h, w, C).
    Nhwc,
}

/// The checked sizes of one call.
#[derive(Debug, Clone)]
pub(crate) struct Geometry {
    batch: usize,
    groups: usize,
    /// Input channels of a group.
    channels: usize,
    /// Output channels of a group.
    outputs: usize,
    input: (usize, usize),
    kernel: (usize, usize),
    output: (usize, usize),
    stride: (usize, usize),
    padding: (usize, usize),
    dilation: (usize, usize),
}

/// How many positions a kernel has along one side of a map.
fn positions(size: usize, kernel: usize, stride: usize, padding: usize, dilation: usize) -> Result<usize> {
    let padded = padding.checked_mul(2).and_then(|both| both.checked_add(size));
    let extent = dilation.checked_mul(kernel - 1).and_then(|steps| steps.checked_add(1));
    let (Some(padded), Some(extent)) = (padded, extent) else {
        bail!("conv2d: padding {padding} or dilation {dilation} is too large");
    };
    if padded < extent {
        bail!("conv2d: a kernel that spans {extent} does not fit into a map of {size} with padding {padding}");
    }
    Ok((padded - extent) / stride + 1)
}

impl Geometry {
    /// From the input's (N, C, h, w) and the weight's (O, C/groups, kh, kw).
    pub fn new(xs: &[usize], weight: &[usize], bias: Option<&Tensor>, options: &Conv2d) -> Result<Self> {
        let ([batch, channels, h, w], [outputs, per_group, kh, kw]) = (xs, weight) else {
            bail!("conv2d: wants xs (N, C, h, w) and weight (O, C/groups, kh, kw), got {xs:?} and {weight:?}");
        };
        let (batch, channels, outputs, groups) = (*batch, *channels, *outputs, options.groups);
        let sizes = [channels, outputs, *h, *w, *kh, *kw];
        let steps = [options.stride.0, options.stride.1, options.dilation.0, options.dilation.1, groups];
        if sizes.contains(&0) || steps.contains(&0) {
            bail!("conv2d: nothing but N may be 0, got xs {xs:?}, weight {weight:?} and {options:?}");
        }
        if per_group.checked_mul(groups) != Some(channels) || outputs % groups != 0 {
            bail!(
                "conv2d: with groups {groups}, xs {xs:?} wants a weight (O, {}, kh, kw) with O a multiple of {groups}, got {weight:?}",
                channels as f64 / groups as f64
            );
        }
        if let Some(bias) = bias.filter(|bias| bias.dims() != [outputs]) {
            bail!("conv2d: wants a bias of shape [{outputs}], got {:?}", bias.dims());
        }
        let output = (
            positions(*h, *kh, options.stride.0, options.padding.0, options.dilation.0)?,
            positions(*w, *kw, options.stride.1, options.padding.1, options.dilation.1)?,
        );
        Ok(Self {
            batch,
            groups,
            channels: *per_group,
            outputs: outputs / groups,
            input: (*h, *w),
            kernel: (*kh, *kw),
            output,
            stride: options.stride,
            padding: options.padding,
            dilation: options.dilation,
        })
    }

    /// Rows of the column a: the inputs of one output.
    fn depth(&self) -> usize {
        self.channels * self.kernel.0 * self.kernel.1
    }

    /// Elements of one input channel.
    fn area_in(&self) -> usize {
        self.input.0 * self.input.1
    }

    /// Elements of one output channel.
    fn area_out(&self) -> usize {
        self.output.0 * self.output.1
    }

    pub fn output_shape(&self, layout: Layout) -> (usize, usize, usize, usize) {
        let ((height, width), outputs) = (self.output, self.groups * self.outputs);
        match layout {
            Layout::Nchw => (self.batch, outputs, height, width),
            Layout::Nhwc => (self.batch, height, width, outputs),
        }
    }
}
