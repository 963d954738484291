//! Two-dimensional pooling: the largest or the mean value of each window.
//!
//! A pooling is two lists of windows, one for each axis, already cut off at the map's edges; fixed and adaptive pooling
//! differ in these lists only. candle's own pools are not used: they have no padding, and their gradients are wrong or missing
//! for most windows (huggingface/candle#1593).

mod cpu;
pub(crate) mod cuda;
mod reference;
#[cfg(test)]
mod tests;

use crate::backend::{Backend, Op};
use crate::conv::Layout;
use candle_core::{Result, Tensor, bail};
use std::ops::Range;

/// The windows of a pooling; pairs are (vertical, horizontal).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool2d {
    /// Size of a window.
    pub kernel: (usize, usize),
    /// Positions between neighbouring windows.
    pub stride: (usize, usize),
    /// Positions added on each side: at most half the kernel. The largest value is never there; they count as zeros in a mean
    /// where `count_include_pad` says so.
    pub padding: (usize, usize),
    /// Rounds the number of windows up instead of down; a last window that would start beyond the map and its leading
    /// padding is left out.
    pub ceil_mode: bool,
    /// Whether a mean divides by the window's size with its padding, or by the number of the map's own elements in it.
    pub count_include_pad: bool,
}

impl Pool2d {
    /// Windows without padding, rounded down, as PyTorch's defaults are.
    pub fn new(kernel: (usize, usize), stride: (usize, usize)) -> Self {
        Self { kernel, stride, padding: (0, 0), ceil_mode: false, count_include_pad: true }
    }
}

/// The largest value of each window, as torch.nn.functional.max_pool2d gives it.
///
/// `y[n,c,i,j]` = max of `x[n,c,u,v]` over the window of (i,j). The gradient goes to the first of equal values in row-major order; a
/// NaN in a window is its largest value.
///
/// Shapes: `xs` (N, C, h, w); the result is (N, C, h', w') with h' = ⌊(h + 2p − k) / s⌋ + 1, or ⌈…⌉ with `ceil_mode`.
///
/// # Errors
/// When `xs` is not of rank 4, a size or stride is zero, the padding exceeds half the kernel, or no window fits.
pub fn max_pool2d(xs: &Tensor, pool: &Pool2d) -> Result<Tensor> {
    let windows = Windows::fixed("max_pool2d", xs, pool)?;
    if let Some(gpu) = Backend::gpu(Op::Pool2d, &[xs]) {
        return cuda::pool(gpu, xs, windows, Layout::Nchw, true);
    }
    match Backend::choose(Op::Pool2d, &[xs]) {
        Backend::Cpu => cpu::max(xs, windows),
        Backend::Reference => reference::max(xs, windows),
    }
}

/// The mean of each window, as torch.nn.functional.avg_pool2d gives it.
///
/// `y[n,c,i,j]` = Σ `x[n,c,u,v]` over the window of (i,j) / its size (see [`Pool2d::count_include_pad`]).
///
/// Shapes: as [`max_pool2d`].
///
/// # Errors
/// As [`max_pool2d`].
pub fn avg_pool2d(xs: &Tensor, pool: &Pool2d) -> Result<Tensor> {
    average(xs, Windows::fixed("avg_pool2d", xs, pool)?)
}

/// The means of h'×w' windows that cover the map as evenly as they can, as torch.nn.functional.adaptive_avg_pool2d has them.
///
/// Window i of h' spans ⌊i·h/h'⌋ up to ⌈(i+1)·h/h'⌉, end excluded.
///
/// Shapes: `xs` (N, C, h, w), `size` (h', w'); the result is (N, C, h', w').
///
/// # Errors
/// When `xs` is not of rank 4 or a size is zero.
pub fn adaptive_avg_pool2d(xs: &Tensor, size: (usize, usize)) -> Result<Tensor> {
    average(xs, Windows::adaptive(xs, size)?)
}

