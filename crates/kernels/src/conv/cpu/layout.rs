//! NCHW and NHWC maps, turned into each other.

use crate::cpu::fill::par_filled;
use crate::cpu::transpose::push_transpose;
use rayon::prelude::*;

/// Positions that a thread takes at a time.
const BLOCK: usize = 256;

/// (N, C, P) to (N, P, C).
pub fn together(maps: &[f32], channels: usize, area: usize) -> Vec<f32> {
    turned(maps, (channels, area), BLOCK)
}

/// (N, P, C) to (N, C, P).
pub fn apart(rows: &[f32], channels: usize, area: usize) -> Vec<f32> {
    turned(rows, (area, channels), 64)
}

/// The transpose of each (rows, columns) matrix; threads take `block` columns at a time.
fn turned(values: &[f32], (rows, columns): (usize, usize), block: usize) -> Vec<f32> {
    let size = (rows * columns).max(1);
    par_filled(values.len(), size, values.par_chunks(size), |values, into| {
        into.par_chunks(block * rows, (0..columns).into_par_iter().step_by(block), |start, into| {
            push_transpose(&values[start..], columns, (rows, block.min(columns - start)), into);
        });
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_comes_to_its_place() {
        for (pictures, channels, area) in [(2, 3, 5), (1, 33, 300), (3, 64, 49), (0, 2, 2), (1, 1, 1)] {
            let maps: Vec<f32> = (0..pictures * channels * area).map(|i| i as f32).collect();
            let rows = together(&maps, channels, area);
            for (at, value) in rows.iter().enumerate() {
                let (n, p, c) = (at / (channels * area), at / channels % area, at % channels);
                assert_eq!(*value, maps[(n * channels + c) * area + p]);
            }
            assert_eq!(apart(&rows, channels, area), maps);
        }
    }
}
