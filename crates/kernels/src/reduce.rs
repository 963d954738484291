//! Sums in a fixed order, written so that the compiler uses vectors.

use rayon::prelude::*;

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

/// The sums of the first `count` columns of a matrix whose rows start every `stride` values.
pub(crate) fn sums_of_columns(values: &[f32], stride: usize, count: usize) -> Vec<f32> {
    let mut sums = vec![0f32; count];
    let work = |(chunk, sums): (usize, &mut [f32])| {
        let rows = values.chunks(stride.max(1)).filter(|row| row.len() >= count);
        for row in rows {
            sums.iter_mut().zip(&row[chunk * 256..]).for_each(|(sum, value)| *sum += value);
        }
    };
    sums.par_chunks_mut(256).enumerate().for_each(work);
    sums
}
