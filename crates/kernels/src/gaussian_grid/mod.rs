//! Gaussian grid: a K × K patch read from a map, or written to it, by Gaussian filters at the points of a grid.
//!
//! ```text
//! μ_i = g + (i − (K − 1)/2) δ            i = 0 … K − 1
//! F[i, a] = exp(−(a − μ_i)² / 2σ²) / Z_i   with Σ_a F[i, a] = 1
//! read(x) = F_Y x F_Xᵀ                    write(p) = F_Yᵀ p F_X
//! ```
//!
//! g is the grid's centre on one axis, δ the stride between its points and σ² the variance, all in pixels. Gregor et al. 2015, "DRAW: A
//! recurrent neural network for image generation", equations 19 to 29 (whose points count from 1).

mod cpu;
mod reference;
#[cfg(test)]
mod tests;

use crate::backend::{Backend, Op};
use candle_core::{Result, Tensor, bail};

/// A grid's filters on one axis of `size` pixels, F above: (N, K, size) with K = `points`.
///
/// `centre`, `stride` and `variance` are (N), in pixels; the gradient flows to all three. The filters are softmaxes over the pixels, so that
/// those of a point beyond the map still have the sum 1.
///
/// # Errors
/// When the shapes differ, or there is no point or no pixel.
pub fn filters(centre: &Tensor, stride: &Tensor, variance: &Tensor, points: usize, size: usize) -> Result<Tensor> {
    let n = centre.dims1()?;
    if points == 0 || size == 0 {
        bail!("gaussian_grid: wants at least one point and one pixel, got {points} points on {size} pixels")
    }
    for (name, tensor) in [("stride", stride), ("variance", variance)] {
        if tensor.dims() != [n] {
            bail!("gaussian_grid: {n} centres want a {name} each, got {:?}", tensor.dims())
        }
    }
    match Backend::choose(Op::GaussianGrid, &[centre, stride, variance]) {
        Backend::Cpu => cpu::filters(centre, stride, variance, points, size),
        Backend::Reference => reference::filters(centre, stride, variance, points, size),
    }
}

/// The patch of each map at its grid, F_Y x F_Xᵀ: from xs (N, C, h, w), `rows` F_Y (N, K, h) and `columns` F_X (N, K, w) to (N, C, K, K).
///
/// The gradient flows to all three.
///
/// # Errors
/// When the shapes do not fit.
pub fn read(xs: &Tensor, rows: &Tensor, columns: &Tensor) -> Result<Tensor> {
    let (n, _, h, w) = xs.dims4()?;
    check("a map", xs, rows, columns, &[n, h, n, w])?;
    match Backend::choose(Op::GaussianGrid, &[xs, rows, columns]) {
        Backend::Cpu => cpu::read(xs, rows, columns),
        Backend::Reference => reference::read(xs, rows, columns),
    }
}

/// What patches become on the map, F_Yᵀ p F_X: from patches (N, C, K, K), `rows` F_Y (N, K, h) and `columns` F_X (N, K, w) to (N, C, h, w).
///
/// The gradient flows to all three.
///
/// # Errors
/// When the shapes do not fit.
pub fn write(patches: &Tensor, rows: &Tensor, columns: &Tensor) -> Result<Tensor> {
    let (n, _, k, k_x) = patches.dims4()?;
    let sizes = [n, rows.dim(2)?, n, columns.dim(2)?];
    check("a patch", patches, rows, columns, &sizes)?;
    if (rows.dim(1)?, columns.dim(1)?) != (k, k_x) {
        bail!(
            "gaussian_grid: a patch of {k}×{k_x} wants so many filters, got {:?} and {:?}",
            rows.dims(),
            columns.dims()
        )
    }
    match Backend::choose(Op::GaussianGrid, &[patches, rows, columns]) {
        Backend::Cpu => cpu::write(patches, rows, columns),
        Backend::Reference => reference::write(patches, rows, columns),
    }
}

/// Checks that the filters of both axes are of as many maps and of their sizes: N and h of the rows, N and w of the columns.
fn check(what: &str, of: &Tensor, rows: &Tensor, columns: &Tensor, sizes: &[usize; 4]) -> Result<()> {
    let (n_y, _, h) = rows.dims3()?;
    let (n_x, _, w) = columns.dims3()?;
    if [n_y, h, n_x, w] != *sizes {
        let (of, rows, columns) = (of.dims(), rows.dims(), columns.dims());
        bail!("gaussian_grid: {what} {of:?} does not fit filters of rows {rows:?} and of columns {columns:?}")
    }
    Ok(())
}