fn average(xs: &Tensor, windows: Windows) -> Result<Tensor> {
    if let Some(gpu) = Backend::gpu(Op::Pool2d, &[xs]) {
        return cuda::pool(gpu, xs, windows, Layout::Nchw, false);
    }
    match Backend::choose(Op::Pool2d, &[xs]) {
        Backend::Cpu => cpu::average(xs, windows),
        Backend::Reference => reference::average(xs, windows),
    }
}

/// One window on one axis.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Window {
    /// The positions inside the map: never empty.
    pub span: Range<usize>,
    /// What a mean divides by, on this axis.
    pub divisor: usize,
}

/// The windows of one call.
#[derive(Debug, Clone)]
pub(crate) struct Windows {
    pub rows: Vec<Window>,
    pub columns: Vec<Window>,
    pub input: (usize, usize),
}

impl Windows {
    pub fn fixed(operation: &str, xs: &Tensor, pool: &Pool2d) -> Result<Self> {
        let input = map_size(operation, xs)?;
        let axis = |size: usize, kernel: usize, stride: usize, padding: usize| {
            if kernel == 0 || stride == 0 || padding > kernel / 2 {
                bail!(
                    "{operation}: wants kernel and stride of at least 1 and a padding of at most kernel / 2, got {pool:?}"
                );
            }
            let padded = size.checked_add(2 * padding).filter(|&padded| padded >= kernel);
            let Some(padded) = padded else {
                bail!("{operation}: a window of {kernel} does not fit into a map of {size} with padding {padding}");
            };
            let room = padded - kernel;
            let mut count = if pool.ceil_mode { room.div_ceil(stride) } else { room / stride } + 1;
            if pool.ceil_mode && (count - 1) * stride >= size + padding {
                count -= 1;
            }
            let window = |i: usize| {
                let (start, end) = (i * stride, (i * stride).saturating_add(kernel).min(padded));
                let span = start.saturating_sub(padding)..(end - padding).min(size);
                let divisor = if pool.count_include_pad { end - start } else { span.len() };
                Window { span, divisor }
            };
            Ok((0..count).map(window).collect())
        };
        Ok(Self {
            rows: axis(input.0, pool.kernel.0, pool.stride.0, pool.padding.0)?,
            columns: axis(input.1, pool.kernel.1, pool.stride.1, pool.padding.1)?,
            input,
        })
    }

    fn adaptive(xs: &Tensor, size: (usize, usize)) -> Result<Self> {
        let input = map_size("adaptive_avg_pool2d", xs)?;
        if size.0 == 0 || size.1 == 0 {
            bail!("adaptive_avg_pool2d: wants a size of at least 1×1, got {}×{}", size.0, size.1);
        }
        let axis = |from: usize, to: usize| {
            let window = |i: usize| {
                let span = i * from / to..((i + 1) * from).div_ceil(to);
                Window { divisor: span.len(), span }
            };
            (0..to).map(window).collect()
        };
        Ok(Self { rows: axis(input.0, size.0), columns: axis(input.1, size.1), input })
    }

    /// Elements of one map.
    fn area_in(&self) -> usize {
        self.input.0 * self.input.1
    }

    /// Elements of one pooled map.
    pub fn area_out(&self) -> usize {
        self.rows.len() * self.columns.len()
    }

    fn output_shape(&self, xs: &Tensor) -> Result<(usize, usize, usize, usize)> {
        let (n, c, ..) = xs.dims4()?;
        Ok((n, c, self.rows.len(), self.columns.len()))
    }
}

fn map_size(operation: &str, xs: &Tensor) -> Result<(usize, usize)> {
    match xs.dims() {
        [_, _, h, w] if *h > 0 && *w > 0 => Ok((*h, *w)),
        found => bail!("{operation}: wants (N, C, h, w) with h and w of at least 1, got {found:?}"),
    }
}
