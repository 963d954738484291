//! Maps in NCHW and NHWC, and their transposition.

use super::im2col::Im2col;
use crate::conv::Layout;
use crate::cpu::fill::par_fill;
use crate::cpu::transpose::push_transpose;
use rayon::prelude::*;
use std::borrow::Cow;

/// Maps of `area` positions in either layout.
#[derive(Clone, Copy)]
pub struct Maps<'a> {
    pub values: &'a [f32],
    pub layout: Layout,
    pub channels: usize,
    pub area: usize,
}

impl<'a> Maps<'a> {
    /// As NHWC.
    pub fn nhwc(self) -> Cow<'a, [f32]> {
        match self.layout {
            Layout::Nhwc => Cow::Borrowed(self.values),
            Layout::Nchw => Cow::Owned(to_nhwc(self.values, self.channels, self.area)),
        }
    }

    /// As NHWC, unless they are NCHW and each position reads its own place alone.
    pub fn nhwc_unless_pointwise(self, im2col: &Im2col) -> Option<Cow<'a, [f32]>> {
        (self.layout == Layout::Nhwc || !im2col.is_pointwise()).then(|| self.nhwc())
    }
}

/// NHWC maps in a layout.
pub fn nhwc_to(layout: Layout, maps: Vec<f32>, channels: usize, area: usize) -> Vec<f32> {
    match layout {
        Layout::Nhwc => maps,
        Layout::Nchw => to_nchw(&maps, channels, area),
    }
}

/// Positions of a task.
const BLOCK: usize = 256;

/// (N, C, P) to (N, P, C).
pub fn to_nhwc(maps: &[f32], channels: usize, area: usize) -> Vec<f32> {
    transposed(maps, channels, area, BLOCK)
}

/// (N, P, C) to (N, C, P).
pub fn to_nchw(rows: &[f32], channels: usize, area: usize) -> Vec<f32> {
    transposed(rows, area, channels, 64)
}

/// The transpose of each (rows, columns) a; a task takes `block` columns.
fn transposed(values: &[f32], rows: usize, columns: usize, block: usize) -> Vec<f32> {
    let size = (rows * columns).max(1);
    par_fill(values.len(), size, values.par_chunks(size), |values, into| {
        into.par_chunks(block * rows, (0..columns).into_par_iter().step_by(block), |start, into| {
            push_transpose(&values[start..], columns, rows, block.min(columns - start), into);
        });
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_comes_to_its_place() {
        for (images, channels, area) in [(2, 3, 5), (1, 33, 300), (3, 64, 49), (0, 2, 2), (1, 1, 1)] {
            let maps: Vec<f32> = (0..images * channels * area).map(|i| i as f32).collect();
            let rows = to_nhwc(&maps, channels, area);
            for (at, value) in rows.iter().enumerate() {
                let (n, p, c) = (at / (channels * area), at / channels % area, at % channels);
                assert_eq!(*value, maps[(n * channels + c) * area + p]);
            }
            assert_eq!(to_nchw(&rows, channels, area), maps);
        }
    }
}
