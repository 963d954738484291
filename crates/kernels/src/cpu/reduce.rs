//! SIMD reductions: sums in a fixed order, written so that the compiler vectorises them.

use crate::cpu::simd_math::vectorised;
use rayon::prelude::*;
use std::ops::Range;

const LANES: usize = 16;

/// The sum of `f` over positions of equally long slices, in [`LANES`] partial sums that are added in order at the end.
#[inline(always)]
pub(crate) fn sum2(xs: &[f32], ys: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0f32; LANES];
    let (xs, ys) = (xs.chunks_exact(LANES), ys.chunks_exact(LANES));
    let rest: f32 = xs.remainder().iter().zip(ys.remainder()).map(|(&x, &y)| f(x, y)).sum();
    for (x, y) in xs.zip(ys) {
        for i in 0..LANES {
            lanes[i] += f(x[i], y[i]);
        }
    }
    lanes.iter().sum::<f32>() + rest
}

/// The sum of `f` over a slice; see [`sum2`].
#[inline(always)]
pub(crate) fn sum1(xs: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    sum2(xs, xs, |x, _| f(x))
}

/// Rows whose sums are formed in f32; sums over more are in f64.
pub(crate) const ROWS: usize = 512;

/// Sums over all rows, several for each of `width` columns: `add` adds some rows to theirs. The blocks do not depend on the number
/// of threads.
pub(crate) fn block_sums<const SUMS: usize>(
    rows: usize,
    width: usize,
    add: impl Fn(Range<usize>, [&mut [f32]; SUMS]) + Sync,
) -> [Vec<f64>; SUMS] {
    let blocks = (0..rows.div_ceil(ROWS)).into_par_iter().map(|block| {
        let mut sums = [(); SUMS].map(|()| vec![0f32; width]);
        let start = block * ROWS;
        add(start..rows.min(start + ROWS), sums.each_mut().map(Vec::as_mut_slice));
        sums
    });
    let blocks: Vec<_> = blocks.collect();
    std::array::from_fn(|sum| {
        let mut total = vec![0f64; width];
        for block in &blocks {
            total.iter_mut().zip(&block[sum]).for_each(|(total, &sum)| *total += f64::from(sum));
        }
        total
    })
}

/// The sums of the first `count` columns of a matrix whose rows start every `stride` values.
pub(crate) fn column_sums(values: &[f32], stride: usize, count: usize) -> Vec<f32> {
    /// Columns that a thread takes at a time.
    const COLUMNS: usize = 1024;
    let rows = (values.len() + stride).checked_sub(count).map_or(0, |values| values / stride.max(1));
    let mut sums = vec![0f32; count];
    sums.par_chunks_mut(COLUMNS).enumerate().for_each(|(chunk, sums)| {
        let [total] = block_sums(rows, sums.len(), |rows, [sums]| {
            add_rows(&values[rows.start * stride + chunk * COLUMNS..], stride, rows.len(), sums);
        });
        sums.iter_mut().zip(total).for_each(|(sum, total)| *sum = total as f32);
    });
    sums
}

vectorised! {
    /// Adds so many rows, which start every `stride` values.
    fn add_rows(values: &[f32], stride: usize, rows: usize, sums: &mut [f32]) {
        for row in 0..rows {
            let values = &values[row * stride..][..sums.len()];
            for (sum, value) in sums.iter_mut().zip(values) {
                *sum += value;
            }
        }
    }
}

vectorised! {
    /// into += scale · values.
    pub fn add_scaled(values: &[f32], scale: f32, into: &mut [f32]) {
        for (into, value) in into.iter_mut().zip(values) {
            *into += scale * value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_values::test_values;

    #[test]
    fn columns_have_their_sums_whatever_lies_between_them() {
        for (rows, stride, count) in [
            (1usize, 1usize, 1usize),
            (3, 7, 5),
            (1030, 40, 37),
            (5, 2100, 2099),
            (600, 300, 300),
            (4, 3, 0),
            (0, 4, 4),
        ] {
            // The last row may end with its last column.
            let values = test_values(3, (rows * stride + count).saturating_sub(stride));
            let sums = column_sums(&values, stride, count);
            assert_eq!(sums.len(), count);
            for (column, sum) in sums.into_iter().enumerate() {
                let wanted: f64 = (0..rows).map(|row| f64::from(values[row * stride + column])).sum();
                assert!(
                    (f64::from(sum) - wanted).abs() < 1e-4,
                    "{sum} instead of {wanted} in column {column} of {count}"
                );
            }
        }
    }

    #[test]
    fn sums_of_many_rows_keep_their_digits() {
        let (rows, count) = (802_816, 5);
        let sums = column_sums(&vec![0.1; rows * count], count, count);
        let wanted = rows as f64 * f64::from(0.1f32);
        assert!(sums.iter().all(|&sum| (f64::from(sum) / wanted - 1.0).abs() < 1e-5), "{sums:?} for {wanted}");
    }
}
