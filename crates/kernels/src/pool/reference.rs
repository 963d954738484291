//! Pooling in candle's tensor operations: any type, any device.

use super::{Window, Windows};
use candle_core::{Result, Tensor};

/// Gathers each window into a column, finds its first largest element, and gathers that: the gradient of a gather goes
/// to one element only, that of candle's `max` to every one of equal values.
pub fn max(xs: &Tensor, windows: Windows) -> Result<Tensor> {
    let (n, c, ..) = xs.dims4()?;
    // candle has no maximum of nothing.
    if xs.elem_count() == 0 {
        return xs.reshape(windows.output_shape(xs)?);
    }
    let longest = |axis: &[Window]| axis.iter().map(|window| window.span.len()).max().unwrap_or(0);
    let (kh, kw) = (longest(&windows.rows), longest(&windows.columns));
    let mut positions = Vec::with_capacity(kh * kw * windows.area_out());
    for (u, v) in (0..kh).flat_map(|u| (0..kw).map(move |v| (u, v))) {
        for row in &windows.rows {
            // A window that the edge cuts short repeats its last position: that changes no maximum.
            let y = (row.span.start + u).min(row.span.end - 1);
            let x = windows.columns.iter().map(|column| (column.span.start + v).min(column.span.end - 1));
            positions.extend(x.map(|x| (y * windows.input.1 + x) as u32));
        }
    }
    let positions = Tensor::new(positions, xs.device())?;
    let columns = xs.reshape((n, c, windows.area_in()))?.contiguous()?.index_select(&positions, 2)?;
    let columns = columns.reshape((n, c, kh * kw, windows.area_out()))?;
    let values = columns.detach();
    // candle's argmax passes over a NaN that does not come first.
    let nan = values.ne(&values)?;
    let first_nan = nan.argmax_keepdim(2)?;
    let largest = nan.gather(&first_nan, 2)?.where_cond(&first_nan, &values.argmax_keepdim(2)?)?;
    columns.gather(&largest, 2)?.reshape(windows.output_shape(xs)?)
}

/// A mean over rectangles is one matrix product for each axis.
pub fn average(xs: &Tensor, windows: Windows) -> Result<Tensor> {
    let (n, c, h, w) = xs.dims4()?;
    let matrix = |axis: &[Window], size: usize| {
        let mut weights = vec![0f64; axis.len() * size];
        for (window, weights) in axis.iter().zip(weights.chunks_mut(size)) {
            weights[window.span.clone()].fill(1.0 / window.divisor as f64);
        }
        Tensor::from_vec(weights, (axis.len(), size), xs.device())?.to_dtype(xs.dtype())
    };
    let (rows, columns) = (matrix(&windows.rows, h)?, matrix(&windows.columns, w)?);
    let ys = xs.reshape((n * c * h, w))?.matmul(&columns.t()?)?.reshape((n * c, h, windows.columns.len()))?;
    rows.unsqueeze(0)?.broadcast_matmul(&ys)?.reshape(windows.output_shape(xs)?)
}
